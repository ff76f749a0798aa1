"""Descriptors of others: files of every kind and layout, and the collection evaluated by them."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from data import changing, descriptors, importing, photos, store
from data.base import Candidate
from data.errors import PlaygroundError
from data.sources import distractors
from data.sources.distractors import DistractorSource, open_shards
from data.sources.holidays import Holidays
from data.sources.revisited import ROxford5k
from evaluation import registry as protocols
from extractors import registry as extractors
from indexing import artefacts, imported, status
from indexing.build import build
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from scripts import console
from scripts import descriptors as cli

N, D, NQ = 20, 8, 3
SPEC = "imported:name=R101-GeM"


def matrix(rows: int = N, dim: int = D, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    """Row by row, by plain arithmetic."""
    return np.array([row / sum(float(x) ** 2 for x in row) ** 0.5 for row in rows], np.float32)


IDS = [f"photo_{number:02d}" for number in range(N)]


# Reading


def save_npy(path: Path, rows: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), rows)
    return path.with_suffix(".npy")


def save_columns(path: Path, rows: np.ndarray) -> Path:
    return save_npy(path, np.ascontiguousarray(rows.T))


def save_fortran(path: Path, rows: np.ndarray) -> Path:
    return save_npy(path, np.asfortranarray(rows))


def save_mat(path: Path, rows: np.ndarray) -> Path:
    scipy.io.savemat(path.with_suffix(".mat"), {"X": rows.T.astype(np.float64)})
    return path.with_suffix(".mat")


def save_parquet(path: Path, rows: np.ndarray) -> Path:
    order = np.random.default_rng(1).permutation(len(rows))
    table = pa.table({"id": [IDS[i] for i in order], "vector": [rows[i].tolist() for i in order]})
    pq.write_table(table, path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def save_fixed_parquet(path: Path, rows: np.ndarray) -> Path:
    flat = pa.array(rows.ravel())
    table = pa.table({"id": IDS, "v": pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])})
    pq.write_table(table, path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def save_wide_parquet(path: Path, rows: np.ndarray) -> Path:
    columns = {f"x{i}": rows[:, i] for i in range(rows.shape[1])}
    pq.write_table(pa.table({"image": IDS, **columns}), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


@pytest.mark.parametrize(
    "save",
    [
        save_npy,
        save_columns,
        save_fortran,
        save_mat,
        save_parquet,
        save_fixed_parquet,
        save_wide_parquet,
    ],
)
def test_every_layout_gives_the_same(
    tmp_path: Path, save: Callable[[Path, np.ndarray], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors, "BLOCK", 7)  # several blocks, the last one short
    rows = matrix()
    read = descriptors.read(save(tmp_path / "file", rows), IDS)
    assert read.ids == tuple(IDS)
    assert read.vectors.dtype == np.float32
    assert read.vectors.shape == (N, D)
    np.testing.assert_allclose(read.vectors, unit(rows), atol=2e-6)
    norms = np.linalg.norm(rows, axis=1)
    assert read.norms.least == pytest.approx(norms.min(), rel=1e-5)
    assert read.norms.greatest == pytest.approx(norms.max(), rel=1e-5)
    assert not read.norms.unit


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8, np.int32])
def test_number_types(tmp_path: Path, dtype: Any) -> None:
    rows = (matrix() * 10).astype(dtype) if dtype != np.uint8 else (matrix() > 0).astype(dtype)
    rows[rows.any(axis=1) == 0, 0] = 1
    read = descriptors.read(save_npy(tmp_path / "file", rows), IDS)
    np.testing.assert_allclose(read.vectors, unit(rows.astype(np.float64)), atol=2e-6)


def test_large_half_floats_do_not_overflow(tmp_path: Path) -> None:
    rows = np.full((N, D), 6e4, np.float16)
    read = descriptors.read(save_npy(tmp_path / "file", rows), IDS)
    np.testing.assert_allclose(read.vectors, np.full((N, D), D**-0.5), atol=1e-6)
    rows32 = np.full((N, D), 1e30, np.float32)
    read = descriptors.read(save_npy(tmp_path / "file", rows32), IDS)
    np.testing.assert_allclose(read.vectors, np.full((N, D), D**-0.5), atol=1e-6)


def test_a_square_matrix_has_to_be_explained(tmp_path: Path) -> None:
    rows = matrix(D, D)
    path = save_npy(tmp_path / "file", rows)
    with pytest.raises(PlaygroundError, match="--layout rows or --layout columns"):
        descriptors.read(path, IDS[:D])
    for layout, expected in (("rows", rows), ("columns", rows.T)):
        read = descriptors.read(path, IDS[:D], layout=layout)  # type: ignore[arg-type]
        np.testing.assert_allclose(read.vectors, unit(expected), atol=2e-6)


def test_zero_rows_are_refused_by_their_ids(tmp_path: Path) -> None:
    rows = matrix()
    rows[[3, 5]] = 0
    with pytest.raises(PlaygroundError, match=r"2 of 20 .* length 0.*: photo_03, photo_05\."):
        descriptors.read(save_npy(tmp_path / "file", rows), IDS)
    with pytest.raises(PlaygroundError, match="are zero"):
        descriptors.read(save_npy(tmp_path / "file", rows * 0), IDS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    rows = matrix()
    rows[11, 2] = value
    with pytest.raises(PlaygroundError, match=r"descriptor of photo_11 in file.npy is not finite"):
        descriptors.read(save_npy(tmp_path / "file", rows), IDS)


def write_bytes(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


def object_array(path: Path) -> Path:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path(path.parent / "proof").touch, ())

    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)
    return path


def cut_npy(path: Path) -> Path:
    np.save(path, matrix())
    path.write_bytes(path.read_bytes()[:-16])
    return path


def open_bracket_npy(path: Path) -> Path:
    np.save(path, matrix())
    path.write_bytes(path.read_bytes().replace(b"), }", b" , }"))
    return path


def no_text_parquet(path: Path) -> Path:
    """Its ids are no UTF-8, which nothing says before they are read."""
    offsets, letters = (pa.py_buffer(np.array(one)) for one in (np.int32([0, 1, 2]), b"\xff\xfe"))
    ids = pa.StringArray.from_buffers(2, offsets, letters)
    pq.write_table(pa.table({"id": ids, "v": [[1.0], [2.0]]}), path)
    return path


def parquet_of(**columns: Any) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        pq.write_table(pa.table(columns), path)
        return path

    return write


def mat_of(**variables: Any) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        scipy.io.savemat(path, variables)
        return path

    return write


HDF5 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize(
    ("name", "write", "why"),
    [
        ("a.npy", write_bytes(b""), "is no .npy file"),
        ("a.npy", write_bytes(b"words"), "is no .npy file"),
        ("a.npy", object_array, "is no .npy file"),
        ("a.npy", cut_npy, "is no .npy file"),
        ("a.npy", open_bracket_npy, "is no .npy file"),
        ("a.npy", lambda p: save_npy(p, np.zeros(5)), "shape"),
        ("a.npy", lambda p: save_npy(p, np.zeros((2, 2), complex)), "complex"),
        ("a.npy", lambda p: save_npy(p, np.zeros((0, 5))), "shape"),
        ("a.npy", lambda p: save_npy(p, matrix(5, 6)), "expected are 20 photos"),
        ("a.npy", lambda p: save_npy(p, np.zeros((N, 70_000), np.int8)), "limit is 65,536"),
        ("a.mat", write_bytes(b"words" * 100), "is no MATLAB file"),
        ("a.mat", write_bytes(HDF5 + bytes(600)), r"v7.3 file \(HDF5\).*-v7"),
        ("a.mat", mat_of(Y=matrix()), r"no variable X. It has: Y \(20, 8\). Name one with --key"),
        ("a.mat", mat_of(X="text"), "holds char"),
        ("a.parquet", write_bytes(b"PAR1 words PAR1"), "is no Parquet file"),
        ("a.parquet", no_text_parquet, "is damaged"),
        ("a.parquet", parquet_of(id=IDS), "Needed: a text column id"),
        ("a.parquet", parquet_of(v=matrix().tolist()), "Needed: a text column id"),
        ("a.parquet", parquet_of(id=["a", "a"], v=[[1.0], [2.0]]), "names a photo twice"),
        ("a.parquet", parquet_of(id=["a", "b"], v=[[1.0], [2.0, 3.0]]), "different lengths"),
        ("a.parquet", parquet_of(id=["a", "b"], v=[[1.0, 2.0, 3.0], [1.0]]), "different lengths"),
        ("a.parquet", parquet_of(id=["a", "b"], v=[[1.0], None]), "without a descriptor"),
        ("a.parquet", parquet_of(id=IDS[:19], v=matrix(19).tolist()), "no descriptor of 1 of"),
        ("a.pkl", write_bytes(pickle.dumps(1)), "Legal: .npy, .parquet, .mat"),
        ("a.npz", write_bytes(b""), "Legal: .npy, .parquet, .mat"),
    ],
)
def test_files_that_are_refused(
    tmp_path: Path, name: str, write: Callable[[Path], Path], why: str
) -> None:
    with pytest.raises(PlaygroundError, match=why):
        descriptors.read(write(tmp_path / name), IDS)
    assert not (tmp_path / "proof").exists()
    with pytest.raises(PlaygroundError, match="There is no file"):
        descriptors.read(tmp_path / "nothing.npy", IDS)


def test_a_parquet_file_with_fewer_rows_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_parquet(tmp_path / "a", matrix())
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda self, **options: iter(()))
    with pytest.raises(PlaygroundError, match=rf"is damaged: it has 0 of {N} rows"):
        descriptors.read(path, IDS)


def test_ids_files(tmp_path: Path) -> None:
    text = tmp_path / "ids.txt"
    text.write_text("jpg/a 1.jpg\n\n  b.jpg\nc\n", encoding="utf-8")
    assert descriptors.read_ids(text) == ("jpg_a_1", "b", "c")
    listed = tmp_path / "ids.json"
    listed.write_text(json.dumps(["a.jpg", "b"]))
    assert descriptors.read_ids(listed) == ("a", "b")
    for content, why in (("[1]", "no JSON list"), ("{", "no JSON list"), ('["a", "a"]', "twice")):
        listed.write_text(content)
        with pytest.raises(PlaygroundError, match=why):
            descriptors.read_ids(listed)
    text.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlaygroundError, match="no text file"):
        descriptors.read_ids(text)


# Shards


@pytest.mark.parametrize(("suffix", "columns"), [(".npy", False), (".npy", True), (".mat", True)])
def test_shards_are_one_matrix(tmp_path: Path, suffix: str, columns: bool) -> None:
    rows = matrix(33)
    # By number: 2 comes before 10.
    for number, part in zip((2, 10, 1), np.split(rows, [5, 25]), strict=True):
        stored = part.T if columns else part
        if suffix == ".npy":
            np.save(tmp_path / f"r1m.{number}.npy", stored)
        else:
            scipy.io.savemat(tmp_path / f"r1m.{number}.mat", {"X": stored})
    whole = open_shards(tmp_path, dim=D, count=33)
    assert whole.rows == 33
    expected = np.concatenate([rows[25:], rows[:5], rows[5:25]])
    np.testing.assert_array_equal(np.concatenate(list(whole.blocks())), expected)
    with pytest.raises(PlaygroundError, match=r"33 descriptors, and the list .* has 34"):
        open_shards(tmp_path, dim=D, count=34)
    with pytest.raises(PlaygroundError, match="needed are 9"):
        open_shards(tmp_path, dim=9)
    for other in (2, 10):  # the square one is left, which alone does not say which axis is which
        (tmp_path / f"r1m.{other}{suffix}").unlink()
    with pytest.raises(PlaygroundError, match="--layout rows or --layout columns"):
        open_shards(tmp_path, dim=D)


def test_shards_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match="does not exist"):
        open_shards(tmp_path / "no", dim=D)
    with pytest.raises(PlaygroundError, match="has 0 feature files"):
        open_shards(tmp_path, dim=D)
    np.save(tmp_path / "a.npy", matrix())
    scipy.io.savemat(tmp_path / "b.mat", {"X": matrix()})
    with pytest.raises(PlaygroundError, match=r"kinds .mat, .npy"):
        open_shards(tmp_path, dim=D)


def test_npy_files_are_memory_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read when their block is, not when the file is opened."""
    np.save(tmp_path / "a.npy", matrix(5000, 4))
    monkeypatch.setattr(descriptors, "BLOCK", 1000)
    opened = descriptors.open_matrix(tmp_path / "a.npy", dim=4)
    assert [len(block) for block in opened.blocks()] == [1000] * 5


