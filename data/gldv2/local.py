"""A copy of the data set that is on this disk already."""

from __future__ import annotations

import os
from pathlib import Path

from data import importing
from data.errors import Invalid
from data.gldv2.lists import Wanted
from data.gldv2.session import Report
from data.glr21 import LABELS, SOLUTION, Glr21Source
from data.progress import Progress

_KAGGLE = ("landmark-retrieval-2021", "landmark-recognition-2021", "landmark-retrieval-2020")


def find_local(wanted: Wanted) -> Path | None:
    """A Kaggle download of GLR21 on this machine that ``wanted`` can be drawn from."""
    cache = Path(os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub")
    for slug in _KAGGLE:
        folder = cache / "competitions" / slug
        if (folder / wanted.split).is_dir() and (folder / LABELS[wanted.split]).is_file():
            return folder
    return None


def import_local(
    name: str, wanted: Wanted, folder: Path, progress: Progress | None = None
) -> Report:
    """Import a copy that is on disk already, instead of downloading. Photos stay where they are.

    Raises:
        PlaygroundError: it is not in the layout of the data set, or the choice needs lists that
            only the download has.
    """
    wanted.check()
    if wanted.category or wanted.hierarchy or wanted.clean:
        raise Invalid(
            f"A copy on disk ({folder}) is drawn from without --category, --hierarchy and "
            f"--clean. Leave them out, or download instead with --no-local."
        )
    solution = any((folder / below / SOLUTION).is_file() for below in ("", "ground_truth"))
    source = Glr21Source(
        folder,
        split=wanted.split,
        landmarks=wanted.landmarks,
        min_photos=wanted.min_photos,
        max_photos=wanted.max_photos,
        seed=wanted.seed,
        queries=wanted.with_queries and solution,
    )
    report = Report(source.root(), local=str(folder))
    report.imported = importing.import_collection(name, source, progress=progress)
    report.wanted = report.before = report.imported.added
    return report
