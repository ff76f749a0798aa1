"""The protocols: golden values, published ground truth by plain loops, and the odd cases."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import paths
from data.base import Photo
from data.errors import PlaygroundError
from data.store import Collection
from evaluation import metrics, registry
from evaluation.base import Truth

NEAR = 1e-6  # of hand-computed values
SAME = 1e-9  # of an independent formula
GROUND_TRUTH = paths.PROJECT_ROOT.parent / "shared" / "ground-truth"


def photo(one: str, label: str | None = None, **more: Any) -> Photo:
    sha256 = more.pop("sha256", f"sha of {one}")
    return Photo(id=one, file=f"{one}.jpg", width=9, height=9, sha256=sha256, label=label, **more)


def collection(photos: Sequence[Photo], queries: Sequence[Photo] = (), **source: Any) -> Collection:
    described = {"kind": "made", **source}
    return Collection(
        name="made",
        title="made",
        description="",
        licence="",
        author="",
        source=described,
        sources=(described,),
        photos=tuple(sorted(photos, key=lambda one: one.id)),
        queries=tuple(queries),
        fingerprint="made",
        folder=Path("made"),
        roots=(Path("made"),),
    )


def judge(name: str, ranking: Sequence[str], positives: set[str], junk: set[str] = set()) -> Any:  # noqa: B006
    truth = Truth(frozenset(positives), frozenset(junk))
    return registry.protocol(name).judge(ranking, truth)


def ranking_with(hits: Sequence[int], length: int = 100) -> tuple[list[str], set[str]]:
    """Ids with positives at the given 1-based ranks."""
    ids = [f"p{rank}" if rank in hits else f"n{rank}" for rank in range(1, length + 1)]
    return ids, {f"p{rank}" for rank in hits}


# Golden vectors


@pytest.mark.parametrize("name", ["revisited", "classic", "holidays", "ukbench"])
@pytest.mark.parametrize(
    ("hits", "nres", "expected"),
    [
        ([1], 1, 1.0),
        ([2], 1, 0.25),
        ([1, 3], 2, 0.7916667),
        ([4, 5], 2, 0.225),
        ([1, 3], 4, 0.3958333),
    ],
)
def test_trapezoid_protocols(name: str, hits: list[int], nres: int, expected: float) -> None:
    ranking, positives = ranking_with(hits, 10)
    positives |= {f"lost{i}" for i in range(nres - len(hits))}
    assert judge(name, ranking, positives)["ap"] == pytest.approx(expected, abs=NEAR)


@pytest.mark.parametrize("name", ["revisited", "classic", "holidays"])
def test_junk_is_taken_out(name: str) -> None:
    values = judge(name, ["junk", "p", "n", "q"], {"p", "q"}, {"junk"})
    assert values["ap"] == pytest.approx(0.7916667, abs=NEAR)
    assert values["p@1"] == 1.0
    if name == "revisited":
        assert values["p@5"] == values["p@10"] == pytest.approx(2 / 3, abs=NEAR)
    else:
        assert (values["p@5"], values["p@10"]) == (0.4, 0.2)


@pytest.mark.parametrize(
    ("hits", "nres", "expected"),
    [([1, 3], 2, 0.8333333), ([1, 3], 5, 0.3333333), ([1, 3], 200, 0.0166667), ([1], 50, 0.02)],
)
def test_gldv2_golden(hits: list[int], nres: int, expected: float) -> None:
    ranking, positives = ranking_with(hits)
    positives |= {f"lost{i}" for i in range(nres - len(hits))}
    assert judge("gldv2", ranking, positives)["ap"] == pytest.approx(expected, abs=NEAR)
    assert judge("labels", ranking, positives)["ap@100"] == pytest.approx(expected, abs=NEAR)


def test_ukbench_golden() -> None:
    group = {"a", "b", "c", "d"}
    assert judge("ukbench", ["a", "b", "c", "d", "x"], group)["n-s"] == 4.0
    assert judge("ukbench", ["a", "x", "y", "z", "b"], group)["n-s"] == 1.0


# Published ground truth with random rankings


def plain_trapezoid(ranking: Sequence[str], ok: set[str], junk: set[str]) -> float:
    """The area under the curve, point by point, as ``compute_ap.cpp`` goes through a ranking."""
    area, old_recall, old_precision = 0.0, 0.0, 1.0
    found, judged = 0, 0
    for one in ranking:
        if one in junk:
            continue
        if one in ok:
            found += 1
        judged += 1
        recall, precision = found / len(ok), found / judged
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


def plain_precision(ranking: Sequence[str], ok: set[str], junk: set[str], k: int) -> float:
    """mP@k of revisitop: positions from 1, junk above subtracted, up to the last positive."""
    positions, skipped = [], 0
    for place, one in enumerate(ranking, start=1):
        if one in junk:
            skipped += 1
        elif one in ok:
            positions.append(place - skipped)
    last = min(max(positions), k)
    return sum(position <= last for position in positions) / last


def ground_truth(name: str) -> dict[str, Any]:
    path = GROUND_TRUTH / name
    if not path.is_file():
        pytest.skip(f"no {name} at {GROUND_TRUTH}")
    with open(path, "rb") as handle:
        return dict(pickle.load(handle))  # the authors' file, given with its hash


@pytest.mark.parametrize("name", ["gnd_roxford5k.pkl", "gnd_rparis6k.pkl"])
def test_revisited_equals_the_plain_formula(name: str) -> None:
    published = ground_truth(name)
    images = [str(one) for one in published["imlist"]]
    protocol = registry.protocol("revisited")
    empty = collection([])
    rng = random.Random(name)
    values: dict[str, list[dict[str, float]]] = {"easy": [], "medium": [], "hard": []}
    expected: dict[str, list[float]] = {"easy": [], "medium": [], "hard": []}
    for number, entry in enumerate(published["gnd"]):
        lists = {key: [images[i] for i in entry[key]] for key in ("easy", "hard", "junk")}
        query = photo(f"query{number}", extra={"ground_truth": lists})
        easy, hard, junk = (set(lists[key]) for key in ("easy", "hard", "junk"))
        ranking = rng.sample(images, len(images))
        # Some queries with many positives in front, as a good method would have them.
        if number % 3 == 0:
            ranking.sort(key=lambda one: one not in easy | hard | junk or rng.random() < 0.3)
        judged = protocol.judge_all(empty, query, ranking)
        for setting, ok, ignored in (
            ("easy", easy, junk | hard),
            ("medium", easy | hard, junk),
            ("hard", hard, junk | easy),
        ):
            values[setting].append(judged[setting])
            if not ok:
                assert all(math.isnan(value) for value in judged[setting].values())
                continue
            ap = plain_trapezoid(ranking, ok, ignored)
            expected[setting].append(ap)
            assert judged[setting]["ap"] == pytest.approx(ap, abs=SAME)
            for k in (1, 5, 10):
                precision = plain_precision(ranking, ok, ignored, k)
                assert judged[setting][f"p@{k}"] == pytest.approx(precision, abs=SAME)
    assert len(published["gnd"]) == 70
    if name == "gnd_roxford5k.pkl":
        assert len(expected["easy"]) == 68  # 2 of 70 have no easy photo: they are skipped
    for setting, aps in expected.items():
        mean = protocol.aggregate(values[setting])["ap"]
        assert mean == pytest.approx(sum(aps) / len(aps), abs=SAME)


def test_classic_equals_the_plain_formula() -> None:
    folder = GROUND_TRUTH / "oxford5k_gt"
    files = sorted(folder.glob("*_query.txt"))
    if not files:
        pytest.skip(f"no oxford5k_gt at {GROUND_TRUTH}")
    assert len(files) == 55
    protocol = registry.protocol("classic")
    empty = collection([])
    rng = random.Random(5)
    listed = {}
    for file in files:
        name = file.name.removesuffix("_query.txt")
        listed[name] = {
            key: (folder / f"{name}_{key}.txt").read_text().split()
            for key in ("good", "ok", "junk")
        }
    images = sorted({one for lists in listed.values() for ids in lists.values() for one in ids})
    images += [f"other{i}" for i in range(5063 - len(images))]
    for name, lists in listed.items():
        ranking = rng.sample(images, len(images))
        judged = protocol.judge_all(empty, photo(name, extra={"ground_truth": lists}), ranking)
        ok, junk = {*lists["good"], *lists["ok"]}, set(lists["junk"])
        assert judged["all"]["ap"] == pytest.approx(plain_trapezoid(ranking, ok, junk), abs=SAME)


def test_labels_and_gldv2_equal_the_plain_formula() -> None:
    rng = np.random.default_rng(8)
    for _ in range(60):
        n, k = int(rng.integers(1, 300)), int(rng.integers(1, 40))
        ids = [f"i{i}" for i in range(n)]
        positives = {str(one) for one in rng.choice(ids, min(n, k), replace=False)}
        ranking = [ids[i] for i in rng.permutation(n)][: int(rng.integers(0, n + 1))]
        whole, first100, hits = 0.0, 0.0, 0
        for rank, one in enumerate(ranking, start=1):
            if one in positives:
                hits += 1
                whole += hits / rank
                first100 += hits / rank if rank <= 100 else 0
        labels = judge("labels", ranking, positives)
        assert labels["ap"] == pytest.approx(whole / len(positives), abs=SAME)
        assert labels["ap@100"] == pytest.approx(first100 / min(len(positives), 100), abs=SAME)
        found = sum(one in positives for one in ranking[:10])
        assert labels["r@10"] == pytest.approx(found / len(positives), abs=SAME)
        gldv2 = judge("gldv2", ranking, positives)
        assert gldv2["ap"] == labels["ap@100"]


# Which photos count


def test_revisited_sets() -> None:
    lists = {"easy": ["e"], "hard": ["h"], "junk": ["j"]}
    truths = registry.protocol("revisited").truths(
        collection([]), photo("q", extra={"ground_truth": lists})
    )
    assert truths["easy"] == Truth(frozenset("e"), frozenset("jh"))
    assert truths["medium"] == Truth(frozenset("eh"), frozenset("j"))
    assert truths["hard"] == Truth(frozenset("h"), frozenset("je"))
    assert [truths["hard"].mark(one) for one in "hen"] == ["positive", "junk", "negative"]


@pytest.mark.parametrize("name", ["revisited", "classic"])
def test_a_query_without_lists_is_refused(name: str) -> None:
    for extra in ({}, {"ground_truth": "easy"}, {"ground_truth": {"easy": 3, "good": 3}}):
        with pytest.raises(PlaygroundError, match="query q has no lists"):
            registry.protocol(name).truths(collection([]), photo("q", extra=extra))


def test_holidays_takes_the_query_out_of_its_ranking() -> None:
    members = [photo("100000", sha256="same"), photo("100001"), photo("100002"), photo("100100")]
    protocol = registry.protocol("holidays")
    query = photo("q100000", sha256="same", relevant=("100001", "100002"))
    truth = protocol.truths(collection(members, [query]), query)["all"]
    assert truth == Truth(frozenset({"100001", "100002"}), frozenset({"100000"}))
    ranking = ["100000", "100001", "100100", "100002"]
    assert protocol.judge(ranking, truth)["ap"] == pytest.approx(0.7916667, abs=NEAR)
    named = photo("q", relevant=("100001", "100000"), extra={"photo": "100000"})
    assert protocol.truths(collection(members), named)["all"].positives == {"100001"}


def test_ukbench_counts_the_query_whether_it_is_listed_or_not() -> None:
    members = [photo(one) for one in "abcd"] + [photo("x")]
    protocol = registry.protocol("ukbench")
    for listed in (tuple("bcd"), tuple("abcd")):
        query = photo("q-a", sha256="sha of a", relevant=listed)
        assert protocol.truths(collection(members, [query]), query)["all"] == Truth(
            frozenset("abcd")
        )


def test_labels_search_a_collection_with_its_own_photos() -> None:
    members = [photo("a1", "a"), photo("a2", "a"), photo("b1", "b"), photo("n")]
    made = collection(members)
    protocol = registry.protocol("labels")
    queries = protocol.queries(made)
    assert [query.id for query in queries] == ["a1", "a2"]  # b1 and n have nothing to find
    truth = protocol.truths(made, queries[0])["all"]
    assert truth == Truth(frozenset({"a2"}), frozenset({"a1"}))
    assert protocol.judge(["a1", "b1", "a2"], truth)["ap"] == pytest.approx(0.5)
    many = [photo(f"p{i:04d}", str(i // 2)) for i in range(1200)]
    drawn = protocol.queries(collection(many))
    assert len(drawn) == 500 and drawn == protocol.queries(collection(many))


def test_labels_keep_the_queries_that_are_there() -> None:
    made = collection([photo("a1", "a"), photo("a2", "a")], [photo("q", "a")])
    protocol = registry.protocol("labels")
    assert [query.id for query in protocol.queries(made)] == ["q"]
    assert protocol.truths(made, made.queries[0])["all"] == Truth(frozenset({"a1", "a2"}))


def test_labels_take_out_the_photo_that_a_query_was_cut_from() -> None:
    members = [photo("a1", "a"), photo("a2", "a")]
    query = photo("q", "a", relevant=("a2",), extra={"photo": "a1"})
    truth = registry.protocol("labels").truths(collection(members, [query]), query)["all"]
    assert truth == Truth(frozenset({"a2"}), frozenset({"a1"}))


# The odd cases


@pytest.mark.parametrize("name", registry.names())
def test_no_positive_is_no_value_and_no_answer_is_zero(name: str) -> None:
    protocol = registry.protocol(name)
    nothing = judge(name, ["a", "b"], set())
    assert set(nothing) == set(protocol.measures)
    assert all(math.isnan(value) for value in nothing.values())
    unanswered = judge(name, [], {"a", "b"})
    assert set(unanswered.values()) == {0.0}
    assert protocol.aggregate([nothing, unanswered])["ap"] == 0.0
    perfect = judge(name, ["a", "b"], {"a", "b"})
    assert protocol.aggregate([nothing, unanswered, perfect])["ap"] == 0.5
    assert math.isnan(protocol.aggregate([nothing])["ap"])


@pytest.mark.parametrize("name", registry.names())
def test_repeated_ids_earn_nothing_and_keep_their_rank(name: str) -> None:
    repeated = judge(name, ["a", "a", "b", "x"], {"a", "b"})
    assert repeated["ap"] == judge(name, ["a", "y", "b", "x"], {"a", "b"})["ap"] < 1
    assert judge(name, ["a"] * 20, {"a", "b"})["ap"] <= 0.5


@pytest.mark.parametrize("name", registry.names())
def test_positives_that_are_not_on_this_disk_count_as_not_found(name: str) -> None:
    whole = judge(name, ["a", "b"], {"a", "b"})
    lost = judge(name, ["a", "b"], {"a", "b", "lost", "lost too"})
    assert whole["ap"] == 1.0
    assert lost["ap"] == pytest.approx(0.5)


def test_a_last_positive_that_was_never_found_gives_no_short_denominator() -> None:
    found = judge("revisited", ["a", "x", "y"], {"a", "b", "c"})
    assert found["p@10"] == pytest.approx(0.1)
    assert metrics.revisited_precision_at_k([0], 10, 1) == 1.0


def test_choosing_a_protocol() -> None:
    assert registry.of_collection(collection([])) == "labels"
    assert registry.of_collection(collection([], protocol="holidays")) == "holidays"
    assert registry.choose("auto", collection([], protocol="ukbench")).name == "ukbench"
    assert registry.choose("labels", collection([], protocol="ukbench")).name == "labels"
    with pytest.raises(PlaygroundError, match="Legal: auto"):
        registry.protocol("oxford")
    for name in registry.names():
        protocol = registry.protocol(name)
        assert protocol.name == name
        assert protocol.main in protocol.settings
        assert {"ap", "p@1", "p@5", "p@10", protocol.headline} <= set(protocol.measures)


# Recall by distance, and the curve


def test_recall_by_distance_tolerates_ties() -> None:
    exact = [0.1, 0.2, 0.2, 0.2, 0.5]
    assert metrics.recall_by_distance([0.1, 0.2, 0.2], exact, 3) == 1.0
    assert metrics.recall_by_distance([0.1, 0.2 + 1e-8], exact, 2) == 1.0
    assert metrics.recall_by_distance([0.1, 0.5, 0.6], exact, 3) == pytest.approx(1 / 3)
    assert metrics.recall_by_distance([0.1], exact, 4) == 0.25  # the index returned fewer
    assert metrics.recall_by_distance([], exact, 4) == 0.0
    assert metrics.recall_by_distance([0.1] * 9, exact[:2], 9) == 1.0  # fewer vectors than k
    assert math.isnan(metrics.recall_by_distance([0.1], [], 4))


def test_interpolated_precision() -> None:
    levels = [0, 0.25, 0.5, 0.75, 1]
    # Precisions at the positives: 1/1, 2/4; the best of later ones counts.
    assert metrics.precision_recall([0, 3], 2, levels) == [1, 1, 1, 0.5, 0.5]
    assert metrics.precision_recall([1, 2], 2, levels) == pytest.approx([2 / 3] * 5)
    assert metrics.precision_recall([0], 2, levels) == [1, 1, 1, 0, 0]
    assert all(math.isnan(value) for value in metrics.precision_recall([], 0, levels))
