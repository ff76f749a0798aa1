"""Finding photos in the tar shards of Google Landmarks v2 without downloading the shards.

The data set does not say which shard holds which photo, or in which order (a tar has no table of
contents). Two ways of finding out, both reading 512-byte headers by byte range:

- ``chain``: from header to header, each naming the size of its photo and so the place of the
  next. Certain, but one request per photo of the shard. It never stops early because of an id's
  place in the alphabet, only when everything wanted has been found; where it got to is kept.
- ``search``: if the ids ascend within a shard, an interpolation search finds one in a handful of
  requests. The order is an assumption, so every header that is seen is held against it; the
  first that contradicts raises ``UnorderedError``, and the caller takes ``chain``.

A found photo does not depend on the assumption: its header (checksum, name) says what it is.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.http import Remote, Web

BLOCK = 512
MAX_PHOTO = 256 << 20  # bytes; a header that claims more is no header of a photo
_NAME = re.compile(r"(?:.*/)?([A-Za-z0-9][A-Za-z0-9_-]{2,63})\.jpe?g")
_WINDOW = 1 << 17  # bytes read at a guessed place: about one photo
_NEAR = 1 << 16  # bytes read ahead while the photos of a shard are small
_INTERPOLATIONS = 10  # guesses by the ids before halving, for ids that are not evenly spread


class UnorderedError(Exception):
    """The ids of a shard do not ascend."""


class BrokenShardError(Exception):
    """The bytes are no tar archive."""


@dataclasses.dataclass(frozen=True)
class Member:
    """One entry of a tar. ``photo``: the id, None for folders and the like."""

    photo: str | None
    at: int  # of its header, bytes from the start
    size: int  # of its content, bytes

    @property
    def end(self) -> int:
        """Where the next header begins."""
        return self.at + BLOCK + -(-self.size // BLOCK) * BLOCK


def parse(block: bytes, at: int) -> Member | None:
    """A header block as an entry; None for the zeros at the end of an archive.

    Raises:
        BrokenShardError: no header, or one whose checksum is wrong.
    """
    if len(block) == BLOCK and not any(block):
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BrokenShardError(f"no tar header at byte {at:,} ({error})") from error
    size = info.size if info.isreg() or info.type in b"xgLKS" else 0
    if not 0 <= size <= MAX_PHOTO:
        raise BrokenShardError(f"the tar header at byte {at:,} claims {info.size:,} bytes")
    named = _NAME.fullmatch(info.name) if info.isreg() else None
    return Member(named[1] if named else None, at, size)


def photo_at(block: bytes, at: int) -> Member | None:
    """A photo's header at a place where there may be none."""
    if len(block) < BLOCK or block[257:262] not in (b"ustar", b"\0\0\0\0\0"):
        return None  # the cheap test first
    try:
        found = parse(block, at)
    except BrokenShardError:
        return None
    return found if found is not None and found.photo is not None else None


