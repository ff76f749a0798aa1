"""The parts of the download: HTTP with faults, tar shards by byte range, lists and the choice."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gldv2_mirror as fake
import pytest

from data.errors import PlaygroundError
from data.gldv2 import lists as gldv2_lists
from data.gldv2 import tar as gldv2_tar
from data.gldv2.keeping import fit
from data.gldv2.lists import Wanted
from data.gldv2.tar import BrokenShardError, Member, RangedShard, UnorderedError
from data.glr21 import Glr21Source
from data.http import (
    ChangedError,
    Remote,
    RestartError,
    Settings,
    Stopped,
    Web,
    WebError,
)
from data.photos import BadPhoto, probe

QUICK = Settings(parallel=3, attempts=4, timeout=0.8, backoff=0.01, longest_wait=0.05)
TRAIN = "/metadata/train.csv"


@pytest.fixture(scope="module")
def made() -> fake.Layout:
    return fake.layout()


@pytest.fixture
def server(made: fake.Layout) -> Iterator[fake.Server]:
    with fake.serve(dataclasses.replace(made, files=dict(made.files))) as running:
        yield running


@pytest.fixture
def web() -> Web:
    return Web(QUICK)


# HTTP


def test_probe_says_what_there_is(server: fake.Server, web: Web) -> None:
    content = server.layout.files[TRAIN]
    remote = web.probe(server.url + TRAIN, 16)
    assert (remote.size, remote.ranges, remote.head) == (len(content), True, content[:16])
    server.ranges = False
    remote = web.probe(server.url + TRAIN, 16)
    assert (remote.size, remote.ranges, remote.head) == (len(content), False, content[:16])


@pytest.mark.parametrize("fault", ["503", "429", "cut", "stall", "trickle", "lie"])
def test_what_may_pass_is_tried_again(server: fake.Server, web: Web, fault: str) -> None:
    content = server.layout.files[TRAIN]
    remote = web.probe(server.url + TRAIN, 1)
    server.faults[TRAIN] = [fault, fault]
    assert web.read(remote, 3, 300) == content[3:303]
    assert web.retries >= 2 and len(server.asked(TRAIN)) >= 4


def test_gives_up_with_a_sentence(server: fake.Server, web: Web) -> None:
    server.faults[TRAIN] = ["503…"]
    with pytest.raises(WebError, match="in 4 attempts; the last time it answered 503") as caught:
        web.probe(server.url + TRAIN)
    assert caught.value.status == 503 and not caught.value.absent
    assert len(server.asked(TRAIN)) == 4


def test_404_is_not_tried_again(server: fake.Server, web: Web) -> None:
    with pytest.raises(WebError, match="answered 404") as caught:
        web.get(f"{server.url}/nothing")
    assert caught.value.absent
    assert len(server.log) == 1


def test_no_server_and_no_address(web: Web) -> None:
    with pytest.raises(WebError, match="connection failed"):
        web.probe("http://127.0.0.1:9/x")
    with pytest.raises(WebError, match="no address of a file"):
        web.probe("ftp://127.0.0.1/x")
    with pytest.raises(WebError, match="no address of a file"):
        web.probe("metadata/train.csv")


def test_a_broken_stream_goes_on_where_it_was(server: fake.Server, web: Web) -> None:
    path = "/train/images_000.tar"
    remote = web.probe(server.url + path)
    server.faults[path] = ["cut", "503", "cut", "stall", ""]
    assert b"".join(web.stream(remote)) == server.layout.files[path]
    starts = [asked for _, asked in server.asked(path)[1:]]
    assert starts[0] == "" and all(s.startswith("bytes=") for s in starts[1:])


def test_a_broken_stream_without_ranges_begins_again(made: fake.Layout, web: Web) -> None:
    path = "/train/images_000.tar"
    with fake.serve(made, ranges=False) as server:
        remote = web.probe(server.url + path)
        server.faults[path] = ["cut"]
        with pytest.raises(RestartError):
            list(web.stream(remote))


def test_a_file_that_changes_is_noticed(server: fake.Server, web: Web) -> None:
    remote = web.probe(server.url + TRAIN)
    server.layout.files[TRAIN] = server.layout.files[TRAIN][::-1]
    with pytest.raises(ChangedError, match="changed on the server"):
        web.read(remote, 0, 10)
    with pytest.raises(ChangedError):
        list(web.stream(remote))


def test_cancel_stops_a_wait(server: fake.Server) -> None:
    cancel = threading.Event()
    patient = Web(dataclasses.replace(QUICK, backoff=60.0, longest_wait=60.0), cancel)
    server.faults[TRAIN] = ["503…"]
    threading.Timer(0.2, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped, match="run the same command to go on"):
        patient.probe(server.url + TRAIN)
    assert time.monotonic() - started < 30


# Tar shards


class Bytes:
    """Stands for Web: reads from memory and counts."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.reads: list[tuple[int, int]] = []

    def read(self, remote: Remote, start: int, length: int) -> bytes:
        assert start >= 0 and start + length <= len(self.content) and length > 0
        self.reads.append((start, length))
        return self.content[start : start + length]


