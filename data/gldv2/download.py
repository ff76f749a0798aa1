"""Downloading a subset as a collection, and deleting what was downloaded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from data import artefact, commands, importing, paths, permission, store
from data.errors import Conflict, PlaygroundError
from data.gldv2 import choice, estimate, shards
from data.gldv2.estimate import Estimate, ask, forget_question
from data.gldv2.fetching import Fetching
from data.gldv2.keeping import is_here
from data.gldv2.lists import Mirror, Wanted
from data.gldv2.session import Report, Session
from data.gldv2.shards import Method
from data.glr21 import Glr21Source
from data.http import Cancel, Settings
from data.progress import Progress


class DownloadedSource(Glr21Source):
    """All photos of a downloaded subset."""

    def about(self) -> dict[str, str]:
        rights = (
            "CC BY; each photo names its author, licence and source."
            if self.split == "train"
            else "CC0 or public domain, by the data set's page."
        )
        return {
            "description": f"A subset of the {self.split} split of Google Landmarks v2 (Weyand et "
            f"al., CVPR 2020).",
            "licence": f"{rights} Labels: Google, CC BY 4.0.",
        }


def download(
    name: str,
    wanted: Wanted,
    mirror: Mirror | None = None,
    *,
    method: Method = "auto",
    search_all: bool = False,
    settings: Settings | None = None,
    confirm: Callable[[Estimate], bool] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Report:
    """Fetch a subset and make it the collection ``name``; goes on where an earlier call stopped.

    Args:
        name: of the collection, and of the folder of its photos.
        wanted: which photos, and how large.
        mirror: where from; the official server where omitted.
        method: "ranges" needs a server that honours them; "shards" streams whole shards; "auto"
            takes ranges where they work, and whole shards for large parts of a split.
        search_all: look through every shard for photos that are not where they should be.
        settings: how to talk to the server.
        confirm: is asked before lists and before photos are fetched; None: yes.
        progress: called as (done, total, text): bytes of a list, then shards, then photos. From
            several threads, but never by two at a time.
        cancel: stops the download when set; what was saved stays.

    Returns:
        What was done; ``complete`` is False where photos are missing or something was wrong.

    Raises:
        PlaygroundError: parameters, network, disk; nothing that was saved is lost.
    """
    permission.require("download photos")
    wanted.check()
    _refuse_other(name)
    folder, root = _subset_folder(name), paths.downloads_root()
    with artefact.explain_os_errors(f"Downloading {name}"), artefact.exclusive(root, "A download"):
        session = Session(folder, wanted, mirror or Mirror(), settings, progress, cancel)
        report = _fetch(session, method, search_all, confirm or (lambda estimate: True))
    if progress:
        progress(0, 0, "importing")
    source = DownloadedSource(folder, wanted.split)
    report.imported = importing.import_collection(
        name, source, progress=progress, on_exists="refresh" if store.exists(name) else "refuse"
    )
    return report


def _fetch(
    session: Session, method: Method, search_all: bool, confirm: Callable[[Estimate], bool]
) -> Report:
    started = time.perf_counter()
    chosen = choice.chosen_before(session) or choice.choose(session, confirm)
    shutil.rmtree(session.incoming, ignore_errors=True)
    ids = {
        split: {photo for photo in found if not is_here(session, split, photo)}
        for split, found in chosen.items()
    }
    session.report.wanted = sum(len(found) for found in chosen.values())
    session.left = sum(len(found) for found in ids.values())
    session.report.before = session.report.wanted - session.left
    if session.left:
        tasks = [
            shards.plan(session, split, found, method) for split, found in ids.items() if found
        ]
        ask(confirm, estimate.of_photos(session, tasks), session.folder)
        session.incoming.mkdir(parents=True, exist_ok=True)
        try:
            fetching = Fetching(session, search_all)
            for task in tasks:
                fetching.fetch(task)
        finally:
            shutil.rmtree(session.incoming, ignore_errors=True)
    report = session.report
    report.missing.sort()
    report.problems.sort(key=lambda problem: (problem.what, problem.reason))
    web = session.web
    report.requests, report.retries, report.bytes = web.requests, web.retries, web.bytes
    report.seconds = time.perf_counter() - started
    return report


def downloaded(name: str) -> Path | None:
    """The folder that the photos of a collection were downloaded to; None where there is none."""
    folder = _subset_folder(name)
    return folder if folder.is_dir() else None


def delete_downloaded(name: str) -> None:
    """Delete the downloaded photos of ``name``; the lists and what is known of shards stay.

    Raises:
        PlaygroundError: a collection still uses them, or a download is running.
    """
    permission.require("delete downloaded photos")
    folder = _subset_folder(name)
    users = [one for one in store.list_collections() if _comes_from(one, folder)]
    if users:
        raise Conflict(
            f"The photos in {folder} are those of the collection {', '.join(users)}. Delete it "
            f"first:",
            command=commands.delete(users[0]),
        )
    root, doing = paths.downloads_root(), f"Deleting the downloaded photos of {name}"
    with artefact.explain_os_errors(doing), artefact.exclusive(root, "A download"):
        if folder.is_dir():
            shutil.rmtree(folder)
    forget_question(name)


def _subset_folder(name: str) -> Path:
    return paths.downloads_root() / "subsets" / paths.check_name(name, "collection")


def _refuse_other(name: str) -> None:
    if store.exists(name) and not _comes_from(name, _subset_folder(name)):
        raise Conflict(
            f"There is a collection {name!r} already that does not come from this download. "
            f"Choose another --name."
        )


def _comes_from(name: str, folder: Path) -> bool:
    """Whether photos of a collection lie in the folder of a download."""
    try:
        sources = store.summary(name)["sources"]
    except PlaygroundError:
        return False  # damaged; what it named cannot be told
    return any(source.get("path") == str(folder.resolve()) for source in sources)
