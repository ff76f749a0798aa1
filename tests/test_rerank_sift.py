"""SIFT re-ranking: where matches lie, what is stored, and what a search does without it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matching import PHOTO_SIZE, QUERY_SIZE, errors, moved, scene, seen

from data import store
from data.errors import PlaygroundError
from data.paths import rerank_root
from data.photos import RGB
from extractors.base import Floats
from indexing.build import build
from retrieval import local_features
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Ranking, Recipe, SearchResult
from retrieval.rerank import registry
from retrieval.rerank.sift import Sift, SiftConfig


class Album:
    """The least of a ``View``: photos in memory and nothing stored."""

    name = "album"
    excluded: frozenset[int] = frozenset()

    def __init__(self, *pictures: RGB | None) -> None:
        self.pictures = pictures
        self.photos = tuple(
            dataclasses.make_dataclass("P", ["id", "width", "height"])(f"photo-{row}", 8, 8)
            for row in range(len(pictures))
        )

    def pixels(self, row: int) -> RGB:
        found = self.pictures[row]
        if found is None:
            raise PlaygroundError("The photo is gone.")
        return found

    def artefact(self, *_: Any, **__: Any) -> Path | None:
        return None

    def kept(self, key: Any, make: Callable[[], Any], of_photos: bool = False) -> Any:
        return make()


def matched(method: Sift, asked: RGB, found: RGB, box: Any = None) -> Floats:
    """(k, 4) px."""
    one, other = method.detector.detect(asked, box), method.detector.detect(found)
    pairs = method.matcher(one)(other)
    return np.hstack([one.geometry[pairs[:, 0], :2], other.geometry[pairs[:, 1], :2]])


def first_order(count: int) -> Ranking:
    return Ranking(np.arange(count), np.linspace(0.9, 0.5, count))


def test_matches_lie_where_the_homography_says() -> None:
    picture = scene()
    assert picture.shape[1::-1] == QUERY_SIZE and seen(picture).shape[1::-1] == PHOTO_SIZE
    places = matched(Sift(SiftConfig()), picture, seen(picture))
    assert len(places) > 60
    assert np.median(errors(places)) < 1 and errors(places).max() < 8


def test_a_larger_photo_has_its_matches_in_its_own_px() -> None:
    picture = scene()
    large = np.ascontiguousarray(np.repeat(np.repeat(seen(picture), 3, axis=0), 3, axis=1))
    places = matched(Sift(SiftConfig(image_size=400)), picture, large)
    assert len(places) > 40
    small = (places[:, 2:] + 0.5) / 3 - 0.5  # pixel centres on integers
    assert np.median(np.linalg.norm(moved(places[:, :2]) - small, axis=1)) < 1.5


def test_the_box_of_the_query_is_respected() -> None:
    picture, box = scene(), (70, 101, 250, 333)
    places = matched(Sift(SiftConfig()), picture, seen(picture), box)
    assert len(places) > 20
    assert np.median(errors(places)) < 1
    assert (places[:, :2] >= np.array(box[:2]) - 1).all()
    assert (places[:, :2] <= np.array(box[2:])).all()


def test_another_scene_has_few_inliers() -> None:
    least = SiftConfig().min_inliers
    counts = [len(matched(Sift(SiftConfig()), scene(0), seen(scene(n)))) for n in (1, 2, 3, 4)]
    assert max(counts) < least


def test_order_counts_ties_and_what_cannot_be_read() -> None:
    blank = np.full((90, 120, 3), 128, np.uint8)
    album: Any = Album(None, seen(scene(1)), blank, seen(scene()), scene(), seen(scene(2)))
    method = Sift(SiftConfig(depth=5))
    given = first_order(6)
    found = method.rerank(Query(scene(), key="q"), given, album)
    assert found.rows.tolist() == [4, 3, 0, 1, 2, 5]  # verified, the others as before, the tail
    assert np.isnan(found.columns["inliers"][[2, 5]]).all()
    assert found.columns["inliers"][3:5].tolist() == [0, 0]
    assert found.scores[:2].tolist() == found.columns["inliers"][:2].tolist()
    assert found.scores[5] == given.scores[5]
    assert set(found.matches) == {3, 4}
    assert len(found.matches[3]) == found.columns["inliers"][1]
    assert "1 photo" in found.notes[0] and "photo-0" in found.notes[0]
    assert given.rows.tolist() == [0, 1, 2, 3, 4, 5] and not given.columns


def test_a_query_without_keypoints_changes_nothing() -> None:
    album: Any = Album(seen(scene()), scene(1))
    blank = np.full((90, 120, 3), 128, np.uint8)
    found = Sift(SiftConfig()).rerank(Query(blank, key="q"), first_order(2), album)
    assert found.rows.tolist() == [0, 1] and not found.matches


def test_threads_agree() -> None:
    album: Any = Album(*(seen(scene(n % 5)) for n in range(8)))
    method, made = Sift(SiftConfig()), []

    def work() -> None:
        made.append(method.rerank(Query(scene(), key="q"), first_order(8), album))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(made) == 4
    for other in made[1:]:
        assert np.array_equal(other.rows, made[0].rows)
        assert np.array_equal(other.scores, made[0].scores)
        assert all(
            np.array_equal(other.matches[row], made[0].matches[row]) for row in other.matches
        )


@pytest.mark.parametrize("text", ["sift:min_inliers=3", "sift:ratio=0", "sift:depth=0", "sift:k=3"])
def test_illegal_values_say_what_is_legal(text: str) -> None:
    with pytest.raises(PlaygroundError, match="Legal"):
        registry.create(text)


# -- in a search -------------------------------------------------------------------------------


@pytest.fixture
def built(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog"], ["flat"])
    return toy_collection


def searched(members: store.Collection, chain: str = "sift", **kwargs: Any) -> SearchResult:
    query = Query.of_photo(members, members.queries[2])
    return SearchEngine().search("toy", Recipe.of("hog", "flat", chain), query, 30, **kwargs)


def offline(members: store.Collection, spec: str = "sift") -> tuple[Any, Path]:
    """Build the features; the method, and the file."""
    view: Any = SearchEngine().snapshot("toy", "hog", "flat")
    method: Any = registry.create(spec)
    told: list[tuple[int, int, str]] = []
    method.prepare(view, lambda *one: told.append(one))
    assert [one[0] for one in told] == list(range(1, len(members.photos) + 1))
    (path,) = rerank_root("toy").glob("*/features-*.npy")
    assert path.stat().st_size <= method.estimate_bytes(view) + 1024
    return method, path


def same(one: SearchResult, other: SearchResult) -> None:
    assert one.hits == other.hits
    assert one.matches.keys() == other.matches.keys()
    for id, places in one.matches.items():
        assert np.array_equal(places, other.matches[id])


def test_stored_features_equal_those_of_the_search(
    built: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = searched(built)
    assert not rerank_root("toy").exists()  # a search makes the shortlist's alone
    right = {photo.id for photo in built.photos if photo.label == built.queries[2].label}
    assert {hit.id for hit in without.hits[: len(right)]} == right
    assert without.hits[0].inliers and without.hits[0].inliers >= SiftConfig().min_inliers
    box = np.array(without.box)
    for places in without.matches.values():
        assert (places[:, :2] >= box[:2] - 1).all() and (places[:, :2] <= box[2:]).all()
    offline(built)
    monkeypatch.setattr(
        local_features, "_read", lambda *_: pytest.fail("the photos need not be read again")
    )
    same(searched(built), without)


def test_the_search_leaves_out_what_it_is_told_to(built: store.Collection) -> None:
    best = searched(built).hits[0].id
    found = searched(built, exclude=(best,))
    assert best not in {hit.id for hit in found.hits} and len(found.hits) == 29


def test_a_damaged_file_says_what_to_do(built: store.Collection) -> None:
    _, path = offline(built)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(PlaygroundError, match=r"SHA-256.*rm -r"):
        searched(built)


def test_photos_that_are_gone_keep_their_place_behind(built: store.Collection) -> None:
    whole = searched(built)
    gone = built.find(whole.hits[0].id)
    built.path(gone).rename(built.path(gone).with_suffix(".away"))
    try:
        found = searched(built)
        place = next(n for n, hit in enumerate(found.hits) if hit.id == gone.id)
        assert found.hits[place].inliers is None
        assert all(not hit.inliers for hit in found.hits[place:])
        assert any(gone.id in note for note in found.notes)
        offline(built)  # features of the others
        same(searched(built), found)
    finally:
        built.path(gone).with_suffix(".away").rename(built.path(gone))


def test_other_settings_have_other_features(built: store.Collection) -> None:
    offline(built)
    view: Any = SearchEngine().snapshot("toy", "hog", "flat")
    registry.create("sift:max_keypoints=100").prepare(view)
    registry.create("sift:ratio=0.7,depth=3").prepare(view)  # the features are the same
    assert len(list(rerank_root("toy").glob("*/features-*.npy"))) == 2


def test_pairs_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    asked, found = rng.standard_normal((40, 8)), rng.standard_normal((50, 8))
    found[:20] = asked[:20] + rng.normal(0, 0.3, (20, 8))
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    distances = np.linalg.norm(asked[:, None] - found[None], axis=2)
    wanted = []
    for row, line in enumerate(distances):
        first, second = np.argsort(line)[:2]
        if line[first] < 0.8 * line[second] and distances[:, first].argmin() == row:
            wanted.append([row, first])
    got = local_features.nearest_pairs(asked.astype(np.float32), found.astype(np.float32), 0.8)
    assert len(wanted) > 10 and got.tolist() == wanted