# Imported as an extractor's output


def write_truth(root: Path) -> Path:
    """A list of 20 photos in an order of its own, and 3 queries."""
    root.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(3).permutation(N)
    gnd = [
        {"bbx": [0, 0, 40, 30], "easy": [0, 1], "hard": [2], "junk": [3]},
        {"bbx": [5, 5, 20, 20], "easy": [4], "hard": [5, 6], "junk": []},
        {"bbx": [0, 0, 9, 9], "easy": [7, 8], "hard": [9], "junk": [0, 1]},
    ]
    truth = {
        "imlist": [IDS[i] for i in order],
        "qimlist": ["query_c", "query_a", "query_b"],
        "gnd": gnd,
    }
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth, 3))
    return root


@pytest.fixture
def rox(home: Path, tmp_path: Path) -> store.Collection:
    """``rox``: 20 photos and 3 queries without files."""
    importing.import_collection("rox", ROxford5k(write_truth(tmp_path / "rox"), photos=False))
    return store.load("rox")


def save_revisitop(path: Path, x: np.ndarray, q: np.ndarray) -> Path:
    scipy.io.savemat(path, {"X": x.T, "Q": q.T})
    return path


def plain_ranking(x: np.ndarray, q: np.ndarray, names: list[str]) -> list[str]:
    return [names[i] for i in np.argsort(-(unit(x) @ unit(q[None])[0]), kind="stable")]


