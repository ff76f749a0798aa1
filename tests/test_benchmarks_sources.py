"""Small data sets in each benchmark's layout: whole, with photos missing, at a wrong path."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from data import changing, importing, photos, store
from data.benchmark import Benchmark
from data.errors import PlaygroundError
from data.glr21 import Glr21Source
from data.sources import registry
from data.sources.distractors import DistractorSource
from data.sources.holidays import Holidays
from data.sources.instre import Instre
from data.sources.oxford import Oxford5k, Paris6k
from data.sources.revisited import ROxford5k
from data.sources.ukbench import UkBench
from scripts import collections as cli
from scripts import console

SIZE = (48, 36)  # width, height in px


def put_photo(path: Path, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    path.write_bytes(photos.encode_jpeg(pixels))


def put_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_revisited(root: Path, folder: str = "jpg") -> Path:
    names = [f"oxford_{number:06d}" for number in range(6)]
    queries = ["all_souls_000013", "radcliffe_camera_000031"]
    truth = {
        "imlist": names[::-1],  # the list's order is not that of the names
        "qimlist": queries,
        "gnd": [
            {"bbx": [4.5, 3.2, 40.4, 99.0], "easy": [0, 1], "hard": [2], "junk": [3]},
            {"bbx": [0, 0, 48, 36], "easy": [], "hard": [4], "junk": [0]},
        ],
    }
    put_text(root / "readme.txt", "")
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth, 3))
    for seed, name in enumerate([*names, *queries]):
        put_photo(root / folder / f"{name}.jpg", seed)
    return root


def write_classic(root: Path, prefix: str, names: list[str]) -> Path:
    for seed, name in enumerate(names):
        put_photo(root / "jpg" / f"{name}.jpg", seed)
    for number, own in ((1, 0), (2, 1)):
        stem = root / "gt" / f"tower_{number}"
        put_text(Path(f"{stem}_query.txt"), f"{prefix}{names[own]} 1.5 2.4 30.0 60.0\n")
        put_text(Path(f"{stem}_good.txt"), f"{names[0]}\n{names[1]}\n")
        put_text(Path(f"{stem}_ok.txt"), f"{names[2]}\n\n")
        put_text(Path(f"{stem}_junk.txt"), f"{names[3]}\n")
    return root


def load(name: str, source: Benchmark | Glr21Source) -> tuple[store.Collection, importing.Report]:
    report = importing.import_collection(name, source)
    return store.load(name), report


# Revisited


def test_revisited(home: Path, tmp_path: Path) -> None:
    root = write_revisited(tmp_path / "rox")
    collection, report = load("rox", ROxford5k(root))
    assert (report.added, report.skipped) == (8, [])
    assert len(collection.photos) == 6
    assert [query.id for query in collection.queries] == [
        "all_souls_000013",
        "radcliffe_camera_000031",
    ]
    first = collection.queries[0]
    assert first.box == (4, 3, 40, 36)  # rounded, clipped to 48 x 36
    assert first.extra["ground_truth"] == {
        "easy": ["oxford_000005", "oxford_000004"],
        "hard": ["oxford_000003"],
        "junk": ["oxford_000002"],
    }
    assert collection.relevant(first) == {"oxford_000005", "oxford_000004", "oxford_000003"}
    assert collection.source["protocol"] == "revisited"
    assert collection.source["expected"] == {"photos": 6, "queries": 2}
    assert "partial" not in collection.source
    assert collection.photo("oxford_000005").extra == {"list": "roxford5k", "row": 0}
    assert collection.read(first).shape == (36, 48, 3)


@pytest.mark.parametrize("folder", ["", "images", "jpg/paris/louvre"])
def test_photos_are_found_in_any_folder(home: Path, tmp_path: Path, folder: str) -> None:
    root = write_revisited(tmp_path / "rox", folder)
    assert len(load("rox", ROxford5k(root))[0].photos) == 6
    # By the ground truth's own path as well.
    assert len(load("two", ROxford5k(root / "gnd_roxford5k.pkl"))[0].photos) == 6


def test_a_linked_photo_folder_is_followed(home: Path, tmp_path: Path) -> None:
    root = write_revisited(tmp_path / "rox", "elsewhere")
    (root / "elsewhere").rename(tmp_path / "photos")
    (root / "jpg").symlink_to(tmp_path / "photos")
    collection, report = load("rox", ROxford5k(root))
    assert report.added == 8
    assert collection.photo("oxford_000001").file == "jpg/oxford_000001.jpg"


def test_missing_photos_make_it_partial(home: Path, tmp_path: Path) -> None:
    root = write_revisited(tmp_path / "rox")
    for name in ("oxford_000000", "oxford_000002", "all_souls_000013"):
        (root / "jpg" / f"{name}.jpg").unlink()
    (root / "jpg" / "oxford_000003.jpg").write_bytes(b"words")
    collection, report = load("rox", ROxford5k(root))
    assert collection.source["partial"] == {"photos_missing": 3, "queries_missing": 1}
    reasons = {entry.file: entry.reason for entry in report.skipped}
    assert reasons["photos"].startswith(
        "2 of 6 are not on this disk: oxford_000002, oxford_000000."
    )
    assert reasons["queries"].startswith("1 of 2 are not on this disk: all_souls_000013.")
    assert "not a photo" in reasons["jpg/oxford_000003.jpg"]
    # The ground truth stays whole: what is not there cannot be found and counts.
    assert collection.queries[0].extra["ground_truth"]["hard"] == ["oxford_000001"]

    # Put back and refreshed, it is whole; there is still one source.
    write_revisited(root)
    importing.import_collection("rox", ROxford5k(root), on_exists="refresh")
    collection = store.load("rox")
    assert len(collection.sources) == 1
    assert "partial" not in collection.source

    changing.remove("rox", ["oxford_000004"])
    assert store.load("rox").source["partial"] == {"photos_missing": 1, "queries_missing": 0}
    changing.remove("rox", ["radcliffe_camera_000031"])
    assert store.load("rox").source["partial"] == {"photos_missing": 1, "queries_missing": 1}


def test_many_missing_photos_are_one_line(home: Path, tmp_path: Path) -> None:
    root = write_classic(tmp_path / "ox", "oxc1_", [f"oxford_{n:06d}" for n in range(6)])
    put_text(root / "imlist.txt", "\n".join(f"oxford_{n:06d}" for n in range(20)))
    _, report = load("ox", Oxford5k(root))
    assert len(report.skipped) == 1
    assert report.skipped[0].reason == (
        "14 of 20 are not on this disk: oxford_000006, oxford_000007, oxford_000008, "
        "oxford_000009, oxford_000010 and 9 more. Results are marked partial."
    )


def test_a_list_without_photos(home: Path, tmp_path: Path) -> None:
    root = write_revisited(tmp_path / "rox")
    collection, report = load("rox", ROxford5k(root, photos=False))
    assert report.added == 8
    assert collection.source["photos"] is False
    assert "partial" not in collection.source
    photo = collection.photo("oxford_000001")
    assert (photo.width, photo.height, photo.size, photo.file) == (0, 0, 0, "jpg/oxford_000001.jpg")
    assert photo.absent
    assert len({one.sha256 for one in (*collection.photos, *collection.queries)}) == 8
    assert collection.queries[0].box == (4, 3, 40, 99)
    for read in (collection.read, collection.thumbnail):
        with pytest.raises(PlaygroundError, match=r"has no file: .*--no-photos"):
            read(photo)
    again = importing.import_collection("rox", ROxford5k(root, photos=False), on_exists="add")
    assert (again.unchanged, again.added, again.replaced) == (8, 0, 0)


# Classic


def test_classic_oxford(home: Path, tmp_path: Path) -> None:
    names = [f"oxford_{number:06d}" for number in range(6)]
    collection, _ = load("ox", Oxford5k(write_classic(tmp_path / "ox", "oxc1_", names)))
    assert collection.ids == tuple(names)
    first = collection.query("tower_1")
    assert first.box == (2, 2, 30, 36)
    assert first.extra == {
        "ground_truth": {"good": names[:2], "ok": [names[2]], "junk": [names[3]]},
        "photo": names[0],
    }
    assert collection.source["protocol"] == "classic"
    # The query is a photo of the collection, by the same bytes.
    assert first.sha256 == collection.photo(names[0]).sha256
    # 5,062 photos are Oxford5k; 6 are a part of it.
    assert collection.source["partial"] == {"photos_missing": 5056, "queries_missing": 0}


def test_classic_paris_leaves_the_corrupt_photos_out(home: Path, tmp_path: Path) -> None:
    names = [f"paris_louvre_{number:06d}" for number in range(5)]
    root = write_classic(tmp_path / "paris", "", names)
    put_photo(root / "jpg" / "louvre" / "paris_louvre_000136.jpg")
    collection, report = load("paris", Paris6k(root))
    assert collection.ids == tuple(names)
    assert report.skipped == []
    assert collection.query("tower_2").extra["photo"] == names[1]


def test_classic_reports_photos_of_the_ground_truth(home: Path, tmp_path: Path) -> None:
    names = [f"oxford_{number:06d}" for number in range(6)]
    root = write_classic(tmp_path / "ox", "oxc1_", names)
    (root / "jpg" / f"{names[1]}.jpg").unlink()
    collection, report = load("ox", Oxford5k(root))
    assert {entry.file for entry in report.skipped} == {"photos", "queries"}
    assert [query.id for query in collection.queries] == ["tower_1"]
    assert collection.source["partial"] == {"photos_missing": 5057, "queries_missing": 1}


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("tower_1_query.txt", "oxc1_x 1 2 3", "one line: photo x0 y0 x1 y1"),
        ("tower_1_query.txt", "oxc1_x 1 2 3 nan", "is no box"),
        ("tower_1_good.txt", "../../secret", "is no name of a photo"),
        ("tower_1_good.txt", "\x00\x01", "is no name of a photo"),
    ],
)
def test_classic_names_a_broken_file(tmp_path: Path, file: str, text: str, why: str) -> None:
    root = write_classic(tmp_path, "oxc1_", [f"oxford_{n:06d}" for n in range(6)])
    put_text(root / "gt" / file, text)
    with pytest.raises(PlaygroundError, match=why):
        Oxford5k(root).root()
    (root / "gt" / "tower_2_ok.txt").unlink()
    put_text(root / "gt" / file, "x 1 2 3 4" if "query" in file else "x")
    with pytest.raises(PlaygroundError, match=r"tower_2_ok.txt is not in"):
        Oxford5k(root).root()


# Holidays, UKBench


def test_holidays(home: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(["100000", "100001", "100002", "100100", "100101", "notes"]):
        put_photo(tmp_path / "h" / "jpg" / f"{name}.jpg", seed)
    collection, _ = load("holidays", Holidays(tmp_path / "h"))
    assert collection.ids == ("100000", "100001", "100002", "100100", "100101")
    assert [query.id for query in collection.queries] == ["q100000", "q100100"]
    first = collection.queries[0]
    assert first.relevant == ("100001", "100002")
    assert first.extra["photo"] == "100000"
    assert first.sha256 == collection.photo("100000").sha256
    assert first.box is None
    assert collection.source["protocol"] == "holidays"
    assert collection.source["partial"] == {"photos_missing": 1486, "queries_missing": 0}


def test_holidays_without_a_query(home: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(["100000", "100001", "100101", "100102"]):
        put_photo(tmp_path / "h" / f"{name}.jpg", seed)
    collection, report = load("holidays", Holidays(tmp_path / "h"))
    assert [query.id for query in collection.queries] == ["q100000"]
    assert [entry.file for entry in report.skipped] == ["queries"]
    assert collection.source["partial"]["queries_missing"] == 1


def test_ukbench(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UkBench, "objects", 2)
    for number in range(8):
        put_photo(tmp_path / "uk" / "full" / f"ukbench{number:05d}.jpg", number)
    collection, report = load("uk", UkBench(tmp_path / "uk"))
    assert report.added == 16
    assert len(collection.photos) == len(collection.queries) == 8
    query = collection.query("q-ukbench00005")
    assert query.relevant == tuple(f"ukbench{number:05d}" for number in range(4, 8))
    assert query.label == "1"
    assert collection.source["protocol"] == "ukbench"
    assert "partial" not in collection.source


def test_ukbench_expects_10200_photos(tmp_path: Path) -> None:
    put_photo(tmp_path / "ukbench00003.jpg")
    source = UkBench(tmp_path)
    assert source.describe()["expected"] == {"photos": 10200, "queries": 10200}
    notes = [one for one in source.candidates() if not hasattr(one, "id")]
    assert [note.reason.partition(":")[0] for note in notes] == [  # type: ignore[union-attr]
        "10,199 of 10,200 are not on this disk"
    ] * 2


# INSTRE


def write_instre(root: Path, box: list[float], text: str = "") -> Path:
    imlist = [f"INSTRE-S1/01a_book/{number:03d}.jpg" for number in (1, 3)]
    imlist += ["INSTRE-S2/01a_book/001.jpg", "INSTRE-M/01/001.jpg"]
    qimlist = ["INSTRE-S1/01a_book/002.jpg"]
    for seed, file in enumerate([*imlist, *qimlist]):
        put_photo(root / file, seed)
    if text:
        put_text((root / qimlist[0]).with_suffix(".txt"), text)
    gnd = np.zeros((1, 1), dtype=[("ok", object), ("bbx", object)])
    gnd[0, 0]["ok"] = np.array([[1, 2, 4]], np.uint16)  # rows count from 1
    gnd[0, 0]["bbx"] = np.array([box])
    cells = {
        "imlist": np.array([imlist], dtype=object),
        "qimlist": np.array([qimlist], dtype=object),
    }
    scipy.io.savemat(root / "gnd_instre.mat", {**cells, "gnd": gnd})
    return root


def test_instre(home: Path, tmp_path: Path) -> None:
    root = write_instre(tmp_path / "in", [5, 6, 20, 30])
    collection, report = load("instre", Instre(root))
    assert report.added == 5
    query = collection.queries[0]
    good = ["INSTRE-S1_01a_book_001", "INSTRE-S1_01a_book_003", "INSTRE-M_01_001"]
    assert query.extra["ground_truth"] == {"good": good, "ok": [], "junk": []}
    assert query.box == (5, 6, 20, 30)
    assert collection.source["protocol"] == "classic"
    # Folders of one name in two subsets are two objects.
    assert collection.labels == ("INSTRE-M/01", "INSTRE-S1/01a_book", "INSTRE-S2/01a_book")
    assert collection.photo("INSTRE-S2_01a_book_001").extra == {"list": "instre", "row": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 6 20 24\n", (5, 6, 25, 30)),  # the file's own form is x y w h
        ("5 6 15 18\n", (5, 6, 20, 24)),  # x y w h of the corners that the matrix has
        ("1 1 2 2\n5 6 20 24\n", (5, 6, 25, 30)),
        ("nonsense", (5, 6, 20, 24)),
        ("", (5, 6, 20, 24)),
    ],
)
def test_instre_boxes(tmp_path: Path, text: str, expected: tuple[int, ...]) -> None:
    source = Instre(write_instre(tmp_path, [5, 6, 20, 24], text))
    box = source.listing().queries[0].box
    assert box == tuple(map(float, expected))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"imlist": np.array([["../../etc/passwd"]], dtype=object)}, "no path of a photo"),
        ({"imlist": np.array([["/etc/passwd"]], dtype=object)}, "no path of a photo"),
        ({"imlist": np.zeros((2, 2))}, "no path of a photo"),
        ({"qimlist": np.array([["a/1.jpg", "a/2.jpg"]], dtype=object)}, "1 entries for 2 queries"),
        ({"gnd": np.zeros((1, 1))}, "has not the fields"),
        ({"imlist": np.array([["a/1.jpg"]], dtype=object)}, "are no rows"),
        (
            {"imlist": np.array([["a/1.jpg", "a/2.jpg", "a/3.jpg"]], dtype=object)},
            "has the positive 4; there are 3",
        ),
    ],
)
def test_instre_names_what_is_broken(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    root = write_instre(tmp_path, [5, 6, 20, 30])
    whole = scipy.io.loadmat(root / "gnd_instre.mat")
    kept = {key: value for key, value in whole.items() if not key.startswith("__")}
    scipy.io.savemat(root / "gnd_instre.mat", {**kept, **change})
    with pytest.raises(PlaygroundError, match=why):
        Instre(root).root()
    (root / "gnd_instre.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(PlaygroundError, match="is no ground truth of INSTRE: broken"):
        Instre(root).root()


# Distractors


def write_distractors(root: Path, count: int = 12, listed: bool = True) -> Path:
    files = [f"{number % 3:03d}/d{number:04d}.jpg" for number in range(count)][::-1]
    for seed, file in enumerate(files):
        put_photo(root / "jpg" / file, 100 + seed)
    if listed:
        put_text(root / "revisitop1m.txt", "\n".join(files))
    return root


def test_distractors_are_added_to_a_benchmark(home: Path, tmp_path: Path) -> None:
    load("rox", ROxford5k(write_revisited(tmp_path / "rox")))
    root = write_distractors(tmp_path / "r1m")
    report = importing.add("rox", DistractorSource(root))
    assert report.added == 12
    collection = store.load("rox")
    assert len(collection.photos) == 18
    assert collection.source["protocol"] == "revisited"
    assert collection.sources[1]["expected"] == {"photos": 12, "queries": 0}
    assert not any("partial" in source for source in collection.sources)
    photo = collection.photo("002_d0011")
    assert (photo.file, photo.extra) == ("jpg/002/d0011.jpg", {"list": "distractors", "row": 0})
    # Another source's photos are no part of the benchmark.
    changing.remove("rox", ["002_d0011"])
    assert "partial" not in store.load("rox").source


def test_a_draw_of_distractors(home: Path, tmp_path: Path) -> None:
    root = write_distractors(tmp_path / "r1m")
    drawn = [
        [entry.id for entry in DistractorSource(root, limit=5, seed=seed).listing().photos]
        for seed in (0, 0, 1)
    ]
    assert len(set(drawn[0])) == 5
    assert drawn[0] == drawn[1] != drawn[2]
    described = DistractorSource(root, limit=5).describe()
    assert described["expected"] == {"photos": 5, "queries": 0}
    assert (described["limit"], described["seed"], described["listed"]) == (5, 0, 12)
    with pytest.raises(PlaygroundError, match=r"--limit 13 .*Legal: 1 to 12"):
        DistractorSource(root, limit=13).root()


def test_a_folder_of_distractors(home: Path, tmp_path: Path) -> None:
    collection, _ = load("far", DistractorSource(write_distractors(tmp_path, listed=False)))
    assert len(collection.photos) == 12
    assert collection.photos[0].extra == {}
    with pytest.raises(PlaygroundError, match=r"revisitop1m.txt is not in"):
        DistractorSource(tmp_path, photos=False).root()


@pytest.mark.parametrize("text", ["../x.jpg", "/etc/passwd", "a.jpg\na.jpg", "", "\n\n"])
def test_a_broken_list_of_distractors(tmp_path: Path, text: str) -> None:
    put_text(tmp_path / "revisitop1m.txt", text)
    with pytest.raises(PlaygroundError, match="is no ground truth of R1M"):
        DistractorSource(tmp_path, photos=False).root()


# Google Landmarks v2


def test_gldv2_retrieval(home: Path, tmp_path: Path) -> None:
    ids = [f"{number:x}{'0' * 15}" for number in range(6)]
    for seed, photo in enumerate(ids):
        put_photo(tmp_path / "index" / photo[0] / photo[1] / photo[2] / f"{photo}.jpg", seed)
    rows = "".join(f"{photo},{number // 3}\n" for number, photo in enumerate(ids))
    put_text(tmp_path / "index_image_to_landmark.csv", f"id,landmark_id\n{rows}")
    queries = {"a" * 16: ("Public", ids[0]), "b" * 16: ("Private", f"{ids[3]} {ids[4]}")}
    lines = [f"{query},{images},{usage}" for query, (usage, images) in queries.items()]
    lines += [f"{'c' * 16},None,Ignored"]
    put_text(tmp_path / "retrieval_solution_v2.1.csv", "id,images,Usage\n" + "\n".join(lines))
    for seed, query in enumerate(queries):
        put_photo(tmp_path / "test" / query[0] / query[1] / query[2] / f"{query}.jpg", 50 + seed)
    collection, _ = load("glr", Glr21Source(tmp_path))
    assert collection.source["protocol"] == "gldv2"
    assert collection.source["expected"] == {"photos": 6, "queries": 2}
    assert [query.extra for query in collection.queries] == [
        {"usage": "Public"},
        {"usage": "Private"},
    ]
    assert collection.queries[1].relevant == (ids[3], ids[4])
    assert "expected" not in Glr21Source(tmp_path, landmarks=1).describe()
    assert "protocol" not in Glr21Source(tmp_path, queries=False).describe()

    (tmp_path / "index" / "5" / "0" / "0" / f"{ids[5]}.jpg").unlink()
    collection, _ = load("part", Glr21Source(tmp_path))
    assert collection.source["partial"] == {"photos_missing": 1, "queries_missing": 0}


# Wrong paths, the command line


@pytest.mark.parametrize("kind", registry.BENCHMARKS)
def test_every_source_says_how_to_get_it(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    source = registry.BENCHMARKS[kind]
    assert source.kind == kind
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(PlaygroundError) as caught:
            source(path).root()
        assert source.how in str(caught.value)
        argv = ["import", "--source", kind, "--path", str(path), "--name", "mine"]
        assert console.call(cli.main, argv) == 2
        assert source.how in capsys.readouterr().err
        assert not store.exists("mine")
    with pytest.raises(SystemExit):
        cli.main(["import", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"{kind}: {source.title}. {source.how}" in text


def test_command_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_revisited(tmp_path / "rox")
    (root / "jpg" / "oxford_000000.jpg").unlink()
    base = ["import", "--source", "roxford5k", "--path", str(root)]
    assert console.call(cli.main, [*base, "--name", "rox"]) == 0
    out = capsys.readouterr().out
    assert "Partial: 1 of 6 photos and 0 of 2 queries are missing" in out
    assert "photos: 1 of 6 are not on this disk: oxford_000000." in out
    assert console.call(cli.main, ["show", "rox"]) == 0
    out = capsys.readouterr().out
    assert "partial      1 of 6 photos" in out
    assert console.call(cli.main, ["show", "rox", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["sources"][0]["partial"] == {"photos_missing": 1, "queries_missing": 0}

    assert console.call(cli.main, [*base, "--name", "bare", "--no-photos"]) == 0
    assert store.load("bare").photos[0].absent
    capsys.readouterr()
    for flags, why in (
        (["--limit", "3"], "--limit belong to --source distractors"),
        (["--landmarks", "3"], "--landmarks belong to --source glr21"),
    ):
        assert console.call(cli.main, [*base, "--name", "x", *flags]) == 2
        assert why in capsys.readouterr().err
    folder = ["import", "--source", "folder", "--path", str(root), "--name", "x", "--no-photos"]
    assert console.call(cli.main, folder) == 2
    assert "--no-photos belong to --source roxford5k or" in capsys.readouterr().err


def test_a_lost_photo_names_the_command(home: Path, tmp_path: Path) -> None:
    root = write_revisited(tmp_path / "rox")
    collection, _ = load("rox", ROxford5k(root))
    (root / "jpg" / "oxford_000000.jpg").unlink()
    with pytest.raises(PlaygroundError, match=r"--source roxford5k .* --exists refresh"):
        collection.read("oxford_000000")
