"""A small mirror of Google Landmarks v2 on the loopback, with every fault a server can have."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import http.server
import io
import random
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cv2
import numpy as np

from data import photos
from data.gldv2.lists import Mirror

SHARDS = {"train": 4, "index": 3, "test": 2}
LARGE, SMALL = (96, 72), (40, 30)  # width, height in px
Fault = str | Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


def jpeg(photo_id: str) -> bytes:
    """A photo of its id; every third is large. Equal ids, equal bytes."""
    rng = np.random.default_rng(int(photo_id, 16) % 2**32)
    width, height = LARGE if int(photo_id[-1], 16) % 3 == 0 else SMALL
    small = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return photos.encode_jpeg(
        cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), quality=80
    )


def text(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue().encode()


def tar(ids: list[str], folders: bool = False) -> bytes:
    """A shard: ``a/b/c/abc….jpg`` in the order given."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for photo_id in ids:
            folder = "/".join(photo_id[:3])
            if folders:
                info = tarfile.TarInfo(folder)
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            content = jpeg(photo_id)
            info = tarfile.TarInfo(f"{folder}/{photo_id}.jpg")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@dataclasses.dataclass
class Layout:
    """The data set and the files of its mirror, by path."""

    labels: dict[str, dict[str, list[str]]]  # split to landmark to ids
    solution: dict[str, list[str]]  # test id to index ids
    clean: dict[str, list[str]]
    shards: dict[str, list[list[str]]]  # split to shard to ids in order
    files: dict[str, bytes]

    def put_shard(self, split: str, number: int, ids: list[str], folders: bool = False) -> None:
        content = tar(ids, folders)
        name = f"images_{number:03d}"
        self.shards[split][number] = ids
        self.files[f"/{split}/{name}.tar"] = content
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self.files[f"/md5sum/{split}/md5.{name}.txt"] = f"{md5}  {name}.tar\n".encode()

    def shard_of(self, split: str, photo_id: str) -> int:
        return next(n for n, ids in enumerate(self.shards[split]) if photo_id in ids)