def list_of(collection: store.Collection) -> list[str]:
    return [p.id for p in sorted(collection.photos, key=lambda p: p.extra["row"])]


def test_published_features_are_evaluated_without_photos(
    rox: store.Collection, tmp_path: Path
) -> None:
    x, q = matrix(), matrix(NQ, seed=5)
    path = save_revisitop(tmp_path / "features.mat", x, q)
    report = imported.import_descriptors("rox", "R101-GeM", path)
    assert (report.extractor, report.photos, report.queries, report.dim) == (SPEC, N, NQ, D)
    build("rox", [SPEC], ["flat", "lsh"])
    engine = SearchEngine()
    protocol = protocols.choose("auto", rox)
    assert protocol.name == "revisited"
    names = list_of(rox)
    for query in rox.queries:
        described = Query.of_photo(rox, query)
        assert engine.search("rox", Recipe.of(SPEC), described, k=1).box == query.box
        found = [
            hit.id for hit in engine.search("rox", Recipe.of(SPEC, "flat"), described, k=N).hits
        ]
        expected = plain_ranking(x, q[query.extra["row"]], names)
        assert found == expected
        assert protocol.judge_all(rox, query, found) == protocol.judge_all(rox, query, expected)
    assert len(engine.search("rox", Recipe.of(SPEC, "lsh"), described, k=5).hits) == 5

    vectors, extractor = artefacts.load_vectors(rox, SPEC)
    assert vectors.ids == rox.ids
    assert extractor.dim == D
    ready = next(one for one in status.collection_status("rox") if one.extractor == SPEC)
    assert (ready.state, ready.dim, ready.searchable) == ("ready", D, True)
    assert vectors.manifest["imported"]["file"] == "features.mat"


