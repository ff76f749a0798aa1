"""Further data sets: a small copy in the exact format of each, whole and partial, and damaged."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import importing, photos, store
from data.benchmark import Benchmark
from data.errors import PlaygroundError
from data.sources.dupimage import DupImage
from data.sources.flickrlogos import FlickrLogos32, FlickrLogos47
from data.sources.gldv1 import GoogleLandmarksV1
from data.sources.neural_codes import NeuralCodesTraining
from data.sources.oxford import Oxford5k, Oxford105k
from data.sources.sculptures import Sculptures6k
from data.sources.sfm import Sfm30k, Sfm120k
from data.sources.smvs import Smvs
from data.sources.zubud import ZuBuD
from evaluation import registry as protocols
from evaluation.base import Truth


def put_photo(path: Path, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photos.encode_jpeg(pixels))


def put_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def load(source: Benchmark) -> store.Collection:
    importing.import_collection("mine", source)
    return store.load("mine")


def relevant(collection: store.Collection) -> dict[str, tuple[str, ...] | None]:
    return {query.id: query.relevant for query in collection.queries}


def judged(collection: store.Collection, query: str, ranking: list[str]) -> dict[str, float]:
    protocol = protocols.choose("auto", collection)
    return protocol.judge_all(collection, collection.find(query), ranking)["all"]


# ZuBuD


@pytest.fixture
def zubud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ZuBuD, "buildings", 3)
    put_text(tmp_path / "zubud_groundtruth.txt", "TEST\tTRAIN\r\n1\t2\r\n2\t3\r\n")
    for building in (1, 2, 3):
        for view in range(1, 6):
            name = f"object{building:04d}.view{view:02d}.png"
            put_photo(tmp_path / "png-ZuBuD" / name, 10 * building + view)
    for number in (1, 2):
        put_photo(tmp_path / "1000city" / "qimage" / f"qimg{number:04d}.JPG", number)
    return tmp_path


def test_zubud(home: Path, zubud: Path) -> None:
    collection = load(ZuBuD(zubud))
    assert len(collection.photos) == 15
    views = tuple(f"object0002.view{view:02d}" for view in range(1, 6))
    assert relevant(collection)["qimg0001"] == views
    assert collection.source["protocol"] == "labels"
    assert "partial" not in collection.source
    assert judged(collection, "qimg0001", [*views[:2], "object0001.view01"])["p@1"] == 1


def test_zubud_partial_and_damaged(home: Path, zubud: Path) -> None:
    (zubud / "png-ZuBuD" / "object0002.view01.png").unlink()
    (zubud / "1000city" / "qimage" / "qimg0002.JPG").unlink()
    collection = load(ZuBuD(zubud))
    assert collection.source["partial"] == {"photos_missing": 1, "queries_missing": 1}
    put_text(zubud / "zubud_groundtruth.txt", "1 2\n")
    with pytest.raises(PlaygroundError, match="first line"):
        ZuBuD(zubud).root()
    put_text(zubud / "zubud_groundtruth.txt", "TEST TRAIN\n1 202\n")
    with pytest.raises(PlaygroundError, match="not possible"):
        ZuBuD(zubud).root()


def test_zubud_has_its_official_sizes(tmp_path: Path) -> None:
    lines = "".join(f"{number} {number}\n" for number in range(1, 116))
    put_text(tmp_path / "zubud_groundtruth.txt", f"TEST TRAIN\n{lines}")
    listing = ZuBuD(tmp_path, photos=False).listing()
    assert (len(listing.photos), len(listing.queries)) == (1005, 115)


# SMVS


def test_smvs(home: Path, tmp_path: Path) -> None:
    files = "print/Reference/001 print/Reference/002 print/Droid/001 landmarks/Reference/001"
    for seed, file in enumerate(f"{files} landmarks/Query/001 landmarks/Query/009".split()):
        put_photo(tmp_path / f"{file}.jpg", seed)
    collection = load(Smvs(tmp_path))
    assert len(collection.photos) == 3
    by_label = {photo.label: photo.id for photo in collection.photos}
    found = {query.label: query.relevant for query in collection.queries}
    # 009 has no reference here: it is no query.
    assert found == {one: (by_label[one],) for one in ("print/001", "landmarks/001")}
    assert collection.source["partial"]["photos_missing"] == 1200 - 3
    with pytest.raises(PlaygroundError, match="Reference"):
        Smvs(tmp_path / "print").root()


# FlickrLogos


def test_flickrlogos32(home: Path, tmp_path: Path) -> None:
    put_text(tmp_path / "trainvalset.txt", "Adidas,1.jpg\nadidas,2.jpg\nups,3.jpg\nno-logo,4.jpg\n")
    put_text(tmp_path / "testset-logosonly.txt", "adidas,5.jpg\nups,6.jpg\n")
    for name, brand in (("1", "adidas"), ("2", "adidas"), ("3", "ups"), ("4", "no-logo")):
        put_photo(tmp_path / "classes" / "jpg" / brand / f"{name}.jpg", int(name))
    put_photo(tmp_path / "classes" / "jpg" / "adidas" / "5.jpg", 5)
    collection = load(FlickrLogos32(tmp_path))
    assert [photo.id for photo in collection.photos] == ["1", "2", "3", "4"]
    assert relevant(collection) == {"5": ("1", "2")}
    assert collection.source["partial"] == {"photos_missing": 0, "queries_missing": 1}
    values = judged(collection, "5", ["1", "3", "2", "4"])
    # Trapezoids: (1 + 1) / 2 at rank 1, (1 / 2 + 2 / 3) / 2 at rank 3, over 2.
    assert values["ap"] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert values["top-4"] == 2
    put_text(tmp_path / "trainvalset.txt", "one two three\n")
    with pytest.raises(PlaygroundError, match="not a class and a photo"):
        FlickrLogos32(tmp_path).root()


def test_flickrlogos_without_answers_has_no_value() -> None:
    values = protocols.protocol("flickrlogos").judge(["a"], Truth(frozenset()))
    assert all(np.isnan(value) for value in values.values())


def test_flickrlogos47(home: Path, tmp_path: Path) -> None:
    put_text(tmp_path / "train" / "filelist.txt", "./000000/1.png\n./000000/2.png\n")
    put_text(tmp_path / "test" / "filelist.txt", "./000000/3.png\n")
    put_text(tmp_path / "train" / "000000" / "1.gt_data.txt", "1 2 20 30 7 0 m.png 0 0\n")
    put_text(
        tmp_path / "test" / "000000" / "3.gt_data.txt",
        "4 5 40 36 7 0 m.png 0 0\n0 0 10 10 8 1 n.png 1 0\n",
    )
    for number, split in ((1, "train"), (2, "train"), (3, "test")):
        put_photo(tmp_path / split / "000000" / f"{number}.png", number)
    collection = load(FlickrLogos47(tmp_path))
    assert [photo.label for photo in collection.photos] == ["7", None]
    with_logo = collection.photos[0].id
    assert [(query.label, query.box, query.relevant) for query in collection.queries] == [
        ("7", (4, 5, 40, 36), (with_logo,)),  # no training photo shows the other logo's class
    ]
    assert len(FlickrLogos47(tmp_path).listing().queries) == 2
    put_text(tmp_path / "train" / "filelist.txt", "../secret.png\n")
    with pytest.raises(PlaygroundError, match="no path"):
        FlickrLogos47(tmp_path).root()


# DupImage


def test_dupimage(home: Path, tmp_path: Path) -> None:
    for seed, file in enumerate(("KFC/a.jpg", "KFC/b.jpg", "KFC/c.jpg", "Mona/a.jpg")):
        put_photo(tmp_path / file, seed)
    source = DupImage(tmp_path)
    assert len(source.listing().queries) == 4
    put_text(tmp_path / "queries.txt", "KFC/b.jpg\n")
    collection = load(DupImage(tmp_path))
    ids = {photo.file: photo.id for photo in collection.photos}
    (query,) = collection.queries
    assert query.relevant == (ids["KFC/a.jpg"], ids["KFC/c.jpg"])
    # The query's own picture is taken out: what comes behind it is first.
    ranking = [ids["KFC/b.jpg"], ids["KFC/a.jpg"], ids["KFC/c.jpg"]]
    assert judged(collection, query.id, ranking)["ap"] == 1
    assert collection.source["partial"]["photos_missing"] == 1100
    put_text(tmp_path / "queries.txt", "KFC/z.jpg\n")
    with pytest.raises(PlaygroundError, match="no picture of the folder"):
        DupImage(tmp_path).root()


# Sculptures6k


def test_sculptures(home: Path, tmp_path: Path) -> None:
    names = [f"Rodin_{number}" for number in range(5)]
    for seed, name in enumerate(names[:4]):
        put_photo(tmp_path / "test" / f"{name}.jpg", seed)
    put_text(tmp_path / "sculptures6k_test.txt", "".join(f"{name}.jpg\n" for name in names))
    truth = (
        "header\nRodin_0.jpg\n1 2 30 31.4\nRodin_0.jpg Rodin_1.jpg\nRodin_2.jpg\n"
        "Rodin_1.jpg\nanything\nRodin_1.jpg Rodin_3.jpg Rodin_4.jpg\n\n"
    )
    put_text(tmp_path / "sculptures6k_evaluation" / "sculptures6k_gt.txt", truth)
    collection = load(Sculptures6k(tmp_path))
    assert collection.source["partial"] == {"photos_missing": 1, "queries_missing": 0}
    first, second = collection.queries
    assert (first.box, second.box) == ((1, 2, 30, 31), None)
    assert first.extra["ground_truth"] == {
        "good": ["Rodin_0", "Rodin_1"],
        "ok": [],
        "junk": ["Rodin_2"],
    }
    assert second.extra["ground_truth"]["junk"] == []
    assert judged(collection, first.id, ["Rodin_2", "Rodin_0", "Rodin_1"])["ap"] == 1
    put_text(tmp_path / "sculptures6k_evaluation" / "sculptures6k_gt.txt", "header\na\nb\nc\n")
    with pytest.raises(PlaygroundError, match="four lines"):
        Sculptures6k(tmp_path).root()


# Oxford105k


def test_oxford_105k(home: Path, tmp_path: Path) -> None:
    names = ["all_souls_000000", "all_souls_000001", "all_souls_000002", "all_souls_000003"]
    for seed, name in enumerate(names):
        put_photo(tmp_path / "jpg" / f"{name}.jpg", seed)
    for file, text in (
        ("query", f"oxc1_{names[0]} 1 2 30 31"),
        ("good", names[0]),
        ("ok", names[1]),
        ("junk", names[2]),
    ):
        put_text(tmp_path / "gt" / f"all_souls_1_{file}.txt", f"{text}\n")
    with pytest.raises(PlaygroundError, match="oxc1_100k"):
        Oxford105k(tmp_path).root()
    put_photo(tmp_path / "oxc1_100k" / "sunset" / "12.jpg", 8)
    put_photo(tmp_path / "oxc1_100k" / "party" / "12.jpg", 9)
    plain = Oxford5k(tmp_path).listing()
    assert [entry.name for entry in plain.photos] == names  # distractors are none of its photos
    collection = load(Oxford105k(tmp_path))
    assert len(collection.photos) == 6
    assert collection.source["expected"]["photos"] == 5062 + 100_071
    distractor = next(photo for photo in collection.photos if "sunset" in photo.file)
    good = judged(collection, "all_souls_1", [names[2], names[0], names[1], distractor.id])
    assert good["ap"] == 1
    bad = judged(collection, "all_souls_1", [distractor.id, names[0], names[1]])
    assert bad["ap"] == pytest.approx(((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2)


# Google Landmarks v1 and Neural Codes: lists of addresses


def test_google_landmarks_v1(home: Path, tmp_path: Path) -> None:
    url = "http://lh3.googleusercontent.com/x/s1600/"
    index = "".join(f'"{one}","{url}{one}"\n' for one in ("aa01", "bb02", "cc03"))
    put_text(tmp_path / "index.csv", f'"id","url"\n{index}')
    put_text(tmp_path / "test.csv", f'"id","url"\n"dd04","{url}dd04"\n"ee05",""\n')
    for seed, one in enumerate(("aa01", "cc03", "dd04")):
        put_photo(tmp_path / "photos" / f"{one}.jpg", seed)
    collection = load(GoogleLandmarksV1(tmp_path))
    assert [photo.id for photo in collection.photos] == ["aa01", "cc03"]
    assert collection.photos[0].url == f"{url}aa01"
    assert [query.id for query in collection.queries] == ["dd04"]
    assert collection.source["partial"] == {"photos_missing": 1, "queries_missing": 1}
    assert collection.relevant(collection.queries[0]) == set()
    (tmp_path / "index.csv").unlink()
    put_text(tmp_path / "train.csv", "id,url,landmark_id\naa01,u,7\ncc03,u,None\n")
    listing = GoogleLandmarksV1(tmp_path).listing()
    assert [(one.id, one.label) for one in listing.photos] == [("aa01", "7"), ("cc03", None)]
    assert not listing.queries
    put_text(tmp_path / "train.csv", "id,address\na,b\n")
    with pytest.raises(PlaygroundError, match="id and url"):
        GoogleLandmarksV1(tmp_path).root()


@pytest.mark.parametrize("line", ["{url} {label}", "{label}\t{url}", '"{label}","{url}"'])
def test_neural_codes_landmarks(home: Path, tmp_path: Path, line: str) -> None:
    urls = {"http://a.org/x/big%20ben.jpg": "Big Ben", "https://b.org/2.jpg": "Tower/Pisa"}
    text = "".join(line.format(url=url, label=label) + "\n" for url, label in urls.items())
    put_text(tmp_path / "landmarks.txt", f"# a comment\n{text}")
    put_photo(tmp_path / "Big Ben" / "big ben.jpg")
    collection = load(NeuralCodesTraining(tmp_path))
    (photo,) = collection.photos
    assert (photo.label, photo.url) == ("Big Ben", "http://a.org/x/big%20ben.jpg")
    assert collection.source["partial"]["photos_missing"] == 1
    assert NeuralCodesTraining(tmp_path).absent()["photos"] == ["Tower_Pisa/2.jpg"]


def test_the_lists_of_deep_image_retrieval(tmp_path: Path) -> None:
    """Lines as they are in annotation_clean_train.txt and annotation_full_val.txt."""
    bilbao = "http://a.de/313/004A,Architektur,Gehry,-Frank,Guggenheim-Bilbao.jpg"
    flags = "http://b.com/balmoral.jpg?w=529"
    put_text(
        tmp_path / "annotation_clean_train.txt",
        f"{bilbao} 421 4 403 7 327\n{flags} 241 0 463 82 295\n",
    )
    put_text(tmp_path / "annotation_full_val.txt", f"{bilbao} 421\n")
    found = NeuralCodesTraining(tmp_path, photos=False).listing().photos
    assert [(one.label, one.url) for one in found] == [
        ("421", bilbao),
        ("241", flags),
        ("421", bilbao),
    ]
    assert found[0].name == "421/004A,Architektur,Gehry,-Frank,Guggenheim-Bilbao.jpg"
    assert found[1].name == "241/balmoral.jpg"


def test_neural_codes_one_file_per_landmark(tmp_path: Path) -> None:
    put_text(tmp_path / "Big Ben.txt", "http://a.org/..%2F..%2Fetc\n")
    (entry,) = NeuralCodesTraining(tmp_path, photos=False).listing().photos
    assert (entry.label, entry.name) == ("Big Ben", "Big Ben/_.._etc")


# retrieval-SfM


def truth() -> dict[str, Any]:
    cids = [f"{number:032x}" for number in (0xABCDEF, 0x123456, 0x77, 0x88, 0x99)]
    return {
        "train": {
            "cids": cids[:4],
            "cluster": [5, 5, 5, 6],
            "qidxs": [0, 0, 1, 0],
            "pidxs": [1, 2, 0, 1],
            "bbxs": None,
        },
        "val": {"cids": cids[4:], "cluster": [9], "qidxs": [], "pidxs": []},
    }


def test_sfm(home: Path, tmp_path: Path) -> None:
    found = truth()
    (tmp_path / "retrieval-SfM-120k.pkl").write_bytes(pickle.dumps(found, 2))
    cids = found["train"]["cids"]
    for seed, cid in enumerate([*cids[:2], *found["val"]["cids"]]):
        put_photo(tmp_path / "ims" / cid[-2:] / cid[-4:-2] / cid[-6:-4] / cid, seed)
    collection = load(Sfm120k(tmp_path))
    assert len(collection.photos) == 3 and not collection.queries
    assert collection.source["partial"]["photos_missing"] == 2
    first = collection.photo(cids[0])
    assert first.file.endswith(f"ef/cd/ab/{cids[0]}")
    assert (first.label, first.extra["split"]) == ("5", "train")
    assert first.extra["positives"] == [cids[1], cids[2]]  # each pair once
    assert collection.photo(found["val"]["cids"][0]).extra["split"] == "val"
    (tmp_path / "retrieval-SfM-120k.pkl").rename(tmp_path / "retrieval-SfM-30k.pkl")
    assert len(Sfm30k(tmp_path).listing().photos) == 5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"qidxs": [9, 0, 1, 0]}, "the row 9"),
        ({"cluster": [5]}, "equally long"),
        ({"cluster": [5, 5, 5, 0.5]}, "whole numbers"),
        ({"cids": ["../../etc/passwd", "b" * 9, "c" * 9, "d" * 9]}, "no name of a photo"),
        ({"cids": [print, "b" * 9, "c" * 9, "d" * 9]}, "more than plain data"),
    ],
)
def test_sfm_names_what_is_wrong(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    found = truth()
    found["train"] |= change
    (tmp_path / "retrieval-SfM-120k.pkl").write_bytes(pickle.dumps(found, 2))
    with pytest.raises(PlaygroundError, match=why):
        Sfm120k(tmp_path).root()
