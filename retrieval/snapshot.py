"""One state of a collection, its descriptors and an index, as one search sees it.

Everything in it was looked up once and fits together: a search beside a build or a removal answers
from the old state or the new one, never from both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from data import artefact
from data.base import Photo
from data.paths import rerank_root
from data.store import Collection
from extractors.base import RGB, Extractor, Features
from indexing.artefacts import LoadedIndex, Vectors, extractor_folder
from indexing.base import Floats
from retrieval.ranking import Query, Ranking

if TYPE_CHECKING:
    from retrieval.engine import SearchEngine

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Loaded:
    """Verified descriptors of a state of a collection, and the extractor that made them."""

    members: Collection
    spec: str
    vectors: Vectors
    extractor: Extractor

    @property
    def version(self) -> str:
        """Identifies this state: the photos and their descriptors."""
        return f"{self.members.fingerprint} {self.vectors.version}"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The ``View`` of re-rankers, see ``retrieval.rerank.base``."""

    engine: SearchEngine
    loaded: Loaded
    index: LoadedIndex
    params: dict[str, Any]  # of the index, for this search
    excluded: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        return self.loaded.members.name

    @property
    def photos(self) -> tuple[Photo, ...]:
        return self.loaded.members.photos

    @property
    def extractor(self) -> str:
        return self.loaded.spec

    @property
    def local(self) -> bool:
        return self.loaded.extractor.local

    @property
    def image_size(self) -> int | None:
        return self.loaded.extractor.image_size

    def vectors(self, spec: str | None = None) -> Vectors:
        return self._of(spec).vectors

    def features(self, query: Query, spec: str | None = None) -> Features:
        return self.engine.described(self._of(spec), query).features

    def _of(self, spec: str | None) -> Loaded:
        if spec is None or spec == self.extractor:
            return self.loaded
        return self.engine.loaded_for(self.loaded.members, spec)

    def search(self, vector: Floats, k: int) -> Ranking:
        """The nearest photos of a (D,) vector; the excluded ones are left out."""
        found = self.index
        wanted = min(k + len(self.excluded), found.built.n)
        ids, distances = found.built.search(vector[None], wanted, self.params)[0]
        rows = ids if found.rows is None else found.rows[ids]
        ranking = Ranking(rows, found.built.scores(distances), {"distance": distances})
        return self.allowed(ranking, k)

    def allowed(self, ranking: Ranking, k: int) -> Ranking:
        """Without the excluded photos, at most k."""
        if self.excluded:
            ranking = ranking.take(~np.isin(ranking.rows, list(self.excluded)))
        return ranking if len(ranking) <= k else ranking.take(np.arange(k))

    def pixels(self, row: int) -> RGB:
        return self.loaded.members.read(self.photos[row])

    def artefact(
        self,
        name: str,
        key: dict[str, Any],
        make: Callable[[Path], None] | None,
        of_photos: bool = False,
    ) -> Path | None:
        state = self.loaded.members.fingerprint if of_photos else self.loaded.version
        root = (
            rerank_root(self.name)
            if of_photos
            else extractor_folder(self.name, self.extractor) / "rerank"
        )
        meta = {"kind": "rerank", "of": state, **key}
        folder = root / artefact.digest(key)[:16]
        manifest = artefact.usable_manifest(folder)
        if manifest is None or any(manifest.get(field) != value for field, value in meta.items()):
            if make is None:
                return None
            doing = f"Preparing {name} of {self.name} for {self.extractor}"
            with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing):
                manifest = artefact.save(folder, meta, {name: make})
        again = " (it is made again)"
        return artefact.file_path(folder, manifest, name, f"rm -r '{folder}'", again)

    def kept(self, key: Hashable, make: Callable[[], Value], of_photos: bool = False) -> Value:
        state: tuple[Hashable, ...] = (self.extractor, self.loaded.version)
        if of_photos:
            state = (self.loaded.members.fingerprint,)
        return self.engine.kept((self.name, *state, key), make)
