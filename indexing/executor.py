"""The contract of whoever makes the shards of a build outside its process (``indexing.ray``).

A shard is named by its photos and by what the extractor has learned, and holds its own digest. So a
worker may make one twice, or die within one: the build uses what is whole and makes the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """One shard of final vectors. Picklable; workers need the same ``PLAYGROUND_HOME``.

    Attributes:
        collection: by name.
        spec, weights: of the extractor.
        ids: of the photos, in the shard's order.
        state: a shard with what the extractor has learned; None: it learns nothing.
        out: the file to write.
    """

    collection: str
    spec: str
    weights: str
    ids: tuple[str, ...]
    state: Path | None
    out: Path


class Executor(Protocol):
    """Makes shards elsewhere."""

    def map(self, tasks: Sequence[ShardTask]) -> Iterator[ShardTask]:
        """Every task as soon as its shard is there, in any order.

        Raises:
            PlaygroundError: a photo cannot be described, or no worker is left.
        """
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...
