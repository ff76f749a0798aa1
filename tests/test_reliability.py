"""Nothing wrong under a right label: changed photos, damaged files, builds that die."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import threading
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from data import artefact, changing, child, importing, layout, photos, store
from data.demo import DemoSource
from data.errors import Conflict, PlaygroundError
from data.gate import Gate
from indexing import artefacts, jobs, status
from indexing.build import Incomplete, build
from scripts import build as build_script
from tests.conftest import write_toy
from tests.test_jobs import until


@pytest.fixture
def own(home: Path, tmp_path: Path) -> Path:
    """A folder of 12 toy photos that may be changed, imported as the collection ``toy``."""
    folder = write_toy(tmp_path / "own", landmarks=2)
    importing.import_collection("toy", DemoSource(folder))
    return folder


def swap(path: Path, other: Path) -> None:
    """Another photo's content at the same size, with the time of the old file."""
    before = path.stat()
    content = other.read_bytes()
    size = before.st_size
    # What follows the end mark of a JPEG is not read.
    path.write_bytes((content + bytes(size))[:size] if len(content) <= size else content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swapped(folder: Path) -> str:
    """Replace one photo by a smaller one, padded to the old size; the id of the replaced one."""
    files = sorted((folder / "photos").rglob("*.jpg"), key=lambda path: path.stat().st_size)
    swap(files[-1], files[0])
    return f"{files[-1].parent.name}-{files[-1].stem}"


# -- photos that changed -----------------------------------------------------------------------


def test_another_content_of_equal_size_is_refused(own: Path) -> None:
    build("toy", ["hog"], ["flat"])
    before = (artefacts.extractor_folder("toy", "hog") / artefact.MANIFEST).read_bytes()
    photo = swapped(own)
    members = store.load("toy")
    assert members.path(members.photo(photo)).stat().st_size == members.photo(photo).size
    with (
        mock.patch("data.photos.decode", side_effect=AssertionError("it was decoded")),
        pytest.raises(Conflict, match=rf"{photo} .* has changed since it was imported"),
    ):
        members.read(photo)
    with pytest.raises(PlaygroundError, match=rf"{photo} .* has changed since it was imported"):
        build("toy", ["hog"], ["flat"], force=True)
    assert (artefacts.extractor_folder("toy", "hog") / artefact.MANIFEST).read_bytes() == before


def test_a_changed_photo_is_marked(own: Path) -> None:
    members = store.load("toy")
    assert [one.id for one in members.photos if members.changed(one)] == []
    photo = swapped(own)
    assert [one.id for one in members.photos if members.changed(one)] == [photo]
    assert "has changed since it was imported" in str(members.changed(photo))
    members.path(members.photo(photo)).unlink()
    assert "any more" in str(members.changed(photo))


def test_a_photo_older_than_its_thumbnail_is_not_hashed(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = store.load("toy")
    for one in members.photos:
        later = members.path(one).stat().st_ctime_ns + 10**9
        os.utime(members.thumbnail_path(one), ns=(later, later))
    hashed: list[Path] = []
    monkeypatch.setattr(artefact, "file_sha256", lambda path: hashed.append(path) or "")
    assert not any(members.changed(one) for one in members.photos)
    assert not hashed
    assert all(members.changed(one, thorough=True) for one in members.photos)


# -- shards of a build that was stopped --------------------------------------------------------


def stopped_build(monkeypatch: pytest.MonkeyPatch, spec: str) -> list[Path]:
    """A build stopped when everything but the artefact was written; its shards."""

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(artefact, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            build("toy", [spec], [])
    folder = artefacts.extractor_folder("toy", spec) / "partial"
    return sorted(folder.rglob("*.safetensors"))


@pytest.mark.parametrize("spec", ["hog", "bovw:words=64"])
@pytest.mark.parametrize("how", ["flip", "flip in the header", "cut", "emptied", "without digest"])
def test_a_damaged_shard_is_made_again(
    own: Path, monkeypatch: pytest.MonkeyPatch, spec: str, how: str
) -> None:
    build("toy", [spec], [])
    folder = artefacts.extractor_folder("toy", spec)
    whole = artefacts.load_vectors(store.load("toy"), spec)[0].version
    shutil.rmtree(folder)
    shards = stopped_build(monkeypatch, spec)
    assert shards
    for path in shards:
        content = bytearray(path.read_bytes())
        if how == "flip":
            content[-7] ^= 4
        elif how == "flip in the header":
            content[content.index(b'"shape"') + 1] ^= 1
        elif how == "cut":
            del content[len(content) // 2 :]
        elif how == "emptied":
            content.clear()
        else:
            content = content.replace(b'"sha256"', b'"sha255"')
        path.write_bytes(bytes(content))
    build("toy", [spec], [])
    assert artefacts.load_vectors(store.load("toy"), spec)[0].version == whole


def test_whole_shards_are_used(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_build(monkeypatch, "bovw:words=64")
    assert build("toy", ["bovw:words=64"], [])[0].described == 0


# -- damaged artefacts -------------------------------------------------------------------------


def files_of(folder: Path) -> dict[str, Path]:
    manifest = artefact.read_manifest(folder)
    assert manifest is not None
    return {name: folder / entry["file"] for name, entry in manifest["files"].items()}


def hurt(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
        return
    if how == "flip":
        content[len(content) // 2] ^= 16
    elif how == "cut":
        del content[-9:]
    path.write_bytes(bytes(content))


def states(spec: str = "hog") -> dict[str, str]:
    """The state of the vectors and of what is built over them."""
    one = next(one for one in status.collection_status("toy") if one.extractor == spec)
    found = {index.index: index.state for index in one.indexes if index.state != "missing"}
    return {"vectors": one.state, **found}


@pytest.mark.parametrize("how", ["flip", "cut", "missing"])
@pytest.mark.parametrize("name", ["index.faiss", "rows.npy"])
def test_a_damaged_index_is_built_again_by_the_command_of_its_sentence(
    own: Path, how: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from extractors.base import Features
    from extractors.hog import Hog

    if name == "rows.npy":  # one photo without a descriptor, so that there are rows
        real = Hog.encode
        count = iter(range(1000))

        def encode(self: Hog, raw: dict[str, np.ndarray]) -> Features:
            made = real(self, raw)
            return Features(made.vectors * 0) if next(count) == 3 else made

        monkeypatch.setattr(Hog, "encode", encode)
    build("toy", ["hog"], ["flat", "pq"])
    folder = artefacts.index_folder("toy", "hog", "flat")
    whole = {path.name: path.read_bytes() for path in files_of(folder).values()}
    hurt(files_of(folder)[name], how)
    if how != "flip":
        assert states() == {"vectors": "ready", "flat": "damaged", "pq": "ready"}
    vectors, _ = artefacts.load_vectors(store.load("toy"), "hog")
    with pytest.raises(PlaygroundError) as caught:
        artefacts.load_index("toy", "hog", "flat", vectors)
    assert caught.value.command == artefacts.build_command("toy", "hog", "flat")
    assert [o.action for o in build("toy", ["hog"], ["flat", "pq"])] == [
        *("unchanged", "built", "unchanged")
    ]
    assert {path.name: path.read_bytes() for path in files_of(folder).values()} == whole
    assert states() == {"vectors": "ready", "flat": "ready", "pq": "ready"}


def mutations(text: bytes) -> dict[str, bytes]:
    return {
        "not UTF-8": text.replace(b'"index"', b'"ind\xffx"').replace(b'"dim"', b'"d\xffm"'),
        "no JSON": text[: len(text) // 2],
        "empty": b"",
        "a list": b"[]",
        "a key of its own": text.replace(b'"vectors_sha256"', b'"vecTors_sha256"').replace(
            b'"fingerprint"', b'"fingerprInt"'
        ),
        "a key of a file": text.replace(b'"sha256"', b'"sha2{6"', 1),
        "another kind": text.replace(b'"kind"', b'"kjnd"'),
        "another type": text.replace(b'"notes": []', b'"notes": 3').replace(
            b'"search": {', b'"search": 3, "s": {'
        ),
        "another spec": text.replace(b'"index": "flat"', b'"index": "fl`t"').replace(
            b'"extractor": "hog"', b'"extractor": "hpg"'
        ),
        "deep": b"[" * 100_000,
    }


@pytest.mark.parametrize("how", list(mutations(b"")))
@pytest.mark.parametrize("what", ["vectors", "flat"])
def test_a_damaged_manifest_is_one_damaged_artefact(own: Path, how: str, what: str) -> None:
    from retrieval.engine import SearchEngine
    from retrieval.ranking import Query, Recipe

    build("toy", ["hog", "bovw:words=64"], ["flat", "lsh"])
    folder = artefacts.extractor_folder("toy", "hog")
    path = (folder if what == "vectors" else folder / "indexes" / "flat") / artefact.MANIFEST
    whole = path.read_bytes()
    path.write_bytes(mutations(whole)[how])
    if path.read_bytes() == whole:
        pytest.skip("this manifest has nothing of the kind")
    found = states()
    assert found[what] == "damaged"
    assert set(states("bovw:words=64").values()) == {"ready"}
    if what == "flat":
        assert found["lsh"] == "ready"
    query = Query(store.load("toy").read("q-toy-0-06"))
    with pytest.raises(PlaygroundError, match=r"scripts\.build"):
        SearchEngine().search("toy", Recipe.of("hog", "flat"), query, 3)
    assert SearchEngine().search("toy", Recipe.of("bovw:words=64", "flat"), query, 3).hits
    with pytest.raises(PlaygroundError, match=r"scripts\.build"):
        SearchEngine().stats("toy", "hog", "flat")
    build("toy", ["hog"], ["flat", "lsh"])
    assert path.read_bytes() == whole
    assert set(states().values()) == {"ready"}


# -- the whole command -------------------------------------------------------------------------


def test_check_says_what_is_damaged_and_builds_that_alone(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build("toy", ["hog", "bovw:words=64"], ["flat", "factory:HNSW8"])
    assert build_script.main(["--collection", "toy", "--check"]) == 0
    assert "6 artefacts checked, 0 damaged or changed, 0 built again" in capsys.readouterr().out
    root = artefacts.vectors_root("toy")
    whole = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    hurt(files_of(artefacts.index_folder("toy", "hog", "factory:HNSW8"))["index.faiss"], "flip")
    hurt(files_of(artefacts.extractor_folder("toy", "bovw:words=64"))["vectors.npy"], "cut")
    (artefacts.index_folder("toy", "hog", "flat") / artefact.MANIFEST).write_bytes(b"\xff")
    assert build_script.main(["--collection", "toy", "--check", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {(one["extractor"], one["index"]) for one in summary["built"]} == {
        ("hog", "factory:HNSW8"),
        ("hog", "flat"),
        ("bovw:words=64", None),
    }
    assert len([one for one in summary["checked"] if one["wrong"]]) == 3
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {p: c for p, c in after.items() if p.name != artefact.RECORD} == {
        p: c for p, c in whole.items() if p.name != artefact.RECORD
    }


def test_check_names_a_photo_that_changed(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build("toy", ["hog"], ["flat"])
    photo = swapped(own)
    assert build_script.main(["--collection", "toy", "--check"]) == 1
    said = capsys.readouterr()
    assert "2 artefacts checked, 1 damaged or changed, 0 built again" in said.out
    assert f"photo {photo}" in said.err and "has changed since it was imported" in said.err


def test_every_extractor_is_tried(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from extractors.hog import Hog

    def broken(self: Hog, raw: object) -> None:
        raise PlaygroundError("HOG found nothing.")

    monkeypatch.setattr(Hog, "encode", broken)
    words = ["--collection", "toy", "--extractors", "hog,bovw:words=64", "--quiet"]
    code = build_script.main([*words, "--indexes", "pq:m=11,flat"])
    said = capsys.readouterr()
    assert code == 1
    assert "error: hog: HOG found nothing." in said.err
    assert "error: bovw:words=64 pq:m=11: " in said.err
    assert states("bovw:words=64") == {"vectors": "ready", "flat": "ready"}


def test_one_extractor_that_fails_is_an_error_of_its_own(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped(own)
    with pytest.raises(Conflict, match="has changed"):
        build("toy", ["hog"], ["flat"])


# -- indexes that end the process --------------------------------------------------------------


def test_opq_with_fewer_vectors_than_its_rotation_has_numbers_is_refused(own: Path) -> None:
    spec = "factory:OPQ16_64,IVF4,PQ16x2,RFlat"
    with pytest.raises(PlaygroundError, match=r"rotation to 64 numbers.*only 12 vectors.*OPQ1_12"):
        build("toy", ["hog"], ["flat", spec, "lsh"])
    assert states() == {"vectors": "ready", "flat": "ready", "lsh": "ready"}


def test_a_crash_takes_one_index_alone(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, usual = child.once, child.COMMAND

    def dying(function: str, request: dict[str, object], **limits: object) -> child.Frame:
        code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
        dies = "HNSW8" in str(request["index"])
        monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", code) if dies else usual)
        return real(function, request, **limits)

    monkeypatch.setattr(child, "once", dying)
    with pytest.raises(Incomplete) as caught:
        build("toy", ["hog"], ["factory:HNSW8", "factory:HNSW4", "flat"])
    [failure] = caught.value.failures
    assert failure.index == "factory:HNSW8"
    assert "died (SIGSEGV)" in str(failure) and "factory:HNSW8" in str(failure.error)
    assert states() == {"vectors": "ready", "factory:HNSW4": "ready", "flat": "ready"}
    assert not list(artefacts.index_folder("toy", "hog", "factory:HNSW8").glob(".alone-*"))


def test_an_index_built_alone_has_the_bytes_of_one_built_here(own: Path) -> None:
    from indexing import registry

    spec = "factory:IVF2,PQ4x2"
    build("toy", ["hog"], [spec])
    vectors, _ = artefacts.load_vectors(store.load("toy"), "hog")
    kind, overrides = registry.parse_index_spec(spec)
    here = kind.build(
        np.ascontiguousarray(vectors.vectors), kind.plan(*vectors.vectors.shape, overrides)
    )
    path = own / "here.faiss"
    here.save(path)
    folder = artefacts.index_folder("toy", "hog", spec)
    assert files_of(folder)["index.faiss"].read_bytes() == path.read_bytes()
    manifest = artefact.read_manifest(folder)
    assert manifest is not None
    assert manifest["bytes_per_vector"] == here.bytes_per_vector


# -- the pages ---------------------------------------------------------------------------------


def test_every_page_stands_beside_a_damaged_artefact(own: Path) -> None:
    from test_pages_app import app

    from pages.parts import backend

    build("toy", ["hog", "bovw:words=64"], ["flat"])
    manifest = artefacts.extractor_folder("toy", "bovw:words=64") / artefact.MANIFEST
    manifest.write_bytes(b'{"format": 1, \xff')
    index = artefacts.index_folder("toy", "hog", "flat") / artefact.MANIFEST
    index.write_bytes(b"{}")
    build("toy", ["hog"], ["lsh"])
    for page in (None, "methods", "accuracy", "tradeoffs", "inside", "embedding"):
        test = app(page, collection="toy", extractors="hog", indexes="lsh")
        assert not test.exception, (page, [one.value for one in test.exception])
        assert not [one.value for one in test.error if "defect of ours" in one.value], page
    with mock.patch.object(backend, "start_mending") as started:
        test = app("collections", collection="toy")
        assert not test.exception
        [said] = [one.value for one in test.error]
        assert said.count("is damaged") == 2
        test.button(key="mend").click().run()
    started.assert_called_once_with("toy")
    jobs_before = jobs.jobs("toy")
    started_job = backend.start_mending("toy")
    assert not jobs_before
    until(lambda: jobs.job(started_job.id).state != "running")
    assert jobs.job(started_job.id).state == "done", jobs.job(started_job.id).error
    assert set(states().values()) | set(states("bovw:words=64").values()) == {"ready"}


def test_a_photo_that_changed_is_marked_on_the_page(own: Path) -> None:
    from test_pages_app import app

    build("toy", ["hog"], ["flat"])
    photo = store.load("toy").photo(swapped(own))
    from pages.parts import backend

    words = backend.marked(store.load("toy"), photo)
    assert words == f"{backend.caption(store.load('toy'), photo)} (changed since its import)"
    for page in (None, "collections"):
        test = app(page, collection="toy", extractors="hog", indexes="flat", photo=photo.id)
        assert not test.exception


# -- bounded ------------------------------------------------------------------------------------


def test_what_a_killed_first_import_left_is_listed_and_deletable(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts import collections as script

    folder = write_toy(tmp_path / "own", landmarks=1)

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(artefact, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            importing.import_collection("left", DemoSource(folder))
    importing.import_collection("whole", DemoSource(folder))
    assert changing.leftovers() == ["left"]
    with artefact.exclusive(layout.folder_of("left"), "An import"):
        assert changing.leftovers() == []  # at work, not left
    script.main(["list"])
    assert "collections delete left --yes" in capsys.readouterr().out
    with pytest.raises(PlaygroundError, match="Nothing was deleted"):
        script.main(["delete", "left"])
    script.main(["delete", "left", "--yes"])
    assert changing.leftovers() == []
    assert not layout.folder_of("left").exists()
    assert store.list_collections() == ["whole"]


def test_large_decodes_wait_for_room() -> None:
    gate = Gate(100)
    inside: list[int] = []
    most: list[int] = []
    go = threading.Event()

    def work(size: int) -> None:
        with gate.take(size):
            inside.append(size)
            most.append(sum(min(one, 100) for one in inside))
            go.wait()
            inside.remove(size)

    threads = []
    for size in (60, 1000, 30, 30):  # the large one is not overtaken by those behind it
        threads.append(threading.Thread(target=work, args=(size,)))
        threads[-1].start()
        until(lambda: len(gate._queue) + len(inside) == len(threads))
    assert inside == [60]
    go.set()
    for thread in threads:
        thread.join()
    assert max(most) <= 100
    assert len(most) == 4 and not gate._queue and gate._taken == 0


def test_a_gate_is_left_by_what_fails() -> None:
    gate = Gate(10)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"), gate.take(8):
            raise ValueError("no")
    assert gate._taken == 0


def test_an_upload_of_too_many_pixels_is_refused_by_its_header() -> None:
    from PIL import Image

    from pages.parts import backend

    buffer = io.BytesIO()
    Image.new("P", (12_000, 9_990)).save(buffer, "PNG")
    with pytest.raises(photos.BadPhoto, match="the limit is 50,000,000"):
        backend.decode_upload("digest", buffer.getvalue())


@pytest.mark.parametrize(
    ("size", "side", "cost"),
    [((4000, 3000), 2000, 12e6), ((4000, 3000), 240, 12e6 / 64), ((900, 600), None, 54e4)],
)
def test_a_jpeg_that_is_drafted_costs_a_part(
    size: tuple[int, int], side: int | None, cost: float
) -> None:
    from PIL import Image, ImageFile

    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "JPEG")
    with Image.open(buffer) as image:
        assert isinstance(image, ImageFile.ImageFile)
        assert photos._cost(image, side) == cost
        if side is not None:
            image.draft(None, photos._fit(image.size, 2 * side))
            assert image.size[0] * image.size[1] == cost
