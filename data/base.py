"""What a collection is: photos with stable ids, and the contract of a source of photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

Box = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels of the original upright photo, half-open."""


@dataclasses.dataclass(frozen=True)
class Photo:
    """One photo of a collection. ``width`` and ``height`` are those of the upright photo."""

    id: str
    file: str  # relative to the collection's photo root, with forward slashes
    width: int  # px
    height: int  # px
    sha256: str  # of the file's bytes
    label: str | None = None  # landmark, None where unknown
    title: str | None = None
    author: str | None = None
    licence: str | None = None
    url: str | None = None
    box: Box | None = None  # queries only: the region that shows the landmark
    relevant: tuple[str, ...] | None = None  # queries only: ids, where labels do not say it
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)
    size: int = 0  # bytes of the file; 0 where not recorded
    root: int = 0  # which of the collection's photo roots ``file`` is relative to

    @property
    def absent(self) -> bool:
        """Whether it is an entry of a list without a file; its ``sha256`` is of the name then."""
        return self.width == 0

    @property
    def kind(self) -> str | None:
        """What sort of landmark it shows, such as "castle"; None where the source says nothing."""
        scene = self.extra.get("scene")
        found = (scene if isinstance(scene, dict) else self.extra).get("kind")
        return found if isinstance(found, str) and found else None


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that was not imported, and why (a sentence for people)."""

    file: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A file that a source offers; it becomes a Photo once it has been decoded and measured."""

    id: str
    path: Path
    file: str  # name relative to the source's root
    label: str | None = None
    title: str | None = None
    author: str | None = None
    licence: str | None = None
    url: str | None = None
    box: Box | None = None
    relevant: tuple[str, ...] | None = None
    query: bool = False
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)
    sha256: str | None = None  # what the file must have, where the source knows it
    absent: bool = False  # listed without a file, for imported descriptors (see Photo.absent)
    decoded: bool = False  # bytes of this ``sha256`` are known to decode: no need to try


class Source(Protocol):
    """Where photos come from. One file per source in this package."""

    kind: str  # registry name

    def root(self) -> Path:
        """The folder that the candidates' ``file`` is relative to."""
        ...

    def candidates(self) -> Iterator[Candidate | Skipped]:
        """Every photo and query the source offers, in a stable order.

        Files that it cannot offer (a link out of the folder, say) come as ``Skipped``.
        """
        ...

    def count(self) -> int:
        """How many candidates there are, for progress bars; 0 where that is not known."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON-able parameters that would make this source again; ``kind`` among them."""
        ...

    def about(self) -> dict[str, str]:
        """``title``, ``description``, ``licence``, ``author`` of the photos, where known."""
        ...


@runtime_checkable
class PackedSource(Source, Protocol):
    """A source whose photos are no files yet: the collection keeps copies of its own."""

    def unpack(self, into: Path) -> Iterator[Candidate | Skipped]:
        """Like ``candidates``, each file written to the folder ``into`` just before its turn.

        ``into`` exists and is empty; the files are moved away from it or deleted.
        """
        ...
