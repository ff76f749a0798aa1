"""The tars of a split: what is known of them, and which may hold a photo."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import functools
import itertools
import json
from typing import Any, Literal

from data import artefact, paths
from data.errors import Invalid
from data.gldv2.session import Session
from data.gldv2.tar import BLOCK, BrokenShardError, parse
from data.http import Remote, WebError

Method = Literal["auto", "ranges", "shards"]
_HEAD = 4096  # bytes; a few headers, for tars that begin with folders
_DENSE = 0.2  # of a split wanted: from here on whole shards are no waste


@dataclasses.dataclass(frozen=True)
class Shard:
    """A tar on the server. ``first``: the id of its first photo, empty where not known."""

    number: int
    remote: Remote
    first: str


@dataclasses.dataclass
class Task:
    """Photos of one split and where they may be."""

    split: str
    ids: set[str]
    shards: dict[int, Shard]
    ordered: bool
    whole: bool

    def candidates(self, photo: str) -> list[int]:
        """Numbers of the shards that may hold it, the likeliest first."""
        numbers = sorted(self.shards)
        if not self.ordered:
            return numbers
        firsts = [self.shards[number].first for number in numbers]
        place = max(0, bisect.bisect_right(firsts, photo) - 1)
        found = [numbers[place]]
        # Photos of one folder a/b/c may be in any order, and at both sides of a border.
        if place + 1 < len(numbers) and firsts[place + 1][:3] == photo[:3]:
            found.append(numbers[place + 1])
        before = place - 1
        while before >= 0 and firsts[before + 1][:3] == photo[:3]:
            found.append(numbers[before])
            before -= 1
        return found


def plan(session: Session, split: str, ids: set[str], method: Method) -> Task:
    """Where the photos may be, and how to fetch them."""
    shards = _heads(session, split)
    firsts = [shards[number].first for number in sorted(shards)]
    ordered = all(firsts) and all(a < b for a, b in itertools.pairwise(firsts))
    ranges = all(shard.remote.ranges for shard in shards.values())
    if method == "ranges" and not ranges:
        raise Invalid(
            f"{session.mirror.base_url} does not honour byte ranges. Use --method shards, or auto."
        )
    dense = len(ids) > _DENSE * session.mirror.photos[split]
    whole = method == "shards" or not ranges or (method == "auto" and dense)
    return Task(split, ids, shards, ordered, whole)


def _heads(session: Session, split: str) -> dict[int, Shard]:
    """Size, ETag and first id of every shard of a split; asked for once."""
    cache = paths.downloads_root() / "shards" / split / "heads.json"
    base = session.mirror.base_url.rstrip("/")
    try:
        kept = json.loads(cache.read_text(encoding="utf-8"))
        known = kept["shards"] if kept["mirror"] == base and kept["format"] == 1 else {}
        found = {int(number): _kept_shard(int(number), head) for number, head in known.items()}
    except (OSError, ValueError, KeyError, TypeError):
        found = {}
    numbers = [n for n in range(session.mirror.shards[split]) if n not in found]
    total = session.mirror.shards[split]

    def save() -> None:
        heads = {str(number): _head_to_keep(found[number]) for number in sorted(found)}
        content = {"format": 1, "mirror": base, "shards": heads}
        artefact.write_atomically(cache, json.dumps(content))

    def look(number: int) -> None:
        url = session.mirror.shard_url(split, number)
        try:
            remote = session.web.probe(url, _HEAD)
        except WebError as error:
            if not error.absent:
                raise
            session.problem(f"{split}/images_{number:03d}.tar", str(error))
            return
        with session.lock:
            found[number] = Shard(number, remote, _first_photo(remote.head))
            session.tell(len(found), total, f"shards of {split}")
            if len(found) % 25 == 0:
                save()

    if numbers:
        try:
            session.parallel([functools.partial(look, number) for number in numbers])
        finally:
            save()
    return {number: found[number] for number in sorted(found) if number < total}


def forget(split: str) -> None:
    """Ask for the shards of a split again, next time."""
    (paths.downloads_root() / "shards" / split / "heads.json").unlink(missing_ok=True)


def _first_photo(head: bytes) -> str:
    """The id of the first photo whose header lies in the first bytes of a shard."""
    at = 0
    with contextlib.suppress(BrokenShardError):
        while at + BLOCK <= len(head):
            member = parse(head[at : at + BLOCK], at)
            if member is None:
                break
            if member.photo is not None:
                return member.photo
            at = member.end
    return ""


def _head_to_keep(shard: Shard) -> list[Any]:
    remote = shard.remote
    return [remote.url, remote.size, remote.etag, remote.ranges, shard.first]


def _kept_shard(number: int, head: list[Any]) -> Shard:
    url, size, etag, ranges, first = head
    return Shard(number, Remote(str(url), int(size), str(etag), bool(ranges)), str(first))
