"""What a collection is, from its manifest alone: cheap, whatever its size."""

from __future__ import annotations

import dataclasses

from data import artefact, paths
from data.errors import PlaygroundError


@dataclasses.dataclass(frozen=True)
class Summary:
    """Counts of a collection and the fingerprint of its photos."""

    name: str
    photos: int
    queries: int
    landmarks: int
    fingerprint: str
    revision: str  # changes with anything that is saved: photos, queries, titles


def summary(name: str) -> Summary:
    """Read a collection's manifest.

    Raises:
        PlaygroundError: there is no collection of this name.
    """
    folder = paths.collections_root() / paths.check_name(name, "collection")
    manifest = artefact.read_manifest(folder)
    if manifest is None:
        raise PlaygroundError(
            f"There is no collection {name!r}. Those that are there: "
            f"python -m scripts.collections list"
        )
    return Summary(
        name,
        manifest["photos"],
        manifest["queries"],
        manifest["landmarks"],
        manifest["fingerprint"],
        artefact.digest(manifest["files"]),
    )
