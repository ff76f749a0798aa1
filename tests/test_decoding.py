"""Photos of others are decoded by workers: whatever a file does, the app answers the next one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from data import child, decoding, gate, photos
from data.errors import Conflict, PlaygroundError
from data.photos import BadPhoto

# 40 bytes that say 16383 x 7320 px, which took 3.2 GB.
BOMB = bytes.fromhex(
    "5249464620000000574542505650384c140000002ffeff2517075081540820000a9a26c48888fe07"
)


@pytest.fixture(autouse=True)
def own_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[child.Workers]:
    workers = child.Workers("data.decoding:answer", 2)
    monkeypatch.setattr(decoding, "_workers", workers)
    yield workers
    workers.close()


def saved(mode: str = "RGB", kind: str = "PNG", size: tuple[int, int] = (90, 60)) -> bytes:
    depth = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    values = np.random.default_rng(1).integers(0, 256, (size[1], size[0], *depth), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind)
    return buffer.getvalue()


def test_the_pictures_are_those_of_the_same_decoder() -> None:
    for content in (saved(), saved("RGBA"), saved("L"), saved(kind="JPEG")):
        for side in (None, 40):
            there = decoding.decode(content, longer_side=side)
            assert np.array_equal(there, photos.decode(content, longer_side=side))
            assert there.flags.writeable
    cut = saved(kind="JPEG")[:-2]
    header, jpeg = decoding.thumbnail(cut)
    assert header == photos.read_header(cut) and header.note
    assert jpeg == photos.encode_jpeg(photos.decode(cut, longer_side=240), quality=85)


def test_the_sentences_are_the_same() -> None:
    for content in (b"", b"words", saved()[:200], saved(size=(4, 4))):
        with pytest.raises(BadPhoto) as here:
            photos.decode(content)
        with pytest.raises(BadPhoto) as there:
            decoding.decode(content)
        assert str(there.value) == str(here.value)


def test_a_worker_that_dies_is_a_sentence_and_the_next_photo_is_read(
    own_workers: child.Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = child.COMMAND
    for code, words in (
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"stopped \(SIGSEGV\)"),
        ("import os; os._exit(7)", r"stopped \(exit status 7\)"),
        ("import os; os.write(1, b'short')", r"stopped \(exit status 0\)"),
    ):
        own_workers.close()
        for _ in range(2):
            own_workers._free.put(None)
        monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", code))
        with pytest.raises(BadPhoto, match=words):
            decoding.decode(saved())
        monkeypatch.setattr(child, "COMMAND", usual)
        assert decoding.decode(saved()).shape == (60, 90, 3)


def test_a_worker_that_was_killed_between_two_photos_is_replaced(
    own_workers: child.Workers,
) -> None:
    decoding.decode(saved())
    idle = [own_workers._free.get() for _ in range(2)]
    for one in idle:
        if one is not None:
            os.kill(one._process.pid, signal.SIGKILL)
            one._process.wait()
        own_workers._free.put(one)
    assert decoding.decode(saved()).shape == (60, 90, 3)


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")
    usual = child.COMMAND
    monkeypatch.setattr(child, "COMMAND", hangs)
    monkeypatch.setattr(decoding, "SECONDS", 0.05)
    with pytest.raises(BadPhoto, match=r"it took longer than 0\.05 s"):
        decoding.decode(saved())
    monkeypatch.setattr(child, "COMMAND", usual)
    monkeypatch.setattr(decoding, "SECONDS", 60.0)
    assert decoding.decode(saved()).shape == (60, 90, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's RLIMIT_DATA")
def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (6000, 5000)).save(buffer, "PNG", compress_level=1)  # 90 MB decoded
    monkeypatch.setattr(decoding, "_BASE", 120 << 20)
    monkeypatch.setattr(decoding, "_PER_PIXEL", 0)
    with pytest.raises(BadPhoto, match="memory"):
        decoding.decode(buffer.getvalue(), longer_side=500)
    monkeypatch.setattr(decoding, "_BASE", 400 << 20)
    assert decoding.decode(buffer.getvalue(), longer_side=500).shape == (417, 500, 3)


def test_ten_bombs_at_once_are_ten_sentences() -> None:
    def upload(number: int) -> str:
        try:
            decoding.decode(BOMB, max_pixels=photos.UPLOAD_PIXELS, longer_side=2000)
        except BadPhoto as error:
            return str(error)
        return ""

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        said = list(pool.map(upload, range(10)))
    assert all(said), said
    assert decoding.decode(saved()).shape == (60, 90, 3)


def test_room_is_the_parents_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    now: list[int] = []

    class Counted(gate.Gate):
        @contextlib.contextmanager
        def take(self, size: int) -> Iterator[None]:
            now.append(size)
            taken.append(size)
            yield
            now.remove(size)

    monkeypatch.setattr(gate, "decoding", Counted(1))
    decoding.decode(saved())
    assert taken == [90 * 60] and now == []
    decoding.decode(saved(kind="JPEG")[:-2])  # a second attempt, with its end marker
    assert taken == [90 * 60] * 3 and now == []


def refusing(request: dict[str, object], payload: bytes) -> child.Frame:
    """Runs in a child."""
    if request["what"] == "conflict":
        raise Conflict("No.", command="python -m it", then=" again")
    if request["what"] == "defect":
        raise KeyError("x")
    print("between the frames")
    return {"got": len(payload)}, payload[::-1]


def test_errors_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    name = f"{__name__}:refusing"
    with pytest.raises(Conflict) as caught:
        child.once(name, {"what": "conflict"}, errors={"Conflict": Conflict})
    assert caught.value.command == "python -m it"
    assert str(caught.value) == "No. Run: python -m it again"
    with pytest.raises(PlaygroundError):
        child.once(name, {"what": "conflict"})
    with pytest.raises(RuntimeError, match="KeyError: 'x'"):
        child.once(name, {"what": "defect"})
    answer, content = child.once(name, {"what": "answer"}, payload=b"abc" * 100_000)
    assert answer["got"] == 300_000 and content == b"cba" * 100_000
