"""Descriptors that were computed elsewhere, as an extractor's output.

They come from a file (``python -m scripts.descriptors import``), not from photos: indexes are
built over them and the collection's queries are searched like those of any extractor, but a new
photo cannot be described.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, Card, Extractor, Features, Prepared, Raw


@dataclasses.dataclass(frozen=True)
class ImportedConfig:
    """``name`` tells imported descriptors apart, such as R101-GeM."""

    name: str = ""


class Imported(Extractor):
    """Stands for descriptors whose network is not here."""

    name = "imported"
    card = Card(
        title="Imported descriptors",
        paper="That of the file's authors",
        url="https://github.com/filipradenovic/revisitop",
        idea="Vectors that somebody else computed and published, one per photo and query. They "
        "are L2-normalised and indexed like any others, so that published numbers can be checked "
        "without the network and even without the photos.",
        formula=r"x / \lVert x \rVert_2",
        parameters={"name": "what the descriptors are called; one set per name and collection"},
        licence="That of the file.",
        cost="Nothing is computed; searching costs what the dimension costs.",
    )

    def __init__(self, config: ImportedConfig) -> None:
        super().__init__(config)
        self._dim = 0

    @property
    def dim(self) -> int:
        return self._dim

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        self._refuse()

    def describe(self, prepared: Prepared) -> Raw:
        self._refuse()

    def encode(self, raw: Raw) -> Features:
        self._refuse()

    def state(self) -> dict[str, NDArray[Any]]:
        return {"dim": np.array(self._dim, np.int64)}

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        dim = state.get("dim")
        if dim is None or dim.shape != () or int(dim) < 1:
            raise PlaygroundError(f"The imported descriptors {self.config.name} have no dimension.")
        self._dim = int(dim)

    def runtime(self) -> str:
        return "imported"

    def _refuse(self) -> NoReturn:
        raise PlaygroundError(
            f"The imported descriptors {self.config.name} cannot describe new photos: their "
            f"network is not here. Search with one of the collection's queries, or choose another "
            f"extractor. To import descriptors: python -m scripts.descriptors import --help"
        )
