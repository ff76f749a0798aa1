"""Ground-truth files of the benchmarks: the real ones, and ones that attack the reader."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import benchmark, paths
from data.base import Candidate
from data.errors import PlaygroundError
from data.sources import oxford, revisited
from data.sources.revisited import ROxford5k, RParis6k, load_plain_pickle

SHARED = paths.PROJECT_ROOT.parent / "shared" / "ground-truth"


def real(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no {path.name} at {path.parent}")
    return path


# The real files


# Counted by a plain pickle.load and len() of the lists, independently of the reader.
@pytest.mark.parametrize(
    ("source", "photos", "easy", "hard", "junk", "without_easy"),
    [(ROxford5k, 4993, 3029, 2497, 1356, 2), (RParis6k, 6322, 6874, 10350, 7153, 0)],
)
def test_revisited_counts(
    source: type[benchmark.Benchmark],
    photos: int,
    easy: int,
    hard: int,
    junk: int,
    without_easy: int,
) -> None:
    listing = source(real(f"gnd_{source.kind}.pkl"), photos=False).listing()
    assert len(listing.photos) == photos
    assert len(listing.queries) == 70
    truths = [query.extra["ground_truth"] for query in listing.queries]
    assert [sum(len(t[key]) for t in truths) for key in ("easy", "hard", "junk")] == [
        easy,
        hard,
        junk,
    ]
    assert sum(not t["easy"] for t in truths) == without_easy
    ids = {photo.id for photo in listing.photos}
    assert len(ids) == photos
    assert not ids & {query.id for query in listing.queries}
    for query, truth in zip(listing.queries, truths, strict=True):
        members = [*truth["easy"], *truth["hard"], *truth["junk"]]
        assert len(set(members)) == len(members)
        assert set(members) <= ids
        assert query.relevant == (*truth["easy"], *truth["hard"])


@pytest.mark.parametrize("source", [ROxford5k, RParis6k])
def test_revisited_equals_a_plain_reading(source: type[benchmark.Benchmark]) -> None:
    path = real(f"gnd_{source.kind}.pkl")
    plain = pickle.loads(path.read_bytes())
    assert load_plain_pickle(path.read_bytes()) == plain
    listing = source(path, photos=False).listing()
    assert [photo.name for photo in listing.photos] == plain["imlist"]
    assert [query.name for query in listing.queries] == plain["qimlist"]
    for query, truth in zip(listing.queries, plain["gnd"], strict=True):
        assert query.box == tuple(truth["bbx"])
        for key in ("easy", "hard", "junk"):
            rows = [plain["imlist"][row] for row in truth[key]]
            assert query.extra["ground_truth"][key] == rows


def test_revisited_boxes_become_whole_pixels() -> None:
    source = ROxford5k(real("gnd_roxford5k.pkl"), photos=False)
    taken = [one for one in source.candidates() if isinstance(one, Candidate)]
    first = next(one for one in taken if one.id == "all_souls_000013")
    assert first.box == (136, 34, 648, 956)  # 136.5 34.1 648.5 955.7; halves to the even neighbour
    assert first.absent
    assert first.query


def test_classic_counts(tmp_path: Path) -> None:
    """By a plain reading of the 220 files: 1,360 good, 1,480 ok, 1,495 junk."""
    folder = real("oxford5k_gt")
    imlist = tmp_path / "imlist.txt"
    names = {
        line.strip()
        for path in folder.glob("*.txt")
        if not path.name.endswith("_query.txt")
        for line in path.read_text().splitlines()
    }
    imlist.write_text("\n".join(sorted(names)))
    (tmp_path / "gt_files_170407").symlink_to(folder)
    listing = oxford.Oxford5k(tmp_path, photos=False).listing()
    assert len(listing.queries) == 55
    truths = [query.extra["ground_truth"] for query in listing.queries]
    counts = [sum(len(t[key]) for t in truths) for key in ("good", "ok", "junk")]
    assert counts == [1360, 1480, 1495]
    assert len(listing.photos) == len(names) == 845
    first = listing.queries[0]
    assert (first.id, first.name) == ("all_souls_1", "all_souls_000013")
    assert first.box == (136.5, 34.1, 648.5, 955.7)
    # The query's own photo is in the database and is an answer.
    for query in listing.queries:
        assert query.name in query.extra["ground_truth"]["good"] + query.extra["ground_truth"]["ok"]
        assert query.id not in names


# Malicious and broken pickles


def truth(**changes: Any) -> dict[str, Any]:
    plain = {
        "imlist": ["a_000001", "a_000002", "a_000003"],
        "qimlist": ["q_000001"],
        "gnd": [{"bbx": [1, 2.5, 30, 20], "easy": [0], "hard": [2], "junk": []}],
    }
    return plain | changes


class Evil:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


class Named:
    """Unpickled by its name alone, without a call."""

    def __reduce__(self) -> str:
        return "Named"


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_data_of_every_binary_protocol(protocol: int) -> None:
    plain = truth(extra=(1, (2, 3), None, True, 2**70, "é", {"a": []}))
    assert load_plain_pickle(pickle.dumps(plain, protocol)) == plain


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_never_run(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "proof"
    content = pickle.dumps(truth(gnd=[Evil(target)]), protocol)
    path = tmp_path / "gnd_roxford5k.pkl"
    path.write_bytes(content)
    with pytest.raises(PlaygroundError, match=r"more than plain data.*source again"):
        ROxford5k(path, photos=False).listing()
    assert not target.exists()
    pickle.loads(content)
    assert target.is_dir()  # it would have worked


ATTACKS: dict[str, Callable[[], bytes]] = {
    "global": lambda: b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.",
    "stack_global": lambda: b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
    "inst": lambda: b"(S'id'\nios\nsystem\n.",
    "obj": lambda: b"(cos\nsystem\nS'id'\no.",
    "newobj": lambda: b"\x80\x02cos\nsystem\n)\x81.",
    "build": lambda: b"\x80\x02}}b.",
    "extension": lambda: b"\x80\x02\x82\x01.",
    "persistent": lambda: b"\x80\x02Pid\n.",
    "binpersid": lambda: b"\x80\x02K\x01Q.",
    "name": lambda: pickle.dumps(Named, 2),
    "array": lambda: pickle.dumps(np.arange(3), 4),
    "bytearray": lambda: b"\x80\x05\x96" + struct.pack("<Q", 1 << 50) + b".",
    "memo": lambda: b"\x80\x02]r\xff\xff\xff\x7f.",
    "huge text": lambda: b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.",
    "buffer": lambda: b"\x80\x05\x97.",
    "cut": lambda: pickle.dumps(truth(), 3)[:-10],
    "empty": lambda: b"",
    "no mark": lambda: b"\x80\x02e.",
    "memo of nothing": lambda: b"\x80\x02h\x05.",
    "unhashable": lambda: b"\x80\x02}]K\x01s.",
    "two": lambda: b"\x80\x02K\x01K\x02",
    "html": lambda: b"<!DOCTYPE html><html>404</html>",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused(tmp_path: Path, attack: str) -> None:
    content = ATTACKS[attack]()
    with pytest.raises(ValueError):
        load_plain_pickle(content)
    path = tmp_path / "gnd_rparis6k.pkl"
    path.write_bytes(content)
    with pytest.raises(PlaygroundError, match="is no ground truth of Revisited Paris"):
        RParis6k(path, photos=False).listing()


def test_deep_nesting_is_refused_or_read(tmp_path: Path) -> None:
    path = tmp_path / "gnd_rparis6k.pkl"
    path.write_bytes(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")
    with pytest.raises(PlaygroundError, match=r"no dictionary|ground truth"):
        RParis6k(path, photos=False).listing()


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "gnd_rparis6k.pkl"
    with open(path, "wb") as handle:
        handle.truncate(revisited.MAX_BYTES + 1)
    with pytest.raises(PlaygroundError, match="more than 8,388,608 bytes"):
        RParis6k(path, photos=False).listing()


GOOD = {"bbx": [0, 0, 9, 9], "easy": [0], "hard": [], "junk": []}


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ([1, 2], "no dictionary with imlist"),
        ({"imlist": []}, "no dictionary with imlist"),
        (truth(imlist=[]), "imlist is no list"),
        (truth(imlist="abc"), "imlist is no list"),
        (truth(imlist=["a", "../../etc/passwd"]), r"passwd.*no name"),
        (truth(imlist=["a", "b\x1b[31m"]), "no name"),
        (truth(imlist=["a", 3]), "no name"),
        (truth(imlist=["a", "a"]), "twice"),
        (truth(qimlist=["a_000001"]), "a query is among the photos"),
        (truth(gnd=[]), "one entry per query"),
        (truth(gnd=[[]]), "q_000001 is no dictionary"),
        (truth(gnd=[GOOD | {"easy": [3]}]), "has the row 3; there are 3"),
        (truth(gnd=[GOOD | {"hard": [-1]}]), "has the row -1"),
        (truth(gnd=[GOOD | {"junk": ["0"]}]), "has the row '0'"),
        (truth(gnd=[GOOD | {"junk": [True]}]), "has the row True"),
        (truth(gnd=[GOOD | {"junk": [0] * 4}]), "junk of q_000001 is no list of rows"),
        (truth(gnd=[{"bbx": [0, 0, 9, 9]}]), "easy of q_000001 is no list"),
        (truth(gnd=[GOOD | {"bbx": None}]), "not 4 numbers"),
        (truth(gnd=[GOOD | {"bbx": [0, 0, 9]}]), "not 4 numbers"),
        (truth(gnd=[GOOD | {"bbx": [0, 0, 9, float("nan")]}]), "not 4 numbers"),
        (truth(gnd=[GOOD | {"bbx": [0, 0, 9, "9"]}]), "not 4 numbers"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, broken: Any, why: str) -> None:
    path = tmp_path / "gnd_roxford5k.pkl"
    path.write_bytes(pickle.dumps(broken, 3))
    with pytest.raises(PlaygroundError, match=why) as caught:
        ROxford5k(path, photos=False).listing()
    assert "\x1b" not in str(caught.value)
    assert "oxbuild_images-v1.tgz" in str(caught.value)


# Boxes


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ((1.4, 2.5, 30.6, 20.5), (100, 80), (1, 2, 31, 20)),
        ((-5.0, -0.4, 300.0, 200.0), (100, 80), (0, 0, 100, 80)),
        ((0.0, 0.0, 100.2, 80.4), (100, 80), (0, 0, 100, 80)),
        ((120.0, 0.0, 130.0, 9.0), (100, 80), None),
        ((5.2, 5.2, 5.4, 9.0), (100, 80), None),
        ((5.0, 5.0, 300.0, 200.0), None, (5, 5, 300, 200)),
    ],
)
def test_boxes_are_rounded_and_clipped(
    box: benchmark.FloatBox, size: tuple[int, int] | None, expected: Any
) -> None:
    assert benchmark.to_box(box, size) == expected
