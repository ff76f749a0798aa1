"""Photos out of shards by byte range."""

from __future__ import annotations

from data import paths
from data.gldv2.keeping import keep, place_of
from data.gldv2.session import Session
from data.gldv2.shards import Shard, Task
from data.gldv2.tar import BrokenShardError, Member, RangedShard, UnorderedError
from data.photos import BadPhoto


def fetch_ranged(session: Session, task: Task, shard: Shard, ids: set[str], got: set[str]) -> None:
    """Photos of one shard by byte range; ``got`` is what all shards have found so far."""
    numbers = sorted(task.shards)
    place = numbers.index(shard.number)
    ordered = task.ordered and place + 1 < len(numbers)
    until = task.shards[numbers[place + 1]].first if ordered else ""
    cache = paths.downloads_root() / "shards" / task.split / f"images_{shard.number:03d}.txt"
    tar = RangedShard(session.web, shard.remote, cache, shard.first if task.ordered else "", until)

    def take(member: Member) -> None:
        _take(session, task, tar, member)
        got.add(str(member.photo))  # atomic; another shard that looks too late goes one on

    if task.ordered:
        try:
            for photo in sorted(ids):
                member = tar.search(photo)
                if member is not None:
                    take(member)
            return
        except UnorderedError:
            pass  # supposed wrongly: from header to header, then
    tar.chain(lambda: ids - got, take)


def _take(session: Session, task: Task, tar: RangedShard, member: Member) -> None:
    photo = str(member.photo)
    place = place_of(session, task.split, photo)
    for attempt in range(2):
        try:
            keep(session, task.split, photo, tar.content(member), place)
            break
        except (BadPhoto, BrokenShardError) as error:
            # Once more: the bytes may have been damaged on their way.
            if attempt and isinstance(error, BrokenShardError):
                raise
            if attempt:
                session.left_out(task.split, [photo])
                session.problem(f"{task.split}/{photo}.jpg", str(error))
                return
    with session.lock:
        session.report.by_range += 1
        session.count(photo)