def shard(content: bytes, cache: Path, etag: str = "e") -> tuple[RangedShard, Bytes]:
    web = Bytes(content)
    return RangedShard(web, Remote("x", len(content), etag, True), cache), web  # type: ignore[arg-type]


def some_ids(number: int) -> list[str]:
    return sorted(hashlib.sha256(str(n).encode()).hexdigest()[:16] for n in range(number))


def test_parse_reads_what_tarfile_wrote() -> None:
    ids = some_ids(3)
    content = fake.tar(ids, folders=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        expected = [(i.offset, i.size, i.isreg()) for i in archive]
    at, found = 0, []
    while (member := gldv2_tar.parse(content[at : at + 512], at)) is not None:
        found.append((member.at, member.size, member.photo is not None))
        at = member.end
    assert found == expected


def test_parse_refuses_damage() -> None:
    block = bytearray(fake.tar(some_ids(1))[:512])
    block[0] ^= 1
    with pytest.raises(BrokenShardError, match="no tar header at byte 7"):
        gldv2_tar.parse(bytes(block), 7)
    huge = tarfile.TarInfo("a/b/c/abcdef.jpg")
    huge.size = 2**40
    with pytest.raises(BrokenShardError, match="claims"):
        gldv2_tar.parse(huge.tobuf(tarfile.GNU_FORMAT), 0)


@pytest.mark.parametrize("near", [1 << 16, 512])
def test_chain_knows_every_entry_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, near: int
) -> None:
    monkeypatch.setattr(gldv2_tar, "_NEAR", near)
    ids = some_ids(40)[::-1]
    content = fake.tar(ids, folders=True)
    cache = tmp_path / "s" / "x.txt"
    tar, web = shard(content, cache)
    taken: list[Member] = []
    wanted = {ids[3], ids[20], "0" * 16}
    tar.chain(lambda: wanted, taken.append)
    assert [m.photo for m in taken] == [ids[3], ids[20]]
    assert tar.content(taken[1]) == fake.jpeg(ids[20])
    assert tar.index.complete and set(tar.index.members) == set(ids)
    assert len(web.reads) <= 1 + (82 if near == 512 else 40)
    again, web = shard(content, cache)
    again.chain(lambda: wanted, taken.append)
    assert web.reads == [] and len(taken) == 4


def test_chain_stops_when_nothing_is_wanted_and_goes_on(tmp_path: Path) -> None:
    ids = some_ids(30)
    content, cache = fake.tar(ids), tmp_path / "x.txt"
    for number in (4, 12, 29):
        tar, web = shard(content, cache)
        left = {ids[number]}
        tar.chain(lambda left=left: left, lambda member, left=left: left.discard(member.photo))
        assert not left and not tar.index.complete
        assert len(tar.index.members) == number + 1
        assert all(start >= tar.index.members[ids[4]].at for start, _ in web.reads) or number == 4
    # A line that a kill cut short is dropped, as is anything that does not fit.
    cache.write_text(cache.read_text() + "ff", encoding="utf-8")
    tar, _ = shard(content, cache)
    assert len(tar.index.members) == 30
    lines = cache.read_text().splitlines()
    cache.write_text("\n".join([*lines[:6], lines[9], *lines[6:]]) + "\n", encoding="utf-8")
    assert len(shard(content, cache)[0].index.members) == 5
    assert shard(content, cache, etag="other")[0].index.members == {}


def test_chain_of_a_shard_cut_short(tmp_path: Path) -> None:
    content = fake.tar(some_ids(5))[:3000]
    tar, _ = shard(content, tmp_path / "x.txt")
    with pytest.raises(BrokenShardError):
        tar.chain(lambda: {"f" * 16}, lambda member: None)


def test_search_needs_few_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gldv2_tar, "_WINDOW", 2048)
    ids = some_ids(400)
    content = fake.tar(ids)
    for photo in ids[::37]:
        tar, web = shard(content, tmp_path / "x.txt")
        member = tar.search(photo)
        assert member is not None and tar.content(member) == fake.jpeg(photo)
        assert len(web.reads) <= 12  # from header to header it would be 200 on average
    tar, _ = shard(content, tmp_path / "x.txt")
    found = [tar.search(photo) for photo in ids]
    assert [m.photo for m in found if m] == ids
    assert tar.search("0" * 16) is tar.search("f" * 16) is tar.search(ids[7][:15]) is None