def test_new_photos_cannot_be_described(rox: store.Collection, tmp_path: Path) -> None:
    path = save_revisitop(tmp_path / "f.mat", matrix(), matrix(NQ))
    imported.import_descriptors("rox", "R101-GeM", path)
    build("rox", [SPEC], ["flat"])
    with pytest.raises(PlaygroundError, match="cannot describe new photos"):
        SearchEngine().describe("rox", SPEC, Query(np.zeros((30, 40, 3), np.uint8)))
    assert "imported" not in extractors.names()
    assert "imported" not in extractors.expand("all")
    made = extractors.create(SPEC)
    assert extractors.canonical(SPEC) == SPEC
    assert extractors.card("imported").title
    assert made.identity()["config"] == {"name": "R101-GeM"}
    with pytest.raises(PlaygroundError, match="have no dimension"):
        made.load_state({})
    # Other extractors say why they cannot either.
    with pytest.raises(PlaygroundError, match=r"has no file: .*--no-photos"):
        build("rox", ["hog"], ["flat"])


def test_missing_or_outdated_descriptors_name_the_import(
    rox: store.Collection, tmp_path: Path
) -> None:
    command = r"scripts.descriptors import --collection rox --name 'R101-GeM' --file FILE"
    with pytest.raises(PlaygroundError, match=command):
        build("rox", [SPEC], ["flat"])
    with pytest.raises(PlaygroundError, match=command):
        imported.stored_queries("rox", SPEC)
    path = save_revisitop(tmp_path / "f.mat", matrix(), matrix(NQ))
    imported.import_descriptors("rox", "R101-GeM", path)
    changing.remove("rox", [IDS[0]])
    for force in (False, True):
        with pytest.raises(PlaygroundError, match=f"has changed since.*{command}"):
            build("rox", [SPEC], ["flat"], force=force)
    # The same file fits what is left of the list.
    assert imported.import_descriptors("rox", "R101-GeM", path).photos == N - 1
    assert [one.action for one in build("rox", [SPEC], ["flat"], force=True)] == [
        "unchanged",
        "built",
    ]