def layout(order: str = "sorted", seed: int = 0, landmarks: int = 8) -> Layout:
    """A data set of about 40 photos per split.

    ``order``: sorted; "inside" (shards ascend, photos within do not); "none" (nothing does).
    """
    rng = random.Random(seed)

    def new_ids(number: int) -> list[str]:
        return [f"{rng.getrandbits(64):016x}" for _ in range(number)]

    labels = {
        "index": {str(1000 + n): new_ids(3 + n % 4) for n in range(landmarks)},
        "train": {str(n): new_ids(3 + n % 5) for n in range(landmarks)},
    }
    queries = new_ids(landmarks + 2)
    solution = dict(zip(queries, labels["index"].values(), strict=False))
    clean = {label: ids[1:] for label, ids in labels["train"].items()}
    files = {
        "/metadata/index_image_to_landmark.csv": text(
            ("id", "landmark_id"),
            [(i, label) for label, ids in labels["index"].items() for i in ids],
        ),
        "/metadata/train.csv": text(
            ("id", "url", "landmark_id"),
            [(i, f"http://x/{i}", label) for label, ids in labels["train"].items() for i in ids],
        ),
        "/metadata/train_clean.csv": text(
            ("landmark_id", "images"), [(label, " ".join(ids)) for label, ids in clean.items()]
        ),
        "/metadata/train_attribution.csv": text(
            ("id", "url", "author", "license", "title"),
            [
                (i, f"http://commons/{i}", f'A "B", {label}', "https://cc/by/3.0", f"File {i}")
                for label, ids in labels["train"].items()
                for i in ids
            ],
        ),
        "/ground_truth/retrieval_solution_v2.1.csv": text(
            ("id", "images", "Usage"),
            [(q, " ".join(ids), "Public") for q, ids in solution.items()]
            + [(queries[-1], "None", "Ignored")],
        ),
    }
    for split, by_label in labels.items():
        kinds = ("castle", "bridge")
        rows = [(label, f"Some_{kinds[n % 2]}_{label}") for n, label in enumerate(by_label)]
        category = [(label, f"http://x/wiki/Category:{title}") for label, title in rows]
        files[f"/metadata/{split}_label_to_category.csv"] = text(
            ("landmark_id", "category"), category
        )
        columns = ("landmark_id", "category", "supercategory", "hierarchical_label")
        files[f"/metadata/{split}_label_to_hierarchical.csv"] = text(
            (*columns, "natural_or_human_made"),
            [(label, c, kinds[n % 2], "x", "human-made") for n, (label, c) in enumerate(category)],
        )
    made = Layout(labels, solution, clean, {}, files)
    everything = {s: [i for ids in labels[s].values() for i in ids] for s in labels}
    everything["test"] = queries
    for split, count in SHARDS.items():
        ids = sorted(everything[split])
        if order == "none":
            rng.shuffle(ids)
        size = -(-len(ids) // count)
        made.shards[split] = [ids[n * size : (n + 1) * size] for n in range(count)]
        for number, inside in enumerate(made.shards[split]):
            if order == "inside":
                # The first stays the least: shards still ascend.
                rest = inside[1:]
                rng.shuffle(rest)
                inside = inside[:1] + rest
            made.put_shard(split, number, inside)
    return made


class Server(http.server.ThreadingHTTPServer):
    """Serves a layout. ``faults``: path to what goes wrong with its next requests, one each.

    A fault is a status ("503"), "cut" (half of the answer, then the end), "stall" (a few bytes,
    then nothing), "trickle" (a byte now and then), "lie" (another Content-Range), "flip" (one
    byte of the answer is another one), "chunked" (in pieces, its size not said), "" (none), or a
    function. A fault that ends in "…" stays.
    """

    daemon_threads = True

    def __init__(self, made: Layout, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.layout, self.ranges = made, ranges
        self.faults: dict[str, list[Fault]] = {}
        self.log: list[tuple[str, str]] = []
        self.pause = 0.0  # s before every answer
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def mirror(self) -> Mirror:
        # Counts of photos as if the splits were large: byte ranges are worth their while.
        return Mirror(self.url, dict(SHARDS), {"train": 4000, "index": 4000, "test": 4000})

    def asked(self, part: str) -> list[tuple[str, str]]:
        return [entry for entry in self.log if part in entry[0]]

    def fault(self, path: str) -> Fault:
        with self.lock:
            waiting = self.faults.get(path, [])
            if not waiting:
                return ""
            first = waiting[0]
            if isinstance(first, str) and first.endswith("…"):
                return first[:-1]
            return waiting.pop(0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what is tested here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        with self.server.lock:
            self.server.log.append((self.path, asked))
        if self.server.pause:
            self.server.closing.wait(self.server.pause)
        fault = self.server.fault(self.path)
        content = self.server.layout.files.get(self.path)
        if callable(fault):
            fault(self, content or b"")
            return
        if fault.isdigit() or content is None:
            self.answer(int(fault) if fault else 404, b"no", {})
            return
        headers = {"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'}
        status, body = 200, content
        if self.server.ranges and asked.startswith("bytes="):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first)
            end = min(int(last) if last else len(content) - 1, len(content) - 1)
            status, body = 206, content[start : end + 1]
            shift = 512 if fault == "lie" else 0
            headers["Content-Range"] = f"bytes {start + shift}-{end + shift}/{len(content)}"
        if fault == "flip":
            place = len(body) // 2
            body = body[:place] + bytes([body[place] ^ 255]) + body[place + 1 :]
        if fault == "chunked":
            self.send_response(status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for place in range(0, len(body), 700):
                part = body[place : place + 700]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
            return
        self.answer(status, body, headers, fault)

    def answer(self, status: int, body: bytes, headers: dict[str, str], fault: str = "") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            if fault == "cut":
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif fault == "stall":
                self.wfile.write(body[:10])
                self.wfile.flush()
                self.close_connection = True
                self.server.closing.wait(2.0)
            elif fault == "trickle":
                self.close_connection = True
                until = time.monotonic() + 3.0
                for place in range(len(body)):
                    if time.monotonic() > until or self.server.closing.wait(0.02):
                        break
                    self.wfile.write(body[place : place + 1])
                    self.wfile.flush()
            else:
                self.wfile.write(body)


@contextmanager
def serve(made: Layout, ranges: bool = True) -> Iterator[Server]:
    server = Server(made, ranges)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
