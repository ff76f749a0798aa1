"""An uploaded zip of photos: one folder per landmark, or photos without labels.

Nothing of an archive is trusted. Its names only become ids and labels, never paths; sizes are
limited before and while reading; links, encrypted entries and archives inside are refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from data import names
from data.base import Candidate, Skipped
from data.errors import PlaygroundError


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    entries: int = 50_000
    total_bytes: int = 4 << 30  # unpacked
    file_bytes: int = 100_000_000  # unpacked, of one photo
    ratio: int = 200  # unpacked / packed, of files above 1 MB; photos hardly pack at all


_DRIVE = re.compile(r"[A-Za-z]:")
_CHUNK = 1 << 20
_UTF8 = 0x800  # the flag of an entry whose name is UTF-8
_DIRECTORY_ENTRY = b"PK\x01\x02"
_DIRECTORY_END = b"PK\x05\x06"
_DIRECTORY_END_64 = b"PK\x06\x06"


class ZipSource:
    """Photos of a zip file. The collection keeps copies of its own.

    The first folder level gives the labels, as for a folder. Where everything lies in one top
    folder that has sub-folders, as when a folder itself was zipped, that top folder is left out.

    Args:
        file: the zip file's path, its bytes, or an open binary file.
        name: what to call it in messages; the path's name where omitted.
        limits: what it may hold.
    """

    kind = "zip"

    def __init__(
        self,
        file: Path | str | bytes | BinaryIO,
        name: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        if isinstance(file, str):
            file = Path(file).expanduser()
        self._file = file
        self.name = names.printable(name or (file.name if isinstance(file, Path) else "upload.zip"))
        self.limits = limits or Limits()

    def root(self) -> Path:
        raise TypeError("a zip file has no folder; the collection keeps copies (see unpack)")

    def candidates(self) -> Iterator[Candidate | Skipped]:
        raise TypeError("photos of a zip file need a folder to go to; use unpack(into)")

    def unpack(self, into: Path) -> Iterator[Candidate | Skipped]:
        with self._opened() as archive:
            entries = self._entries(archive)
            left_out = _top_folder([name for _, name, reason in entries if reason is None])
            ids = names.Ids()
            passed = names.PassedOver()
            for number, (info, name, reason) in enumerate(entries):
                shown = names.printable(f"{self.name}/{name}")
                if reason is not None:
                    if reason:
                        yield Skipped(shown, reason)
                    elif PurePosixPath(name).suffix.lower() in names.PHOTO_SUFFIXES:
                        folder = names.system_folder(PurePosixPath(name).parts)
                        if folder is not None:
                            passed.count(folder)
                    continue
                file = name.removeprefix(left_out)
                # Our own name: nothing the archive says becomes a path.
                path = into / f"{number:06d}"
                broken = self._extract(archive, info, path)
                if broken:
                    path.unlink(missing_ok=True)
                    yield Skipped(shown, broken)
                    continue
                top, slash, _ = file.partition("/")
                label = names.label(top) if slash else None
                yield Candidate(id=ids.of(file), path=path, file=shown, label=label)
            yield from passed.lines()

    def count(self) -> int:
        with self._opened() as archive:
            return sum(1 for _, _, reason in self._entries(archive) if reason is None)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name}

    def about(self) -> dict[str, str]:
        return {}

    def _opened(self) -> zipfile.ZipFile:
        try:
            if isinstance(self._file, Path):
                with open(self._file, "rb") as stream:
                    _check_directory(stream, self.limits.entries, self.name)
                return zipfile.ZipFile(self._file)
            uploaded = io.BytesIO(self._file) if isinstance(self._file, bytes) else self._file
            _check_directory(uploaded, self.limits.entries, self.name)
            uploaded.seek(0)
            return zipfile.ZipFile(uploaded)
        except OSError as error:
            raise PlaygroundError(
                f"The zip file {self.name} cannot be read ({error.strerror or error}). Check its "
                f"path."
            ) from error
        except (zipfile.BadZipFile, struct.error, ValueError, EOFError) as error:
            raise PlaygroundError(
                f"{self.name} is no usable zip file ({error}). Legal: a .zip of photos, one "
                f"folder per landmark."
            ) from error

    def _entries(self, archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, str, str | None]]:
        """Entries in name order with their judgement: None take, "" pass over, else why not."""
        infos = archive.infolist()
        if len(infos) > self.limits.entries:
            raise PlaygroundError(
                f"{self.name} has {len(infos):,} entries, the limit is {self.limits.entries:,}. "
                f"Split it, or unpack it and import the folder."
            )
        total = sum(info.file_size for info in infos)
        if total > self.limits.total_bytes:
            raise PlaygroundError(
                f"{self.name} would unpack to {total:,} bytes, the limit is "
                f"{self.limits.total_bytes:,}. Split it, or unpack it and import the folder."
            )
        judged = []
        for info in infos:
            name = _name_of(info)
            judged.append((info, _tidy(name), self._judge(archive, info, name)))
        return sorted(judged, key=lambda entry: entry[1])

    def _judge(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> str | None:
        parts = PurePosixPath(name).parts
        if name.endswith("/") or not parts:
            return ""
        if name.startswith("/") or _DRIVE.match(name) or ".." in parts:
            return "has a path that leaves the archive."
        if names.hidden(parts):
            return ""
        mode = info.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return "is a link or a special file, not a photo."
        if info.flag_bits & 0x1:
            return "is encrypted. Make the archive without a password."
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in names.ARCHIVE_SUFFIXES:
            return "is an archive inside the archive. Unpack it first."
        if not names.is_photo(name, lambda: _head(archive, info)):
            return names.why_no_photo(name, _head(archive, info)) or ""
        if info.file_size > self.limits.file_bytes:
            return (
                f"has {info.file_size:,} bytes, the limit for a photo is "
                f"{self.limits.file_bytes:,}."
            )
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > 1_000_000 and ratio > self.limits.ratio:
            return (
                f"is packed {ratio:,.0f} times, the limit is {self.limits.ratio}: photos do not "
                f"pack like this."
            )
        return None

    def _extract(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> str | None:
        """Write one entry to ``path``; returns why it failed."""
        left = min(info.file_size, self.limits.file_bytes)
        with open(path, "wb") as target:
            try:
                for chunk in _chunks(archive, info):
                    # The declared size is a claim: count what really comes.
                    left -= len(chunk)
                    if left < 0:
                        return "is larger than the archive says."
                    target.write(chunk)
            except _UnreadableError as error:
                return f"cannot be unpacked ({error})."
        return None


class _UnreadableError(Exception):
    """An entry's packed bytes are broken, or packed in a way that is not known here."""


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as packed:
            while chunk := packed.read(_CHUNK):
                yield chunk
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        EOFError,
        ValueError,
        OSError,
        RuntimeError,  # and NotImplementedError, for unknown packing
    ) as error:
        raise _UnreadableError(names.printable(str(error))) from error


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as packed:
            return bytes(packed.read(64))
    except Exception:
        return b""  # only asked to be helpful about files that are passed over anyway


