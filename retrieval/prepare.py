"""What has to be made offline for a recipe: how large it is, and making it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from data.errors import PlaygroundError
from data.paths import artifacts_root
from retrieval.engine import SearchEngine
from retrieval.ranking import Recipe
from retrieval.rerank import registry
from retrieval.rerank.base import Progress
from retrieval.snapshot import Snapshot


@dataclasses.dataclass(frozen=True)
class Step:
    """The offline part of one re-ranker."""

    spec: str
    bytes: int  # on disk, at most
    photos: int

    @property
    def bytes_per_photo(self) -> float:
        return self.bytes / max(1, self.photos)


def plan(collection: str, recipe: Recipe, engine: SearchEngine | None = None) -> list[Step]:
    """The offline parts of a recipe, whether they are made already or not.

    Raises:
        PlaygroundError: the descriptors or the index are not built, with the command.
    """
    view = _view(collection, recipe, engine)
    made = (registry.create(spec) for spec in recipe.rerank)
    return [
        Step(one.spec, one.estimate_bytes(view), len(view.photos))
        for one in made
        if one.offline != "none"
    ]


def prepare(
    collection: str,
    recipe: Recipe,
    progress: Progress | None = None,
    engine: SearchEngine | None = None,
) -> list[Step]:
    """Make what is missing; a search finds it then.

    Args:
        progress: called as (done, total, text).

    Raises:
        PlaygroundError: something is not built, or the disk is too small.
    """
    engine = engine or SearchEngine()
    steps = plan(collection, recipe, engine)
    view = _view(collection, recipe, engine)
    for step in steps:
        free = _free(artifacts_root())
        if step.bytes > free:
            raise PlaygroundError(
                f"{step.spec} of {collection} for {recipe.extractor} needs some "
                f"{step.bytes / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free. Free some space, "
                f"or set PLAYGROUND_HOME to a larger disk."
            )
        # Something to be told: re-rankers take None as a search that waits.
        registry.create(step.spec).prepare(view, progress or (lambda done, total, text: None))
    return steps


def _view(collection: str, recipe: Recipe, engine: SearchEngine | None) -> Snapshot:
    return (engine or SearchEngine()).snapshot(collection, recipe.extractor, recipe.index)


def _free(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free
