"""What the views of Inside the index share: the case that is looked at, and how photos are named.

Whatever takes long is kept for all sessions under a key that names the exact vectors; nothing
that is kept is ever changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from pages.parts import backend, details, plots, thumbnails
from pages.parts.gallery import gallery
from pages.parts.inside_query import Asked

if TYPE_CHECKING:
    from data.base import Photo
    from data.store import Collection
    from indexing.artefacts import LoadedIndex, Vectors
    from indexing.base import Floats, Ints
    from indexing.embedding import Embedding

RIGHT, OTHER, UNKNOWN = "the query's landmark", "another landmark", "photo"
# One transparent pixel: a place that is still empty.
_EMPTY = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
COLOURS = {RIGHT: plots.GOOD, OTHER: plots.GREY, UNKNOWN: plots.ACCENT}


@dataclasses.dataclass(frozen=True)
class Case:
    """One query of one extractor, and the collection that is searched.

    Attributes:
        vector: (d,) float32 the described query.
        k: neighbours wanted.
    """

    collection: Collection
    extractor: str
    asked: Asked
    vectors: Vectors
    vector: Floats
    k: int

    @property
    def key(self) -> str:
        """Identifies query and vectors."""
        return f"{self.vectors.version}:{self.asked.key}"

    @property
    def name(self) -> str:
        """The beginning of a saved file's name."""
        return f"{self.collection.name}-{self.extractor.partition(':')[0]}"


@dataclasses.dataclass(frozen=True)
class Opened:
    """A built index with the vectors that it holds, in its order.

    Attributes:
        matrix: (n, d) float32.
        rows: None where row i of the index is photo i, else (n,) photo of each row.
        version: identifies the exact index.
    """

    spec: str
    built: Any
    matrix: Floats
    rows: Ints | None
    version: str

    def photos(self, rows: Ints) -> Ints:
        """Positions in the collection of some rows of the index."""
        return rows if self.rows is None else self.rows[rows]


def open_index(case: Case, spec: str) -> Opened:
    """Load the index of the case's vectors.

    Raises:
        PlaygroundError: it is not built, or out of date.
    """
    from indexing.artefacts import index_version

    vectors, found = backend.engine().opened(case.collection.name, case.extractor, spec)
    return Opened(
        spec, found.built, _matrix(vectors, found), found.rows, index_version(found.manifest)
    )


def _matrix(vectors: Vectors, found: LoadedIndex) -> Floats:
    return vectors.vectors if found.rows is None else vectors.vectors[found.rows]


def pca(case: Case) -> Embedding:
    """The collection's PCA map: saved, else made now."""
    return _pca(case.vectors.version, case)


@st.cache_resource(max_entries=24, show_spinner="Making the map …")
def _pca(version: str, _case: Case) -> Embedding:
    from indexing import embedding

    del version  # only part of the cache's key
    name, spec = _case.collection.name, _case.extractor
    kept = embedding.load(name, spec, "pca", _case.vectors)
    return kept or embedding.make(name, spec, "pca", _case.vectors)


def exact_neighbours(case: Case) -> Ints:
    """(k,) positions of the photos nearest to the query, by exact distances."""
    return _exact(case.key, case.k, case)


@st.cache_resource(max_entries=128, show_spinner=False)
def _exact(key: str, k: int, _case: Case) -> Ints:
    from indexing.inside.common import nearest, squared_distances

    del key  # only part of the cache's key
    return nearest(squared_distances(_case.vector, _case.vectors.vectors), k)


def photo(case: Case, position: int) -> Photo:
    return case.collection.photos[int(position)]


def names(case: Case, positions: Sequence[int] | Ints) -> list[str]:
    """For hover boxes: the landmark and the id."""
    found = [photo(case, position) for position in positions]
    return [plots.safe(f"{backend.caption(case.collection, one)} ({one.id})") for one in found]


def verdicts(case: Case, positions: Sequence[int] | Ints) -> list[str]:
    """RIGHT, OTHER or UNKNOWN for each photo."""
    wanted = case.asked.query.label
    return [_verdict(wanted, photo(case, position).label) for position in positions]


def _verdict(wanted: str | None, label: str | None) -> str:
    if wanted is None or label is None:
        return UNKNOWN
    return RIGHT if label == wanted else OTHER


def strip(case: Case, positions: Sequence[int] | Ints, words: Sequence[str], key: str) -> None:
    """Photos in a row with a caption each; a click opens one."""
    shown = [photo(case, position) for position in positions]
    items = [
        (one.id, thumbnails.url(case.collection, one), text)
        for one, text in zip(shown, words, strict=True)
    ]
    picked = gallery(items, key, "Photos of this picture", strip=True)
    by_id = {one.id: one for one in shown}
    if picked in by_id:
        details.show_photo(case.collection, by_id[picked])


def appearing(
    case: Case, positions: Sequence[int] | Ints, found: Any, words: Sequence[str], key: str
) -> None:
    """The true neighbours in their order: found ones with their photo, the others still empty."""
    shown = [photo(case, position) for position in positions]
    items = [
        (one.id, thumbnails.url(case.collection, one) if there else _EMPTY, text)
        for one, there, text in zip(shown, found, words, strict=True)
    ]
    picked = gallery(items, key, "True neighbours, found and not yet found", strip=True)
    by_id = {one.id: one for one in shown}
    if picked in by_id:
        details.show_photo(case.collection, by_id[picked])


def ranked(positions: Sequence[int] | Ints, values: Sequence[float] | Any, unit: str) -> list[str]:
    """Captions such as "3: 0.412"."""
    return [f"{rank}: {value:{unit}}" for rank, value in enumerate(values[: len(positions)], 1)]


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def explain(words: str, formula: str = "") -> None:
    """Two sentences on what is seen, with the formula beside them."""
    if not formula:
        st.markdown(words)
        return
    left, right = st.columns([7, 5], gap="large", vertical_alignment="center")
    left.markdown(words)
    right.latex(formula)


def spread(values: Floats) -> Floats:
    """Each column of (n, 2) to 0 to 1, for drawing."""
    low, high = values.min(axis=0), values.max(axis=0)
    scaled: Floats = (values - low) / np.where(high > low, high - low, 1)
    return scaled
