"""The contract of a re-ranker: from a ranking to a better one.

To add a method, write its file and its line in ``retrieval.rerank.registry``. Its class takes
``(config)``, annotated with the method's frozen dataclass, and is shared between threads: it holds
no state but its config. What is worth keeping between queries goes through ``View.artefact`` (on
disk) or ``View.kept`` (in memory).
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from data import specs
from data.base import Photo
from data.errors import PlaygroundError
from data.progress import Progress
from extractors import registry as extractor_registry
from extractors.base import RGB, Features
from indexing.artefacts import Vectors
from indexing.base import Floats

if TYPE_CHECKING:
    from retrieval.ranking import Query, Ranking, Recipe

Value = TypeVar("Value")

Needs = Literal["global", "local", "photos"]
Offline = Literal["none", "needed", "optional"]

_NEEDS = {
    "global": "one descriptor per photo, and {spec} makes many local ones. Legal after it: {legal}",
    "local": "the extractor's own local features, and {spec} makes one descriptor per photo. Legal "
    "after it: {legal}",
}


@dataclasses.dataclass(frozen=True)
class RerankCard:
    """What a person wants to know before switching a re-ranker on."""

    title: str
    paper: str  # authors, title, venue, year
    url: str
    idea: str  # what it does, for a class, two or three sentences
    formula: str  # LaTeX without the dollar signs
    parameters: dict[str, str]  # config field -> meaning, unit, off-value
    score: str  # what the score of a hit is afterwards
    cost: str  # in words; what grows with what
    hurts: str  # when it makes results worse
    licence: str = ""  # of weights or code that are not ours


class View(Protocol):
    """A collection as one search sees it: one immutable state, read-only.

    ``photos[row]`` belongs to row ``row`` of a global extractor's ``vectors().vectors``. What the
    search leaves out (the query's own photo) is in ``excluded`` and in no ranking of ``search``.
    """

    @property
    def name(self) -> str:
        """Of the collection."""

    @property
    def photos(self) -> tuple[Photo, ...]: ...

    @property
    def excluded(self) -> frozenset[int]: ...

    @property
    def extractor(self) -> str:
        """Its canonical spec."""

    @property
    def image_size(self) -> int | None:
        """Longer side in px that the extractor shrinks photos to; None where it is not simple."""

    def vectors(self, spec: str | None = None) -> Vectors:
        """Of this or another extractor that is built; memory-mapped, never changed.

        Raises:
            PlaygroundError: nothing is built, with the command.
        """

    def features(self, query: Query, spec: str | None = None) -> Features:
        """The query's, made once."""

    def search(self, vector: Floats, k: int) -> Ranking:
        """The same index again, by another (D,) vector: query expansion."""

    def pixels(self, row: int) -> RGB:
        """The upright photo."""

    def artefact(
        self,
        name: str,
        key: dict[str, Any],
        make: Callable[[Path], None] | None,
        of_photos: bool = False,
    ) -> Path | None:
        """A verified file that follows from this extractor's vectors and ``key``.

        Args:
            name: a file name, such as ``dba.npy``.
            key: what else decides the content (method, version, config), JSON-able.
            make: writes the file at the path that it is given, where it is not there yet; None:
                it is not made.
            of_photos: it follows from the photos alone, and serves every extractor.

        Returns:
            Its path; None where it is not there and was not to be made.
        """

    def kept(self, key: Hashable, make: Callable[[], Value], of_photos: bool = False) -> Value:
        """Something derived from this state, kept in memory and made once; never changed.

        Args:
            of_photos: it follows from the photos alone, and serves every extractor.
        """


class Reranker(abc.ABC):
    """Base of all re-rankers.

    ``needs``: "global" reads one descriptor per photo, "local" the extractor's own local features,
    "photos" works after every extractor. ``offline``: whether ``prepare`` has work to do, and
    whether a search can go without it ("optional").
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raised when the same config gives other rankings
    needs: ClassVar[Needs] = "global"
    offline: ClassVar[Offline] = "none"
    card: ClassVar[RerankCard]

    def __init__(self, config: Any) -> None:
        self.config = config  # a frozen dataclass, one per method

    @property
    def depth(self) -> int:
        """Ranks that it reads; a ranking has at least as many where the collection has."""
        return int(self.config.depth)

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe that it cannot be part of.

        Raises:
            PlaygroundError: why, and what is legal.
        """
        from retrieval.rerank import registry

        local = extractor_registry.is_local(recipe.extractor)
        if (self.needs == "global" and local) or (self.needs == "local" and not local):
            legal = ", ".join(registry.legal_after(recipe.extractor)) or "none"
            why = _NEEDS[self.needs].format(spec=recipe.extractor, legal=legal)
            raise PlaygroundError(f"{self.name} needs {why}.")

    @property
    def spec(self) -> str:
        """Its canonical spec."""
        return specs.spec_of(self.name, self.config)

    def prepare(  # noqa: B027 (nothing to prepare is the default)
        self, view: View, progress: Progress | None = None
    ) -> None:
        """The offline part, made once per state of the collection. Not part of a query's time.

        Every search calls it where ``offline`` is "needed", so what is there already costs nothing.

        Args:
            progress: None where a search asks and somebody waits.

        Raises:
            PlaygroundError: it would take too long for a search; with the command.
        """

    def estimate_bytes(self, view: View) -> int:
        """Bytes on disk that ``prepare`` makes at most; told before it starts."""
        return 0

    @abc.abstractmethod
    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        """The new ranking; the given one is not changed."""


def query_vector(query: Query, ranking: Ranking, view: View) -> Floats:
    """(D,) the query's descriptor, as an earlier expansion left it."""
    return view.features(query).vectors[0] if ranking.vector is None else ranking.vector
