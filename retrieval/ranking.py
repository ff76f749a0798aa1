"""What retrieval passes around: a recipe, a query, a ranking, and the result that people see."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from data.base import Box, Photo
from data.store import Collection
from extractors import registry as extractor_registry
from extractors.base import RGB, Features, crop
from indexing import registry as index_registry
from indexing.base import Floats, Ints
from retrieval.rerank import registry as rerank_registry

Made = TypeVar("Made")

USUAL = "usual"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is compared, kept, evaluated and linked to. Made by ``of``, in canonical spelling.

    Attributes:
        extractor: spec of ``extractors.registry``.
        index: spec of ``indexing.registry``.
        rerank: specs of ``retrieval.rerank.registry``, applied in this order.
    """

    extractor: str
    index: str
    rerank: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, extractor: str, index: str = "flat", rerank: str | Sequence[str] | None = None
    ) -> Recipe:
        """A recipe of specs as people type them.

        Args:
            rerank: a chain such as ``aqe:k=5+sift``, or its parts; "none" or nothing in it: no
                re-ranking; "usual" or None: ``usual_chain``.

        Raises:
            PlaygroundError: an unknown name or value, or a chain that cannot follow the extractor.
        """
        spec = extractor_registry.canonical(extractor)
        usual = rerank is None or rerank == USUAL
        chain = usual_chain(spec) if usual else rerank_registry.chain(rerank or ())
        recipe = cls(spec, index_registry.canonical(index), chain)
        for one in chain:
            rerank_registry.create(one).check(recipe)
        return recipe

    @property
    def chain(self) -> str:
        """The re-rankers as one text: ``aqe:k=5+sift``, or ``none``."""
        return rerank_registry.join(self.rerank)

    @property
    def without(self) -> Recipe:
        """The same without re-ranking: what it is compared with."""
        return dataclasses.replace(self, rerank=())


def usual_chain(extractor: str) -> tuple[str, ...]:
    """What follows the index unless something else is chosen: RANSAC for local features."""
    return ("ransac",) if extractor_registry.is_local(extractor) else ()