def test_an_import_replaces_the_one_before(rox: store.Collection, tmp_path: Path) -> None:
    for seed in (0, 1):
        x, q = matrix(seed=seed), matrix(NQ, seed=10 + seed)
        path = save_revisitop(tmp_path / "f.mat", x, q)
        imported.import_descriptors("rox", "R101-GeM", path)
        build("rox", [SPEC], ["flat"])
        query = rox.queries[0]
        engine = SearchEngine()
        described = Query.of_photo(rox, query)
        found = [
            hit.id for hit in engine.search("rox", Recipe.of(SPEC, "flat"), described, k=N).hits
        ]
        assert found == plain_ranking(x, q[query.extra["row"]], list_of(rox))


@pytest.mark.parametrize("bad", ["photos", "queries", "dim", "count", "name"])
def test_what_was_there_stays(rox: store.Collection, tmp_path: Path, bad: str) -> None:
    path = save_revisitop(tmp_path / "f.mat", matrix(), matrix(NQ))
    imported.import_descriptors("rox", "R101-GeM", path)
    folder = artefacts.extractor_folder("rox", SPEC)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    x, q = matrix(seed=1), matrix(NQ, seed=2)
    if bad == "photos":
        x[3, 3] = np.nan
    elif bad == "queries":
        q[1, 1] = np.inf
    elif bad == "dim":
        q = matrix(NQ, D + 1)
    elif bad == "count":
        x = matrix(N - 1)
    path = save_revisitop(tmp_path / "f.mat", x, q)
    name = "../evil" if bad == "name" else "R101-GeM"
    with pytest.raises(PlaygroundError):
        imported.import_descriptors("rox", name, path)
    after = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    assert after == before


