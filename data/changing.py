"""Taking photos out of a collection, and deleting one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable

from data import artefact, commands, layout, paths, permission
from data.errors import Conflict, NotFound, PlaygroundError
from data.store import exists, load, summary


def remove(name: str, ids: Iterable[str]) -> int:
    """Take photos or queries out of a collection; files referenced elsewhere are not touched.

    Returns:
        How many were removed.

    Raises:
        PlaygroundError: an id is unknown (nothing is removed then), or no photo would be left.
    """
    permission.require("remove photos")
    unwanted = set(ids)
    folder = layout.folder_of(name)
    doing = f"Removing photos from {name}"
    load(name)
    with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing):
        old = load(name)
        unknown = sorted(unwanted - set(old.ids) - {query.id for query in old.queries})
        if unknown:
            raise NotFound(
                f"The collection {name} has no photo or query {', '.join(unknown[:5])}"
                f"{' and others' if len(unknown) > 5 else ''}; nothing was removed. Ids are listed "
                f"by:",
                command=commands.collections("show", name, "--json"),
            )
        left = [photo for photo in old.photos if photo.id not in unwanted]
        if not left:
            raise Conflict(
                f"Nothing was removed: no photo of {name} would be left. To delete the collection:",
                command=commands.delete(name),
            )
        queries = [query for query in old.queries if query.id not in unwanted]
        header = summary(name)
        first = header["sources"][0]
        if "expected" in first:
            # Only the first import's photos are told from others, by their root.
            gone = [p for p in (*old.photos, *old.queries) if p.id in unwanted and p.root == 0]
            were = first.get("partial", {"photos_missing": 0, "queries_missing": 0})
            removed = len({p.id for p in gone} & set(old.ids))
            first |= layout.partial(
                were["photos_missing"] + removed, were["queries_missing"] + len(gone) - removed
            )
        layout.save(folder, header, left, queries, artefact.read_record(folder))
    return len(unwanted)


def delete(name: str, before: Callable[[str], None] | None = None) -> None:
    """Delete a collection with its thumbnails, copies, vectors, indexes and evaluations.

    Referenced photos are not touched. What a killed first import left is deleted likewise.

    Args:
        before: lets go of what lies elsewhere, given the name; if it raises, nothing is deleted.

    Raises:
        PlaygroundError: there is none, another process is changing it, or building from it.
    """
    permission.require("delete a collection")
    folder, vectors = layout.folder_of(name), paths.vectors_root(name)
    if not exists(name) and name not in leftovers():
        load(name)  # raises, naming what there is
    doing = f"Deleting the collection {name}"
    with artefact.explain_os_errors(doing), contextlib.ExitStack() as locks:
        locks.enter_context(artefact.exclusive(folder, doing))
        # Builds hold the lock of their extractor's folder.
        for lock in sorted(vectors.glob("*/.lock")):
            locks.enter_context(artefact.exclusive(lock.parent, f"Building from {name}"))
        if before is not None:
            before(name)
        # Without its manifest it is no collection any more, whatever happens next.
        (folder / artefact.MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(vectors, ignore_errors=True)
        for root in (paths.evaluations_root, paths.rerank_root):
            shutil.rmtree(root(name), ignore_errors=True)
        layout.clear(folder)


def leftovers() -> list[str]:
    """Names under which a first import was killed, sorted: files on the disk and no collection.

    Another import under the name goes on from them, and ``delete`` removes them.
    """
    found = []
    root = paths.collections_root()
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        try:
            paths.check_name(folder.name, "collection")
            if exists(folder.name) or not any(one.name != ".lock" for one in folder.iterdir()):
                continue
            with artefact.exclusive(folder, "Looking"):  # else an import is at work there
                if not exists(folder.name):
                    found.append(folder.name)
        except (PlaygroundError, OSError):
            continue
    return found
