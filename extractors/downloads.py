"""Getting weights: download with resume, import of a file that is here already, and checking.

Nothing happens unless it is asked for: by ``python -m scripts.weights`` or a button.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Protocol

from data import artefact, mirrors, permission
from data.errors import PlaygroundError
from data.http import Cancel, Remote, RestartError, Settings, Web, WebError
from data.paths import weights_root
from data.progress import Progress
from extractors import checkpoints, registry, timm_names
from extractors.weights import (
    IMAGENET,
    TABLE,
    WeightFile,
    check_fits,
    checked_sha256,
    find,
    hash_note,
    known,
    read_state,
    training_card,
)

RESTARTS = 2  # of a file from a server that cannot continue one


class _Checked(Protocol):
    def check_file(self, path: Path) -> None: ...


def called(name: str) -> list[WeightFile]:
    """The rows that can be fetched by a name: a network's, or ``imagenet`` (ResNet50 and VGG16).

    ``timm:NAME`` is any model of timm.

    Raises:
        PlaygroundError: no such name; the message lists the names.
    """
    if name.startswith(timm_names.PREFIX):
        found = known(name)
        registry.create(found[0].extractor)  # refuses what cannot be used, before any download
        return found
    rows = [row for row in TABLE if row.source not in ("bundled", "packaged")]
    if name == "imagenet":
        return [row for row in rows if row.source == "imagenet" and row.network in IMAGENET]
    found = [row for row in rows if row.network == name]
    if not found:
        legal = ["imagenet", *dict.fromkeys(row.network for row in rows)]
        bundled = " It is shipped with the project." if known(name) else ""
        raise PlaygroundError(
            f"There are no weights '{name}' to download or import.{bundled} Legal: "
            f"{', '.join(legal)}, or timm:NAME for a model of timm."
        )
    return found


def download(
    row: WeightFile,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    settings: Settings | None = None,
) -> Path:
    """Download one file, going on where an earlier attempt stopped.

    The bytes go to ``<file>.part``; only a file whose SHA-256 is right gets its name. Callable
    from any thread; a second download at the same time is refused.

    Args:
        progress: told of every chunk.
        cancel: stops the download when set (a ``threading.Event``); the part is kept.
        settings: timeouts and attempts.

    Returns:
        The file's path.

    Raises:
        Stopped: ``cancel`` was set.
        PlaygroundError: no address, no network, full disk, or damaged content.
    """
    permission.require("download weights")
    if not row.url:
        raise PlaygroundError(f"{row.file} cannot be downloaded from here. {row.mend}")
    here = find(row)
    if here is not None:
        checked_sha256(here, row)
        return here
    root = weights_root()
    target, part = root / row.file, root / f"{row.file}.part"
    doing = f"Downloading {row.file}"
    with artefact.explain_os_errors(doing), artefact.exclusive(root, doing):
        target.parent.mkdir(exist_ok=True)
        # The table of weights is ours: its servers are the known ones.
        web = Web(settings, cancel, known=[mirrors.host_of(row.url)])
        try:
            remote = web.probe(row.url)
            resumed = _fetch(web, remote, row, part, progress)
            sha256 = artefact.file_sha256(part)
            if resumed and _wrong(row, part, sha256):
                # The beginning was damaged or of another version: once more, all of it.
                part.unlink()
                _fetch(web, remote, row, part, progress)
                sha256 = artefact.file_sha256(part)
        except WebError as error:
            raise PlaygroundError(
                f"{error} If you have a copy of the file: "
                f"python -m scripts.weights import {row.network} FILE"
            ) from error
        if wrong := _wrong(row, part, sha256):
            part.unlink()
            raise PlaygroundError(
                f"{row.file} arrived damaged: {wrong.rstrip('.')}. It was deleted. {row.mend}"
            )
        _publish(row, part, target, sha256)
    return target


def _wrong(row: WeightFile, part: Path, sha256: str) -> str:
    """What is wrong with a file that has arrived; empty for nothing."""
    if not sha256.startswith(row.hash_prefix):
        return (
            f"its SHA-256 starts with {sha256[: len(row.hash_prefix)]} instead of {row.hash_prefix}"
        )
    if not row.hash_prefix:  # nothing is promised but its kind, and that it fits its network
        try:
            check_format(row, part, row.file)
        except PlaygroundError as error:
            return str(error)
        if _misnamed(row, part):
            return "it is no safetensors file"
    return ""


def _misnamed(row: WeightFile, path: Path) -> bool:
    """Whether the row's name would make the content be read as what it is not."""
    return row.file.endswith(".safetensors") and not checkpoints.is_safetensors(path)