class Query:
    """A photo and a region of it. Pickles as the photo's place, not as what was made of it.

    Args:
        box: px of the photo; None: all of it.
        key: equal for equal photos.
        id: of a query or photo of the collection; what was imported for it is found by it.
        decode_ms: what decoding took, for the timing record.
        right, wrong: ids of photos that a person marked, for relevance feedback.

    Raises:
        PlaygroundError: the box does not lie inside the photo.
    """

    def __init__(
        self,
        pixels: RGB | None,
        box: Box | None = None,
        *,
        key: str | None = None,
        id: str | None = None,
        decode_ms: float = 0.0,
        source: tuple[Collection, Photo] | None = None,
        right: Sequence[str] = (),
        wrong: Sequence[str] = (),
    ) -> None:
        if pixels is None and source is None:
            raise ValueError("a query needs pixels or a photo to read")
        if pixels is not None:
            crop(pixels, box)  # refuses a bad box before anything is loaded
            width, height = pixels.shape[1], pixels.shape[0]
        else:
            assert source is not None
            width, height = source[1].width, source[1].height
        self.box: Box = box if box is not None else (0, 0, width, height)
        self.id = id
        self.right, self.wrong = tuple(right), tuple(wrong)
        self.decode_ms = decode_ms
        self._memo: dict[Hashable, Any] = {}
        # Verifications with the ms that each took, for all that ``again`` gives; None: none kept.
        # An evaluation meets the same photos in every index.
        self.verified: dict[Hashable, tuple[Any, float]] | None = None
        self._pixels, self._source, self._key = pixels, source, key

    @classmethod
    def of_photo(
        cls,
        collection: Collection,
        photo: Photo,
        box: Box | None = None,
        key: str | None = None,
        right: Sequence[str] = (),
        wrong: Sequence[str] = (),
    ) -> Query:
        """A query or photo of a collection, by its own box unless another is given."""
        box = box if box is not None else photo.box
        key = key or photo.sha256
        source = (collection, photo)
        return cls(None, box, key=key, id=photo.id, source=source, right=right, wrong=wrong)

    @property
    def key(self) -> str:
        if self._key is None:
            pixels = np.ascontiguousarray(self.pixels())
            self._key = hashlib.sha256(pixels.tobytes()).hexdigest()
        return self._key

    def pixels(self) -> RGB:
        """(H, W, 3) upright RGB uint8: the whole photo; the region is ``box``."""
        if self._pixels is None:
            assert self._source is not None
            start = time.perf_counter()
            self._pixels = self._source[0].read(self._source[1])
            self.decode_ms = 1e3 * (time.perf_counter() - start)
            crop(self._pixels, self.box)
        return self._pixels

    def kept(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Something made of this query, once for this object: its descriptors, its keypoints."""
        if key not in self._memo:
            self._memo[key] = make()
        return cast(Made, self._memo[key])

    def made(self, key: Hashable) -> Any:
        """What was ``kept`` or is remembered under this key; None where nothing is."""
        return self._memo.get(key)

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep something in place of what was there: the last search's, which was timed."""
        self._memo[key] = value

    def again(self) -> Query:
        """The same query with nothing made of it yet: to time what is made of it."""
        fresh = copy.copy(self)
        fresh._memo = {}
        return fresh

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_memo": {}}
        if self._source is not None:
            state["_pixels"] = None
        return state


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Photos in order, best first.

    Attributes:
        rows: (m,) int64 positions in the collection, none twice.
        scores: (m,) float, higher is better. A re-ranker that reads the first ``depth`` ranks
            only leaves the others behind them with the scores that they had.
        columns: further numbers of each photo, (m,) each, such as "distance", "votes" or
            "inliers"; NaN where a photo has none.
        matches: row -> (j, 4) float32 px: x, y in the query's photo | x, y in the found photo.
        vector: (D,) the query's descriptor as it stands after expansion; None: the query's own.
        notes: sentences for people.
        spared_ms: measured for what was taken over from a search before (``Query.verified``).
    """

    rows: Ints
    scores: NDArray[Any]
    columns: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    matches: Mapping[int, Floats] = dataclasses.field(default_factory=dict)
    vector: Floats | None = None
    notes: tuple[str, ...] = ()
    spared_ms: float = 0.0

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[Any]) -> Ranking:
        """The photos at these places (positions in the ranking, or a mask), in their order."""
        return dataclasses.replace(
            self,
            rows=self.rows[places],
            scores=self.scores[places],
            columns={name: values[places] for name, values in self.columns.items()},
        )

    def reordered(self, scores: NDArray[Any], **columns: NDArray[Any]) -> Ranking:
        """The first ``len(scores)`` photos sorted by new scores, the others behind them.

        Equal scores keep their order. ``columns`` are of the first photos; the others get NaN.
        """
        count = len(scores)
        best = np.argsort(-np.asarray(scores, np.float64), kind="stable")
        order = np.concatenate([best, np.arange(count, len(self))]).astype(np.int64)
        merged = np.array(self.scores, np.float64)
        merged[:count] = scores
        added = {}
        for name, values in columns.items():
            added[name] = np.full(len(self), np.nan)
            added[name][:count] = values
        new = dataclasses.replace(self, scores=merged, columns={**self.columns, **added})
        return new.take(order)

    def led_by(self, rows: Ints, scores: NDArray[Any]) -> Ranking:
        """These photos first, in this order, then the others as they were; as long as before.

        A photo that was not in the ranking has NaN in its columns.
        """
        place = {int(row): at for at, row in enumerate(self.rows)}
        rows, scores = rows[: len(self)], scores[: len(self)]
        old = np.array([place.get(int(row), -1) for row in rows], np.int64)
        behind = np.setdiff1d(np.arange(len(self)), old)[: len(self) - len(rows)]
        columns = {}
        for name, values in self.columns.items():
            first = np.full(len(rows), np.nan)
            first[old >= 0] = values[old[old >= 0]]
            columns[name] = np.concatenate([first, values[behind]])
        return dataclasses.replace(
            self,
            rows=np.concatenate([rows, self.rows[behind]]).astype(np.int64),
            scores=np.concatenate([scores, self.scores[behind]]).astype(np.float64),
            columns=columns,
        )


class Hit(NamedTuple):
    """One result.

    Attributes:
        rank: from 1.
        distance: in the index's own measure, smaller is nearer: squared L2 (of unit vectors,
            0 to 4), or bits for LSH. Local descriptors: mean over the photo's votes. NaN for a
            photo that only re-ranking found.
        score: larger is better. Global descriptors: cosine, estimated where the index is
            approximate. Local: votes. A re-ranker says what its score is on its card.
        columns: what re-ranking counted, such as votes and inliers; None where a photo has none.
        before: the rank without re-ranking; None without re-ranking, or beyond what was read.
    """

    rank: int
    id: str
    label: str | None
    distance: float
    score: float
    columns: Mapping[str, float | None] = {}
    before: int | None = None

    @property
    def inliers(self) -> int | None:
        """Matches that one transform explains; None where no geometry was checked."""
        value = self.columns.get("inliers")
        return None if value is None else int(value)

    @property
    def votes(self) -> int | None:
        """Query descriptors that voted for the photo; None for global descriptors."""
        value = self.columns.get("votes")
        return None if value is None else int(value)

    @property
    def moved(self) -> int | None:
        """Ranks that re-ranking moved the photo up (negative: down)."""
        return None if self.before is None else self.before - self.rank


@dataclasses.dataclass(frozen=True)
class Described:
    """A query's features by one extractor.

    Attributes:
        timings_ms: decode, crop, preprocess and extract, and load where the network was loaded by
            this call (not part of the total).
        cold: the extractor was loaded by this call.
        earlier: it was described for somebody else before; the times are of then.
    """

    features: Features
    timings_ms: Mapping[str, float]
    cold: bool
    earlier: bool = False

    @property
    def empty(self) -> bool:
        """Nothing was found to describe."""
        return not self.features.vectors.any()


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """Ranked hits of one recipe.

    Attributes:
        weights: source of the network's weights; empty without one.
        metric: of ``Hit.distance``: "l2", "l1" or "hamming".
        timings_ms: one key per stage that ran, in order, then "total", their sum.
        cold: the network was loaded for this search (``load_ms``, not in the total).
        earlier: the query had been described before; its times are of then.
        box: None where descriptors were given and no photo.
        matches: photo id -> (m, 4) float32, x, y in the query's photo and in the found one (px).
    """

    collection: str
    recipe: Recipe
    weights: str
    metric: str
    k: int
    box: Box | None
    hits: list[Hit]
    timings_ms: dict[str, float]
    cold: bool
    notes: tuple[str, ...] = ()
    load_ms: float = 0.0
    earlier: bool = False
    matches: dict[str, Floats] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def extractor(self) -> str:
        return self.recipe.extractor

    @property
    def index(self) -> str:
        return self.recipe.index

    @property
    def rerank_ms(self) -> float:
        """All re-ranking stages together."""
        return sum(v for name, v in self.timings_ms.items() if name not in (*STAGES, "total"))

    def to_json(self) -> dict[str, Any]:
        """The documented JSON form (see ``scripts.search``)."""
        hits = []
        for hit in self.hits:
            entry: dict[str, Any] = {
                "rank": hit.rank,
                "id": hit.id,
                "label": hit.label,
                "distance": None if np.isnan(hit.distance) else hit.distance,
                "score": hit.score,
                **hit.columns,
            }
            if self.recipe.rerank:
                entry["rank_before"] = hit.before
            hits.append(entry)
        return {
            "collection": self.collection,
            "extractor": self.extractor,
            "weights": self.weights,
            "index": self.index,
            "rerank": list(self.recipe.rerank),
            "metric": self.metric,
            "k": self.k,
            "box": None if self.box is None else list(self.box),
            "hits": hits,
            "timings_ms": self.timings_ms,
            "cold": self.cold,
            "load_ms": self.load_ms,
            "notes": list(self.notes),
        }


STAGES = ("decode", "crop", "preprocess", "extract", "search")
"""Stages of every search; re-rankers add one each, called after their spec."""