def test_search_notices_that_ids_do_not_ascend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gldv2_tar, "_WINDOW", 2048)
    ids = some_ids(100)
    tar, _ = shard(fake.tar(ids[50:] + ids[:50]), tmp_path / "x.txt")
    with pytest.raises(UnorderedError):
        for photo in ids:
            tar.search(photo)


def test_content_refuses_a_header_that_is_part_of_a_photo(tmp_path: Path) -> None:
    # A photo that contains what looks like another photo's header, at a block's start.
    inner = tarfile.TarInfo("b/b/b/bbbb000000000000.jpg")
    inner.size = 100
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        outer = tarfile.TarInfo("a/a/a/aaaa000000000000.jpg")
        body = b"\xff" * 512 + inner.tobuf() + b"\xff" * 2048
        outer.size = len(body)
        archive.addfile(outer, io.BytesIO(body))
    tar, _ = shard(stream.getvalue(), tmp_path / "x.txt")
    inside = gldv2_tar.photo_at(stream.getvalue()[1024:1536], 1024)
    assert inside is not None and inside.photo == "bbbb000000000000"
    with pytest.raises(BrokenShardError):
        tar.content(inside)


# Lists and the choice


def copy_of(made: fake.Layout, folder: Path) -> Path:
    """A complete copy of the data set on disk."""
    for path, content in made.files.items():
        if path.endswith(".csv"):
            (folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (folder / path[1:]).write_bytes(content)
    for split, shards in made.shards.items():
        for photo in (i for ids in shards for i in ids):
            place = folder / split / "/".join(photo[:3]) / f"{photo}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(fake.jpeg(photo))
    return folder


@pytest.fixture(scope="module")
def lists(made: fake.Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    for path, content in made.files.items():
        if path.endswith(".csv"):
            (folder / path.rpartition("/")[2]).write_bytes(content)
    return folder


@pytest.mark.parametrize("split", ["index", "train"])
@pytest.mark.parametrize(("landmarks", "least", "most", "seed"), [(3, 4, 4, 0), (None, 5, None, 1)])
def test_the_choice_is_that_of_a_complete_copy(
    made: fake.Layout,
    lists: Path,
    tmp_path: Path,
    split: str,
    landmarks: int | None,
    least: int,
    most: int | None,
    seed: int,
) -> None:
    wanted = Wanted(split, landmarks, least, most, seed=seed)  # type: ignore[arg-type]
    subset = gldv2_lists.choose(wanted, lists)
    source = Glr21Source(copy_of(made, tmp_path), split, landmarks, least, most, seed)  # type: ignore[arg-type]
    offered = list(source.candidates())
    chosen = {c.id: c.label for c in offered if not c.query}  # type: ignore[union-attr]
    assert chosen == {i: label for label, ids in subset.photos.items() for i in ids}
    queries = {c.id: list(c.relevant or ()) for c in offered if c.query}  # type: ignore[union-attr]
    assert queries == {i: ids for i, (ids, _) in subset.queries.items()}
    assert bool(queries) == (split == "index")


def test_words_and_the_clean_set(made: fake.Layout, lists: Path) -> None:
    everything = Wanted("train", None, 1, None)
    by_word = dataclasses.replace(everything, category=("CASTLE",))
    assert sorted(gldv2_lists.choose(by_word, lists).photos) == ["0", "2", "4", "6"]
    two = dataclasses.replace(everything, category=("castle 2", "bridge_3"))
    assert sorted(gldv2_lists.choose(two, lists).photos) == ["2", "3"]
    both = dataclasses.replace(two, hierarchy=("bridge",))
    assert sorted(gldv2_lists.choose(both, lists).photos) == ["3"]
    clean = dataclasses.replace(everything, clean=True)
    expected = {label: sorted(ids) for label, ids in made.clean.items()}
    assert gldv2_lists.choose(clean, lists).photos == expected
    assert "train.csv" not in clean.lists() and "train_attribution.csv" in clean.lists()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted("test"), "no split to make a collection of"),  # type: ignore[arg-type]
        (Wanted(landmarks=0), "landmarks is 0. Legal: at least 1"),
        (Wanted(min_photos=5, max_photos=4), "max_photos at least min_photos"),
        (Wanted(clean=True), "Use --split train"),
        (Wanted(landmarks=500), "wanted 500. The largest has"),
        (Wanted(landmarks=1, category=("tower",)), "--category tower"),
    ],
)
def test_impossible_choices(lists: Path, wanted: Wanted, words: str) -> None:
    with pytest.raises(PlaygroundError, match=words):
        gldv2_lists.choose(wanted, lists)