def _publish(row: WeightFile, arrived: Path, target: Path, sha256: str) -> None:
    """Give a checked file its name, and keep its hash where the table does not know it.

    If this is cut short, the file has no kept hash rather than a wrong one.
    """
    note = hash_note(row, target)
    if note is not None:
        note.unlink(missing_ok=True)
    os.replace(arrived, target)
    if note is not None:
        artefact.write_atomically(note, f"{sha256}  {target.name}\n")


def _fetch(
    web: Web, remote: Remote, row: WeightFile, part: Path, progress: Progress | None
) -> bool:
    """Fetch what ``part`` lacks; whether anything of it was there before."""
    start = part.stat().st_size if part.is_file() else 0
    if not remote.ranges or start > remote.size:
        start = 0
    _check_space(part, remote.size - start, row)
    with open(part, "r+b" if start else "wb") as handle:
        for attempt in range(RESTARTS + 1):
            done = handle.seek(start)
            handle.truncate()
            try:
                for chunk in web.stream(remote, done):
                    handle.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, max(remote.size, 0), row.file)
                break
            except RestartError as error:
                if attempt == RESTARTS:
                    raise WebError(
                        f"{row.url} broke off {RESTARTS + 1} times ({error}), and this server "
                        f"cannot continue a file. Run the same command again."
                    ) from error
                start = 0
        handle.flush()
        os.fsync(handle.fileno())
    return start > 0


def _check_space(part: Path, needed: int, row: WeightFile) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise PlaygroundError(
            f"{row.file} needs {needed / 1e6:,.0f} MB more in {part.parent}, and "
            f"{free / 1e6:,.0f} MB are free. Free some space, or set PLAYGROUND_HOME to a larger "
            f"disk. {row.mend}"
        )


def row_for_import(name: str, source: Path) -> WeightFile:
    """The row that a file is imported as: for one that was trained here, the bundled one's.

    Raises:
        PlaygroundError: the name is unknown, or stands for several files.
    """
    own = [row for row in known(name) if row.source == "bundled"]
    if own and training_card(source.expanduser()) is not None:
        return own[0]
    rows = called(name)
    if len(rows) != 1:
        names = ", ".join(row.network for row in rows)
        raise PlaygroundError(f"'{name}' stands for several files. Name one of them: {names}.")
    return rows[0]


def import_file(row: WeightFile, source: Path) -> Path:
    """Copy a checkpoint that the user has to where the extractors look, after checking it.

    Args:
        source: the file; its name does not matter. It is left as it is.

    Raises:
        PlaygroundError: no such file, another hash than the table's, or other tensors.
    """
    permission.require("import weights")
    source = source.expanduser()
    if not source.is_file():
        raise PlaygroundError(f"There is no file {source}.")
    root = weights_root()
    target = root / row.file
    copy = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    doing = f"Importing {row.file}"
    with artefact.explain_os_errors(doing), artefact.exclusive(root, doing):
        try:
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, copy)
            # The copy is what is checked: the source may change meanwhile.
            sha256 = artefact.file_sha256(copy)
            if not sha256.startswith(row.hash_prefix):
                raise PlaygroundError(
                    f"{source} is not {row.file}: its SHA-256 starts with {sha256[:8]} instead of "
                    f"{row.hash_prefix}. To use it all the same, name it where the weights are "
                    f"chosen: --weights file:{source}"
                )
            check_format(row, copy, str(source))
            if _misnamed(row, copy):
                raise PlaygroundError(
                    f"{source} is no safetensors file, which {row.file} has to be. To use it all "
                    f"the same, name it where the weights are chosen: --weights file:{source}"
                )
            with open(copy, "rb+") as handle:
                os.fsync(handle.fileno())
            _publish(row, copy, target, sha256)
        finally:
            copy.unlink(missing_ok=True)
    return target


def check_format(row: WeightFile, path: Path, said: str | None = None) -> None:
    """Refuse a file whose tensors' names or shapes are not those of the row's network.

    Args:
        said: the file's name in messages; ``path`` unless given.
    """
    try:
        if row.extractor:
            extractor: Any = registry.create(row.extractor, weights=f"file:{path}")
            checked: _Checked = extractor
            checked.check_file(path)
        elif row.source == "imagenet":
            import torch
            import torchvision

            with torch.device("meta"):  # shapes without memory
                module = getattr(torchvision.models, row.network)(weights=None)
            check_fits(module, read_state(path), str(path))
        else:
            read_state(path)
    except PlaygroundError as error:
        raise PlaygroundError(str(error).replace(str(path), said or str(path))) from None


def check(row: WeightFile) -> Path | None:
    """Verify a file's SHA-256 and format; its path, or None where it is not on this machine."""
    path = find(row)
    if path is not None:
        checked_sha256(path, row)
        check_format(row, path)
    return path