def test_rows_named_by_files(rox: store.Collection, tmp_path: Path) -> None:
    x, q = matrix(N + 2), matrix(NQ, seed=5)
    ids = [*(f"jpg/{one}.jpg" for one in IDS), "other_1", "other_2"]  # more than the collection has
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "ids.txt").write_text("\n".join(ids).replace("jpg/", ""))
    np.save(tmp_path / "q.npy", q.T)
    (tmp_path / "qids.txt").write_text("query_a\nquery_b\nquery_c")
    imported.import_descriptors(
        "rox",
        "own",
        tmp_path / "x.npy",
        ids=tmp_path / "ids.txt",
        queries=tmp_path / "q.npy",
        query_ids=tmp_path / "qids.txt",
    )
    vectors, _ = artefacts.load_vectors(rox, "imported:name=own")
    np.testing.assert_allclose(vectors.vectors, unit(x[:N]), atol=2e-6)
    stored = imported.stored_queries("rox", "imported:name=own")
    np.testing.assert_allclose(stored.vectors[stored.rows["query_b"]], unit(q)[1], atol=2e-6)
    (tmp_path / "ids.txt").write_text("\n".join(IDS[:5]))
    with pytest.raises(PlaygroundError, match=r"22 x 8; expected are 5 photos"):
        imported.import_descriptors("rox", "own", tmp_path / "x.npy", ids=tmp_path / "ids.txt")