def test_lists_are_fetched_once_and_noted(server: fake.Server, web: Web, tmp_path: Path) -> None:
    wanted = Wanted("train", 2, 1, None)
    sizes = gldv2_lists.missing(web, server.mirror, wanted, tmp_path)
    files = server.layout.files
    assert sizes == {n: len(files[f"/metadata/{n}"]) for n in wanted.lists()}
    server.faults[TRAIN] = ["", "cut", "cut", "503", "cut", ""]
    told: list[tuple[int, int, str]] = []
    notes = gldv2_lists.fetch(
        web, server.mirror, wanted, tmp_path, lambda *state: told.append(state)
    )
    for name, note in notes.items():
        content = files[f"/metadata/{name}"]
        assert (tmp_path / name).read_bytes() == content
        assert note["sha256"] == hashlib.sha256(content).hexdigest()
    assert (len(files[TRAIN]), len(files[TRAIN]), "train.csv") in told
    asked = len(server.log)
    assert gldv2_lists.missing(web, server.mirror, wanted, tmp_path) == {}
    assert gldv2_lists.fetch(web, server.mirror, wanted, tmp_path) == notes
    assert len(server.log) == asked
    (tmp_path / "train.csv").write_bytes(files[TRAIN][::-1])
    with pytest.raises(PlaygroundError, match="not as it was downloaded"):
        gldv2_lists.sha256_of(tmp_path, notes)


def test_a_part_of_a_list_is_continued_only_if_it_is_of_that_file(
    server: fake.Server, web: Web, tmp_path: Path
) -> None:
    wanted, content = Wanted("train", 2, 1, None), server.layout.files[TRAIN]
    remote = web.probe(server.url + TRAIN)
    note = {"url": remote.url, "bytes": remote.size, "etag": remote.etag}
    for etag, start in ((remote.etag, "bytes=100-"), ("another", "")):
        (tmp_path / "train.csv.part").write_bytes(content[:100])
        (tmp_path / "train.csv.part.json").write_text(json.dumps({**note, "etag": etag}))
        server.log.clear()
        gldv2_lists.fetch(web, server.mirror, wanted, tmp_path)
        assert server.asked(TRAIN)[-1][1] == start
        assert (tmp_path / "train.csv").read_bytes() == content
        (tmp_path / "train.csv").unlink()


def test_lists_from_a_server_without_ranges(made: fake.Layout, web: Web, tmp_path: Path) -> None:
    with fake.serve(made, ranges=False) as server:
        server.faults[TRAIN] = ["", "cut", "", "cut"]
        gldv2_lists.fetch(web, server.mirror, Wanted("train", 2, 1, None), tmp_path)
    assert (tmp_path / "train.csv").read_bytes() == made.files[TRAIN]


def test_lists_whose_size_the_server_does_not_say(
    made: fake.Layout, web: Web, tmp_path: Path
) -> None:
    with fake.serve(made, ranges=False) as server:
        server.faults[TRAIN] = ["chunked…"]
        wanted = Wanted("train", 2, 1, None)
        assert gldv2_lists.missing(web, server.mirror, wanted, tmp_path)["train.csv"] == -1
        gldv2_lists.fetch(web, server.mirror, wanted, tmp_path)
    assert (tmp_path / "train.csv").read_bytes() == made.files[TRAIN]


def test_a_list_that_can_be_done_without(server: fake.Server, web: Web, tmp_path: Path) -> None:
    name = "train_label_to_category.csv"
    del server.layout.files[f"/metadata/{name}"]
    wanted = Wanted("train", 2, 1, None)
    assert name not in gldv2_lists.fetch(web, server.mirror, wanted, tmp_path)
    assert gldv2_lists.choose(wanted, tmp_path).titles == {}
    with pytest.raises(WebError, match="answered 404"):
        words = dataclasses.replace(wanted, category=("x",))
        gldv2_lists.fetch(web, server.mirror, words, tmp_path)


# Photos


def test_fit_keeps_small_originals_and_shrinks_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.photos.decode", None)  # what comes from outside is the workers'
    small, large = fake.jpeg("0" * 15 + "1"), fake.jpeg("0" * 16)
    assert fit(small, 64) == small
    assert fit(large, None) == large
    assert probe(fit(large, 64)) == (64, 48)
    assert fit(large, 64) == fit(large, 64)
    with pytest.raises(BadPhoto):
        fit(large[:-200], None)
    with pytest.raises(BadPhoto):
        fit(b"<html>", 64)