def _name_of(info: zipfile.ZipInfo) -> str:
    """An entry's name with slashes.

    Many programs write UTF-8 without the flag that says so, which zipfile then takes for cp437;
    text in another encoding is next to never legal UTF-8.
    """
    name = info.filename
    if not info.flag_bits & _UTF8 and info.filename == info.orig_filename.split("\0")[0]:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    # Some Windows programs write backslashes.
    return name.replace("\\", "/")


def _tidy(name: str) -> str:
    """Without the parts "." and "", which are no folders; others stay as they are."""
    if name.startswith("/") or name.endswith("/"):
        return name
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _top_folder(files: list[str]) -> str:
    """``photos/`` where every file lies in ``photos`` and some in sub-folders of it, else ""."""
    tops = {file.partition("/")[0] for file in files}
    if len(tops) == 1 and any(file.count("/") >= 2 for file in files):
        return f"{tops.pop()}/"
    return ""


def _check_directory(stream: BinaryIO, limit: int, name: str) -> None:
    """Count the entries before zipfile makes an object of each.

    A small upload can hold millions of empty entries; as objects they would fill the memory.
    """
    size = stream.seek(0, io.SEEK_END)
    tail_size = min(size, 65_536 + 22 + 76)  # the longest comment, the end records
    stream.seek(size - tail_size)
    tail = stream.read(tail_size)
    end = tail.rfind(_DIRECTORY_END)
    if end < 0:
        raise zipfile.BadZipFile("the directory at its end is missing")
    (directory,) = struct.unpack_from("<I", tail, end + 12)
    end_64 = tail.rfind(_DIRECTORY_END_64, 0, end)
    if end_64 >= 0:
        (directory,) = struct.unpack_from("<Q", tail, end_64 + 40)
        end = end_64
    start = size - tail_size + end - directory
    if start < 0:
        raise zipfile.BadZipFile("its directory is larger than the file")
    stream.seek(start)
    count = 0
    carried = b""
    while directory > 0 and (chunk := stream.read(min(_CHUNK, directory))):
        directory -= len(chunk)
        count += (carried + chunk).count(_DIRECTORY_ENTRY)
        carried = chunk[-(len(_DIRECTORY_ENTRY) - 1) :]
        if count > limit:
            raise PlaygroundError(
                f"{name} has more than {limit:,} entries, the limit. Split it, or unpack it and "
                f"import the folder."
            )