def test_without_descriptors_of_queries(rox: store.Collection, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", matrix())
    report = imported.import_descriptors("rox", "R101-GeM", tmp_path / "x.npy")
    assert report.queries == 0
    assert "No descriptors of the 3 queries" in report.notes[0]
    with pytest.raises(PlaygroundError, match=r"no descriptor of the query query_a.*--queries"):
        SearchEngine().describe("rox", SPEC, Query.of_photo(rox, rox.query("query_a")))


def test_queries_that_are_photos_use_their_vectors(home: Path, tmp_path: Path) -> None:
    names = ["100000", "100001", "100100", "100101", "100102"]
    listing = tmp_path / "holidays_images.dat"
    listing.write_text("\n".join(f"{name}.jpg" for name in names))
    importing.import_collection("holidays", Holidays(tmp_path, photos=False))
    collection = store.load("holidays")
    rows = matrix(5)
    np.save(tmp_path / "x.npy", rows)
    report = imported.import_descriptors("holidays", "R101-GeM", tmp_path / "x.npy")
    assert report.queries == 2
    assert "use their vectors" in report.notes[0]
    described = SearchEngine().describe(
        "holidays", SPEC, Query.of_photo(collection, collection.query("q100100"))
    )
    np.testing.assert_allclose(described.features.vectors[0], unit(rows)[2], atol=2e-6)


def test_distractors_are_imported_from_shards(rox: store.Collection, tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    files = [f"{number % 3}/d{number:03d}.jpg" for number in range(50)][::-1]
    (far / "revisitop1m.txt").write_text("\n".join(files))
    importing.add("rox", DistractorSource(far, photos=False, limit=30, seed=4))
    collection = store.load("rox")
    assert len(collection.photos) == N + 30
    x, q, z = matrix(), matrix(NQ, seed=5), matrix(50, seed=6)
    path = save_revisitop(tmp_path / "f.mat", x, q)
    shards = tmp_path / "shards"
    shards.mkdir()
    for number, part in enumerate(np.split(z, [20, 40])):
        np.save(shards / f"part{number}.npy", part.T)
    with pytest.raises(PlaygroundError, match="--ids FILE"):
        imported.import_descriptors("rox", "R101-GeM", path)
    report = imported.import_descriptors("rox", "R101-GeM", path, distractors=shards)
    assert report.photos == N + 30
    vectors, _ = artefacts.load_vectors(collection, SPEC)
    ids = distractors.distractor_ids(files)
    row_of = dict(zip(list_of(rox), unit(x), strict=True)) | dict(zip(ids, unit(z), strict=True))
    expected = np.array([row_of[one] for one in collection.ids])
    np.testing.assert_allclose(vectors.vectors, expected, atol=2e-6)
    (shards / "part2.npy").unlink()
    with pytest.raises(PlaygroundError, match="40 descriptors, and the list"):
        imported.import_descriptors("rox", "R101-GeM", path, distractors=shards)


def test_distractors_have_to_be_in_the_collection(rox: store.Collection, tmp_path: Path) -> None:
    path = save_revisitop(tmp_path / "f.mat", matrix(), matrix(NQ))
    with pytest.raises(PlaygroundError, match=r"no listed distractors.*--source distractors"):
        imported.import_descriptors("rox", "R101-GeM", path, distractors=tmp_path)


def test_photos_on_disk_can_have_imported_descriptors_too(home: Path, tmp_path: Path) -> None:
    root = write_truth(tmp_path / "rox")
    rng = np.random.default_rng(0)
    for one in [*IDS[1:], "query_a", "query_b", "query_c"]:  # a photo is missing
        pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        (root / f"{one}.jpg").write_bytes(photos.encode_jpeg(pixels))
    importing.import_collection("rox", ROxford5k(root))
    x, q = matrix(), matrix(NQ, seed=5)
    path = save_revisitop(tmp_path / "f.mat", x, q)
    assert imported.import_descriptors("rox", "R101-GeM", path).photos == N - 1
    build("rox", [SPEC, "hog"], ["flat"])
    collection, engine = store.load("rox"), SearchEngine()
    query = collection.query("query_a")
    for spec in (SPEC, "hog"):  # described here, and stored
        described = Query.of_photo(collection, query)
        assert len(engine.search("rox", Recipe.of(spec, "flat"), described, k=5).hits) == 5


def test_damaged_queries_are_found(rox: store.Collection, tmp_path: Path) -> None:
    path = save_revisitop(tmp_path / "f.mat", matrix(), matrix(NQ))
    imported.import_descriptors("rox", "R101-GeM", path)
    file = next(artefacts.extractor_folder("rox", SPEC).glob("queries-*.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(PlaygroundError, match=r"does not have the SHA-256"):
        imported.stored_queries("rox", SPEC)


def test_a_full_disk_is_told_before_anything_is_written(
    rox: store.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_revisitop(tmp_path / "f.mat", matrix(), matrix(NQ))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(PlaygroundError, match="Free some space"):
        imported.import_descriptors("rox", "R101-GeM", path)


def test_command_line(
    rox: store.Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_revisitop(tmp_path / "f.mat", unit(matrix()), matrix(NQ))
    argv = ["import", "--collection", "rox", "--name", "R101-GeM", "--file", str(path)]
    assert console.call(cli.main, argv) == 0
    out = capsys.readouterr().out
    assert "20 photos and 3 queries have descriptors of 8 numbers (unit length" in out
    assert "scripts.build --collection rox --extractors 'imported:name=R101-GeM'" in out
    assert console.call(cli.main, [*argv, "--json"]) == 0
    parsed = json.loads(capsys.readouterr().out)
    assert (parsed["photos"], parsed["queries"], parsed["dim"]) == (20, 3, 8)
    assert console.call(cli.main, [*argv[:-1], str(tmp_path / "none.mat")]) == 2
    assert capsys.readouterr().err.startswith("error: There is no file")


def test_candidates_without_files_are_marked() -> None:
    assert not Candidate("a", Path("a.jpg"), "a.jpg").absent
