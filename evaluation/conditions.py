"""Under which conditions right photos are missed, by the renderer's records of query and photo.

A photo of the demo knows how it was taken (``extra["scene"]``: direction, focal length, distance,
weather, what hides the landmark). The limits are those by which its ground truth calls a photo
hard, see ``scripts/render/truth.py``. Collections without such records have no conditions.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.base import Photo
from data.errors import PlaygroundError

if TYPE_CHECKING:
    from data.store import Collection
    from evaluation.rows import QueryRow
    from retrieval.compare import Truth

ANGLE_DEG, SCALE, HIDDEN = 35.0, 2.0, 0.2  # degrees, ratio, share of the landmark
LIGHT = {"night": "dark", "dusk": "dark", "haze": "haze"}  # every other weather is plain day

PLAIN = "plain"
CONDITIONS = {
    PLAIN: "as the query",
    "light": "other light",
    "angle": "another side",
    "zoom": "another size",
    "hidden": "hidden",
}
"""In the order of tables; a pair of photos may meet several, but ``PLAIN`` alone."""
MEANING = {
    PLAIN: "none of the others",
    "light": "one of the two at night or dusk, or one in haze, and the other not",
    "angle": f"more than {ANGLE_DEG:.0f}° apart",
    "zoom": f"one more than {SCALE:g} times as large as the other, or the query a zoomed detail",
    "hidden": f"more than {100 * HIDDEN:.0f} % of the landmark behind something, in one of the two",
}
_REASONS = {
    "light": "in other light",
    "angle": "from another side",
    "zoom": "at another size",
    "hidden": "partly hidden",
    PLAIN: "taken much like the query",
}


@dataclasses.dataclass(frozen=True)
class Pair:
    """A query and one of its right photos; ``missed``: see ``pairs_of``."""

    photo_id: str
    conditions: frozenset[str]
    missed: bool


def between(query: Photo, photo: Photo) -> frozenset[str] | None:
    """What is different between two photos of a landmark; None where there is no record."""
    one, other = query.extra.get("scene"), photo.extra.get("scene")
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return None
    try:
        apart = abs((one["azimuth_deg"] - other["azimuth_deg"] + 180) % 360 - 180)
        ratio = _scale(one) / _scale(other)
        met = {
            "light": LIGHT.get(one["weather"], "day") != LIGHT.get(other["weather"], "day"),
            "angle": apart > ANGLE_DEG,
            "zoom": max(ratio, 1 / ratio) > SCALE or bool(one["detail"]),
            "hidden": max(one["hidden_share"], other["hidden_share"]) > HIDDEN,
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None  # a record of another kind
    return frozenset(name for name, true in met.items() if true) or frozenset({PLAIN})


def _scale(scene: Mapping[str, Any]) -> float:
    return float(scene["focal_mm"]) / float(scene["distance_m"])


def pairs_of(collection: Collection, query: Photo, answer: QueryRow, truth: Truth) -> list[Pair]:
    """A query's right photos with their conditions.

    Of R right photos those are missed that are not among the first R of the ranking, junk left
    out: with a perfect ranking, none.
    """
    first = set(_judged(answer.ranking, truth)[: len(truth.positives)])
    found = []
    for photo_id in sorted(truth.positives):
        photo = _photo(collection, photo_id)
        conditions = between(query, photo) if photo is not None else None
        if conditions is not None:
            found.append(Pair(photo_id, conditions, photo_id not in first))
    return found


def _photo(collection: Collection, photo_id: str) -> Photo | None:
    """A photo that the ground truth names; None where the collection lacks it."""
    try:
        return collection.photo(photo_id)
    except PlaygroundError:
        return None


def _judged(ranking: Sequence[str], truth: Truth) -> list[str]:
    return [one for one in ranking if one not in truth.junk]


def shares(pairs: Iterable[Pair]) -> dict[str, tuple[int, int]]:
    """Condition to (missed, all) over the pairs that meet it."""
    missed: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for pair in pairs:
        there.update(pair.conditions)
        if pair.missed:
            missed.update(pair.conditions)
    return {name: (missed[name], there[name]) for name in CONDITIONS}


def reason(
    collection: Collection, query: Photo, answer: QueryRow, truth: Truth, pairs: Sequence[Pair]
) -> str:
    """Why a query fails, in one line; empty without records."""
    missed = [pair for pair in pairs if pair.missed]
    if not pairs:
        return ""
    said = f"{len(missed)} of {len(pairs)} right photos missed"
    counted = Counter(name for pair in missed for name in pair.conditions)
    parts = [f"{count} {_REASONS[name]}" for name, count in counted.most_common()]
    if parts:
        said += f": {', '.join(parts)}"
    first = _judged(answer.ranking, truth)[: len(truth.positives)]
    wrong = [_photo(collection, one) for one in first if one not in truth.positives]
    if wrong and query.kind is not None:
        alike = sum(one is not None and one.kind == query.kind for one in wrong)
        said += f". {alike} of {len(wrong)} wrong ones before them are of the same kind"
    return f"{said}."
