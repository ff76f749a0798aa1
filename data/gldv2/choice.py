"""Which photos to download: chosen from the lists alone, or those of an earlier call."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data import artefact, paths
from data.errors import Conflict
from data.gldv2 import lists
from data.gldv2.estimate import Estimate, ask
from data.gldv2.lists import Subset
from data.gldv2.session import Session
from data.glr21 import LABELS, SOLUTION, csv_rows


def chosen_before(session: Session) -> dict[str, list[str]] | None:
    """The photos of an earlier call with the same parameters."""
    try:
        text = (session.folder / "download.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        earlier = {key: json.loads(text)[key] for key in _identity(session)}
    except (ValueError, KeyError, TypeError):
        earlier = {}
    if earlier != _identity(session):
        raise Conflict(
            f"{session.folder} holds a download with other parameters. Use those again, choose "
            f"another --name, or delete the folder."
        )
    split = session.wanted.split
    labels = csv_rows(session.folder / LABELS[split], ("id", "landmark_id"))
    found: dict[str, list[str]] = {split: sorted({row[0] for row in labels})}
    if (session.folder / SOLUTION).is_file():
        found["test"] = sorted({row[0] for row in csv_rows(session.folder / SOLUTION, ("id",))})
    return found


def choose(session: Session, confirm: Callable[[Estimate], bool]) -> dict[str, list[str]]:
    """Choose photos by the lists, which are fetched first, and keep the choice."""
    folder = paths.downloads_root() / "lists"
    missing = lists.missing(session.web, session.mirror, session.wanted, folder)
    if missing:
        size = sum(max(0, found) for found in missing.values())
        how = f"The lists of the data set come first: {', '.join(sorted(missing))}."
        estimate = Estimate("lists", len(missing), size, len(missing), size, None, how)
        ask(confirm, estimate, paths.downloads_root())
    notes = lists.fetch(session.web, session.mirror, session.wanted, folder, session.progress)
    session.tell(0, 0, "choosing")
    sums = lists.sha256_of(folder, notes)
    subset = lists.choose(session.wanted, folder)
    _write_lists(session.folder, subset)
    # Last: with it the choice is made.
    content = {**_identity(session), "lists": sums, "listed": subset.listed}
    artefact.write_atomically(session.folder / "download.json", artefact.canonical_json(content))
    return subset.ids()


def _identity(session: Session) -> dict[str, Any]:
    wanted = json.loads(json.dumps(dataclasses.asdict(session.wanted)))
    return {"mirror": session.mirror.base_url.rstrip("/"), "wanted": wanted}


def _write_lists(folder: Path, subset: Subset) -> None:
    """The CSV files of the subset, as ``data.glr21`` reads them."""
    split = subset.split
    files: dict[str, tuple[tuple[str, ...], Iterator[tuple[str, ...]]]] = {
        LABELS[split]: (
            ("id", "landmark_id"),
            ((i, label) for label, ids in subset.photos.items() for i in ids),
        ),
        f"{split}_label_to_category.csv": (
            ("landmark_id", "category"),
            iter(subset.titles.items()),
        ),
        f"{split}_attribution.csv": (
            ("id", "url", "author", "license", "title"),
            ((i, *credit) for i, credit in subset.credits.items()),
        ),
    }
    if subset.queries:
        files[SOLUTION] = (
            ("id", "images", "Usage"),
            ((i, " ".join(ids), usage) for i, (ids, usage) in subset.queries.items()),
        )
    for name in {SOLUTION, *(path.name for path in folder.glob("*.csv"))} - set(files):
        (folder / name).unlink(missing_ok=True)  # of a choice that was not finished
    for name, (header, rows) in files.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        artefact.write_atomically(folder / name, text.getvalue())