class ShardIndex:
    """Entries of a shard that the chain has passed so far, kept in a text file.

    The first line says which file on the server it is about; then one line per entry, in the
    order of the tar, and ``end`` once the whole shard is known. A line cut short by a kill is
    dropped. Another size or ETag on the server voids the file.
    """

    def __init__(self, path: Path, remote: Remote) -> None:
        self.path = path
        self._remote = remote
        self.members: dict[str, Member] = {}
        self.next = 0  # where the chain goes on
        self.complete = False
        self._pending: list[str] = []
        self._load()

    def _header(self) -> dict[str, Any]:
        return {"bytes": self._remote.size, "etag": self._remote.etag, "format": 1}

    def _load(self) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            text = ""
        whole = text[: text.rfind("\n") + 1].splitlines()
        try:
            fits = bool(whole) and json.loads(whole[0]) == self._header()
        except ValueError:
            fits = False
        good = [whole[0] if fits else json.dumps(self._header())]
        for line in whole[1:] if fits else []:
            if line == "end":
                self.complete = True
            else:
                member = _from_line(line, self.next)
                if member is None or self.complete:
                    break
                self._add(member)
            good.append(line)
        if good != whole or not text.endswith("\n"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
            temporary.write_text("\n".join(good) + "\n", encoding="utf-8")
            os.replace(temporary, self.path)

    def _add(self, member: Member) -> None:
        if member.photo is not None:
            self.members.setdefault(member.photo, member)
        self.next = member.end

    def add(self, member: Member) -> None:
        """The entry at ``next``."""
        self._add(member)
        self._pending.append(f"{member.photo or '-'} {member.at} {member.size}\n")
        if len(self._pending) >= 64:
            self.flush()

    def finish(self) -> None:
        """The end of the shard was reached."""
        self.complete = True
        self._pending.append("end\n")
        self.flush()

    def flush(self) -> None:
        if self._pending:
            with open(self.path, "a", encoding="utf-8", newline="\n") as handle:
                handle.write("".join(self._pending))
            self._pending.clear()


def _from_line(line: str, expected_at: int) -> Member | None:
    parts = line.split(" ")
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    member = Member(None if parts[0] == "-" else parts[0], int(parts[1]), int(parts[2]))
    return member if member.at == expected_at else None


class RangedShard:
    """A shard on a server that honours byte ranges.

    Args:
        web: how to read it.
        remote: the shard.
        cache: the file of its ``ShardIndex``.
        first, until: the first ids of this shard and of the next, hints for searches; empty
            where unknown.
    """

    def __init__(
        self, web: Web, remote: Remote, cache: Path, first: str = "", until: str = ""
    ) -> None:
        self._web, self._remote, self._first, self._until = web, remote, first, until
        self.index = ShardIndex(cache, remote)
        # What a search has seen, by id; the ids ascend with the places.
        self._seen: list[str] = []
        self._places: list[Member] = []

    def content(self, member: Member) -> bytes:
        """A photo's file. Its header is read again with it, and what follows must be one too.

        Raises:
            BrokenShardError: either is not as it should be.
        """
        length = min(member.end + BLOCK, self._remote.size) - member.at
        raw = self._web.read(self._remote, member.at, length)
        again = parse(raw[:BLOCK], member.at)
        if again != member or member.end > self._remote.size:
            raise BrokenShardError(f"the tar header at byte {member.at:,} is another one")
        after = raw[member.end - member.at :]
        if after:
            parse(after, member.end)
        return raw[BLOCK : BLOCK + member.size]

    def chain(self, wanted: Callable[[], set[str]], take: Callable[[Member], None]) -> None:
        """Go on from header to header until nothing is wanted any more, or to the end.

        Args:
            wanted: the ids that are still looked for; asked before every step.
            take: is given every entry that is wanted.
        """
        index, size = self.index, self._remote.size
        for photo in sorted(wanted() & set(index.members)):
            take(index.members[photo])
        buffer, base = b"", 0
        entries, total = len(index.members), index.next
        try:
            while not index.complete:
                looked_for = wanted()
                if not looked_for:
                    return
                at = index.next
                if not base <= at <= base + len(buffer) - BLOCK:
                    if at + BLOCK > size:  # a tar should end with zeros; some do not
                        if at < size:
                            raise BrokenShardError("the archive is cut short")
                        index.finish()
                        return
                    # Small photos: one request for several headers. Large ones: the header alone.
                    near = entries > 0 and total / entries < _NEAR / 3
                    buffer = self._web.read(
                        self._remote, at, min(_NEAR if near else BLOCK, size - at)
                    )
                    base = at
                member = parse(buffer[at - base : at - base + BLOCK], at)
                if member is None:
                    index.finish()
                    return
                if member.end > size:
                    raise BrokenShardError(f"the entry at byte {at:,} is cut short")
                index.add(member)
                entries, total = entries + 1, member.end
                if member.photo in looked_for:
                    take(member)
        finally:
            index.flush()

    def search(self, photo: str) -> Member | None:
        """The photo's place, supposing that ids ascend; None: it is not where it would be.

        Raises:
            UnorderedError: they do not.
        """
        if photo in self.index.members:
            return self.index.members[photo]
        if self.index.complete:
            return None
        left, right, low, high = self._between(photo)
        step = 0
        while left < right:
            at = left
            if right - left > _WINDOW:
                share = _share(photo, low, high) if step < _INTERPOLATIONS else 0.5
                # A little before the guess: better to see the photo's neighbour than to miss it.
                at = left + int(share * (right - left)) // BLOCK * BLOCK - _WINDOW // 2
                at = min(max(at // BLOCK * BLOCK, left), right - BLOCK)
            step += 1
            found = self._scan(at, right)
            self._note(found)
            names = [member.photo or "" for member in found]
            if photo in names:
                return found[names.index(photo)]
            if not found:
                right = at
                continue
            if photo < names[0]:
                right, high = at, names[0]
            elif photo > names[-1]:
                left, low = found[-1].end, names[-1]
            else:
                return None
            if at == left and right == at:
                return None
        return None

    def _between(self, photo: str) -> tuple[int, int, str, str]:
        """Where it must lie by what was seen: first and last place, and the ids around them."""
        place = bisect.bisect_left(self._seen, photo)
        if place < len(self._seen) and self._seen[place] == photo:
            member = self._places[place]
            return member.at, member.end, photo, photo
        left, low = 0, self._first
        if place > 0:
            left, low = self._places[place - 1].end, self._seen[place - 1]
        right, high = self._remote.size, self._until
        if place < len(self._seen):
            right, high = self._places[place].at, self._seen[place]
        return left, right, low, high

    def _note(self, found: list[Member]) -> None:
        for member in found:
            photo = member.photo or ""
            place = bisect.bisect_left(self._seen, photo)
            if place < len(self._seen) and self._seen[place] == photo:
                if self._places[place] != member:
                    raise UnorderedError(photo)
                continue
            before = self._places[place - 1].at if place else -1
            after = self._places[place].at if place < len(self._places) else self._remote.size
            if not before < member.at < after:
                raise UnorderedError(photo)
            self._seen.insert(place, photo)
            self._places.insert(place, member)

    def _scan(self, at: int, right: int) -> list[Member]:
        """The first photos whose headers begin at ``at`` or later, before ``right``.

        ``at`` need not be a header's place: blocks are tried until one is a photo's header.
        """
        while at < right:
            length = min(_WINDOW, right - at)
            buffer = self._web.read(self._remote, at, length)
            first = next(_headers(buffer, at), None)
            if first is not None:
                found = [first]
                # From a header on, the places of the next ones are known.
                while found[-1].end + BLOCK <= at + length:
                    place = found[-1].end - at
                    following = photo_at(buffer[place : place + BLOCK], found[-1].end)
                    if following is None:
                        break
                    found.append(following)
                return found
            at += length // BLOCK * BLOCK or BLOCK
        return []


def _headers(buffer: bytes, at: int) -> Iterator[Member]:
    for place in range(0, len(buffer) - BLOCK + 1, BLOCK):
        member = photo_at(buffer[place : place + BLOCK], at + place)
        if member is not None:
            yield member


def _share(photo: str, low: str, high: str) -> float:
    """Where an id lies between two others, 0 to 1, as hexadecimal fractions."""

    def value(text: str, otherwise: float) -> float:
        try:
            return int((text + "0" * 12)[:12], 16) / 16**12
        except ValueError:
            return otherwise

    first = value(low, 0.0) if low else 0.0
    last = value(high, 1.0) if high else 1.0
    if last <= first:
        return 0.5
    return min(1.0, max(0.0, (value(photo, 0.5) - first) / (last - first)))
