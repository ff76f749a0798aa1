"""What the demo comes with fits the code, the weights and the photos of this commit.

When this fails after a change of an extractor, of weights or of the demo: run
``python -m scripts.prebuild_demo`` and commit ``data/demo/prebuilt``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data import artefact, demo, store
from evaluation.run import load_rows
from evaluation.tradeoffs.rows import load_points
from indexing import checking, embedding, prebuilt
from indexing.artefacts import built_indexes, load_vectors
from indexing.build import build
from indexing.status import collection_status
from scripts.prebuild_demo import EXTRACTORS, MEASURED

pytestmark = [
    pytest.mark.bundled,
    pytest.mark.skipif(
        not (demo.PREBUILT / artefact.MANIFEST).is_file(),
        reason="nothing is packed: run python -m scripts.prebuild_demo",
    ),
]


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prebuilt.Restored]:
    """A home of its own for all tests of this file, as it is after a first start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(tmp_path_factory.mktemp("fresh")))
        members = demo.ensure_demo()
        content = demo.DemoSource().describe()["content"]
        yield prebuilt.restore(members, content, demo.PREBUILT)


def test_nothing_of_it_is_refused(restored: prebuilt.Restored) -> None:
    manifest = artefact.read_manifest(demo.PREBUILT)
    assert manifest is not None
    assert restored.refused == {}
    assert set(manifest["parts"]) <= set(EXTRACTORS) and MEASURED in manifest["parts"]
    assert list(restored.parts) == [one for parts in manifest["parts"].values() for one in parts]
    assert sum(path.stat().st_size for path in demo.PREBUILT.iterdir()) <= 12_000_000


def test_it_is_what_a_build_would_make(restored: prebuilt.Restored) -> None:
    found = {one.extractor: one for one in collection_status("demo") if one.state == "ready"}
    for spec, one in found.items():
        assert one.packed
        outcomes = build("demo", [spec], built_indexes("demo", spec))
        assert {outcome.action for outcome in outcomes} == {"unchanged"}, spec
        vectors, _ = load_vectors(store.load("demo"), spec)
        for method in embedding.METHODS:
            assert embedding.load("demo", spec, method, vectors) is not None
    assert MEASURED in found
    assert not [one for one in checking.check("demo") if one.wrong]


def test_its_evaluations_and_measurements_are_up_to_date(restored: prebuilt.Restored) -> None:
    rows = load_rows("demo")
    assert rows and not [row.stale for row in rows if row.stale]
    assert {(row.extractor, row.index) for row in rows} == {
        (one.extractor, index.index)
        for one in collection_status("demo")
        for index in one.indexes
        if index.state == "ready"
    }
    points = load_points("demo", MEASURED)
    assert not [point.stale for point in points if point.stale]
    assert {point.n for point in points} == {1_200, 10_000, 100_000}


def test_thumbnails_of_the_demo_are_made_when_they_are_shown(restored: prebuilt.Restored) -> None:
    members = store.load("demo")
    photo = members.photos[0]
    assert not members.thumbnail_path(photo).exists()
    assert members.thumbnail(photo)[:2] == b"\xff\xd8"
    assert members.thumbnail_path(photo).exists()
    assert members.changed(photo) is None


def test_the_pack_lies_in_one_place() -> None:
    assert demo.PREBUILT.parent == demo.DEMO_FOLDER
    names = {Path(path).name for path in demo.PREBUILT.iterdir()}
    assert {artefact.MANIFEST, artefact.RECORD} <= names and len(names) == 3
