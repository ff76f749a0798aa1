"""Damage everything, at random and with a seed, and see that nothing breaks.

    python -m scripts.stress --quick            some seconds: a taste of every kind
    python -m scripts.stress                    some minutes
    python -m scripts.stress --minutes 30       as much as fits, the time shared by the kinds
    python -m scripts.stress --kinds images --case 1234 --seed 0    one case again

Each kind runs in a process of its own, so that a native crash is counted and not suffered. A case
is right where it gives the right answer or a sentence (``PlaygroundError``); tracebacks, crashes
and wrong answers are faults, and name the case that shows them again. Exit code 1 with faults.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image, features

from data import artefact, changing, decoding, importing, paths, photos, store
from data.archive import ZipSource
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.names import printable
from data.photos import RGB, BadPhoto
from indexing import artefacts, status
from indexing.build import build
from indexing.imported import import_descriptors
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from scripts.console import print_json, print_table, run

SIDE = 96  # px of the photos that are made
LANDMARKS, VIEWS = 3, 4
NAME = "stress"
INDEXES = ["flat", "ivf", "pq", "factory:HNSW8"]
USERS, BOMBS = 30, 10  # that upload at once
MOST_BYTES = 1_500_000_000  # that they may take together
# 40 bytes that say 16383 x 7320 px.
BOMB = bytes.fromhex(
    "5249464620000000574542505650384c140000002ffeff2517075081540820000a9a26c48888fe07"
)
MOST_TOLD = 20  # faults of a kind that are described; all are counted
# Cases of each kind: in a quick run, and by default.
COUNTS = {
    "images": (300, 10_000),
    "uploads": (0, 5),  # of 40 photos each: not for a quick run
    "archives": (20, 1_000),
    "descriptors": (60, 1_000),
    "checkpoints": (40, 1_000),
    "artefacts": (25, 1_000),
    "kills": (2, 100),  # of up to three builds each
    "full": (1, 50),
    "changes": (150, 20_000),
}


class Wrong(Exception):  # noqa: N818 (read as a word)
    """An answer that is not the right one."""


@dataclasses.dataclass
class Tally:
    """What became of the cases of a kind."""

    kind: str
    cases: int = 0
    right: int = 0  # the right answer, whatever was damaged
    refused: int = 0  # a sentence
    faults: int = 0
    told: list[str] = dataclasses.field(default_factory=list)
    note: str = ""  # what the last case measured
    seconds: float = 0.0


def picture(landmark: int, view: int) -> RGB:
    """A photo of blocks that is like others of its landmark and unlike all else."""
    rng = np.random.default_rng(landmark)
    scene = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8).repeat(12, 0).repeat(12, 1)
    return np.ascontiguousarray(scene[view : view + SIDE, 2 * view : 2 * view + SIDE])


def write_photos(folder: Path) -> None:
    for landmark in range(LANDMARKS):
        for view in range(VIEWS):
            path = folder / f"place-{landmark}" / f"{view}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(landmark, view)).save(path)


def mutated(rng: random.Random, content: bytes) -> bytes:
    """Some bytes changed, cut out, doubled, put in, or the end lost."""
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not out:
            break
        at = rng.randrange(len(out))
        # Headers decide most, so half of the damage is done to the beginning.
        at = at % min(len(out), 256) if rng.random() < 0.5 else at
        how = rng.randrange(6)
        if how == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            out[at] = rng.choice((0, 255, rng.randrange(256)))
        elif how == 2:
            extreme = rng.choice((b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"))
            out[at : at + 4] = extreme
        elif how == 3:
            del out[at : at + rng.randrange(1, 64)]
        elif how == 4:
            out[at:at] = out[at : at + rng.randrange(1, 64)]
        elif rng.random() < 0.3:
            del out[at:]
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 16))
    return bytes(out)


# -- the kinds: each yields a function of a case's own random numbers --------------------------

Case = Callable[[random.Random], str | None]


@contextlib.contextmanager
def images(home: Path) -> Iterator[Case]:
    """Mutated photos of every format are decoded."""
    del home
    pixels = Image.fromarray(picture(0, 0))
    clear = pixels.convert("RGBA")
    clear.putalpha(pixels.convert("L"))
    made: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("JPEG", pixels, {}),
        ("JPEG", pixels, {"progressive": True, "subsampling": 2}),
        ("JPEG", pixels.convert("CMYK"), {}),
        ("PNG", pixels, {}),
        ("PNG", clear, {}),
        ("PNG", pixels.convert("P"), {"transparency": 3}),
        ("WEBP", clear, {"lossless": True}),
        ("WEBP", pixels, {}),
        ("GIF", pixels.convert("P"), {}),
        ("BMP", pixels, {}),
        ("TIFF", pixels, {"compression": "tiff_adobe_deflate"}),
        ("TIFF", pixels, {"compression": "tiff_lzw"}),
    ]
    if features.check("avif"):
        made.append(("AVIF", pixels, {}))
    files = []
    for form, image, options in made:
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        files.append(buffer.getvalue())

    def case(rng: random.Random) -> None:
        content = mutated(rng, rng.choice(files))
        side = rng.choice((None, 64, 240))
        found = photos.decode(content, max_pixels=photos.UPLOAD_PIXELS, longer_side=side)
        if found.ndim != 3 or found.shape[2] != 3 or found.dtype != np.uint8:
            raise Wrong(f"{found.shape} {found.dtype} is no photo")

    yield case


@contextlib.contextmanager
def uploads(home: Path) -> Iterator[Case]:
    """A class uploads photos of 12 megapixels at the same moment, and bombs among them."""
    del home
    tile = Image.fromarray(picture(0, 0))
    files = []
    for form, side in (("JPEG", (4000, 3000)), ("PNG", (4000, 3000)), ("WEBP", (4000, 3000))):
        buffer = io.BytesIO()
        tile.resize(side, Image.Resampling.NEAREST).save(buffer, form, quality=90)
        files.append(buffer.getvalue())
    files = [files[0]] * 8 + files  # most photos are JPEG

    def upload(content: bytes | None) -> tuple[float, str]:
        began, fault = time.monotonic(), ""
        try:
            most = photos.UPLOAD_PIXELS
            made = decoding.decode(content or BOMB, max_pixels=most, longer_side=2000)
            if content is None or made.shape != (1500, 2000, 3):
                fault = f"a photo of {made.shape}"
        except BadPhoto as error:
            fault = f"refused: {error}" if content is not None else ""
        return time.monotonic() - began, fault

    def case(rng: random.Random) -> str:
        given = [rng.choice(files) for _ in range(USERS)] + [None] * BOMBS
        rng.shuffle(given)
        with memory_peak() as peak, concurrent.futures.ThreadPoolExecutor(len(given)) as pool:
            done = list(pool.map(upload, given))
        faults = [fault for _, fault in done if fault]
        if peak[0] > MOST_BYTES:
            faults.append(f"{peak[0] / 1e6:,.0f} MB")
        if faults:
            raise Wrong("; ".join(faults[:3]))
        return (
            f"{USERS} photos of 12 megapixels and {BOMBS} bombs at once: the longest wait "
            f"{max(wait for wait, _ in done):.1f} s, at most {peak[0] / 1e6:,.0f} MB in all "
            f"processes ({peak[1] / 1e6:,.0f} MB before)"
        )

    yield case


@contextlib.contextmanager
def memory_peak() -> Iterator[list[int]]:
    """[the most bytes that this process and its children held meanwhile, those before]."""
    own, ended = psutil.Process(), threading.Event()

    def held() -> int:
        total = 0
        for one in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
        return total

    peak = [held()] * 2

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], held())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def archives(home: Path) -> Iterator[Case]:
    """Mutated zip files are imported; what is taken must be what was packed."""
    folder = home / "photos"
    write_photos(folder)
    files = sorted(folder.rglob("*.png"))
    known = {artefact.file_sha256(path) for path in files}
    packed = {}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder).as_posix())
        packed[method] = buffer.getvalue()

    def case(rng: random.Random) -> None:
        content = mutated(rng, packed[rng.choice(list(packed))])
        source = ZipSource(content, name="some.zip")
        importing.import_collection(NAME, source, on_exists="replace")
        for photo in store.load(NAME).photos:
            if photo.sha256 not in known:
                raise Wrong(f"{photo.id} is none of the photos that were packed")

    yield case


@contextlib.contextmanager
def descriptors(home: Path) -> Iterator[Case]:
    """Mutated descriptor files are imported; what is taken must be finite and of unit length."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import scipy.io

    members = collection(home)
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(len(members.ids), 8)).astype(np.float32)
    ids = home / "ids.txt"
    ids.write_text("\n".join(members.ids) + "\n", encoding="utf-8")
    np.save(home / "whole.npy", matrix)
    scipy.io.savemat(home / "whole.mat", {"X": matrix.T, "Q": matrix[:2].T})
    table = pa.table({"id": list(members.ids), "vector": [row.tolist() for row in matrix]})
    pq.write_table(table, home / "whole.parquet")
    files = {suffix: (home / f"whole{suffix}").read_bytes() for suffix in (".npy", ".mat")}
    files[".parquet"] = (home / "whole.parquet").read_bytes()

    def case(rng: random.Random) -> None:
        suffix = rng.choice(list(files))
        path = home / f"some{suffix}"
        path.write_bytes(mutated(rng, files[suffix]))
        named = None if suffix == ".parquet" else ids
        report = import_descriptors(NAME, "some", path, ids=named)
        vectors, _ = artefacts.load_vectors(members, report.extractor)
        lengths = np.linalg.norm(vectors.vectors, axis=1)
        if not np.all((np.abs(lengths - 1) < 1e-3) | (lengths == 0)):
            raise Wrong(f"vectors of length {lengths.min()} to {lengths.max()}")

    yield case


@contextlib.contextmanager
def checkpoint_files(home: Path) -> Iterator[Case]:
    """Mutated weights of every format are read; what is taken must be tensors by name."""
    import safetensors.torch
    import torch

    from extractors import checkpoints

    generator = torch.Generator().manual_seed(0)
    state = {f"{n}.weight": torch.randn((4, 3, 3, 3), generator=generator) for n in range(4)}
    meta = {"architecture": "resnet50", "mean": [0.5] * 3, "Lw": {"x": np.eye(3)}}
    paths_of = {name: home / f"whole-{name}" for name in ("plain", "meta", "old", "safetensors")}
    torch.save(state, paths_of["plain"])
    torch.save({"state_dict": state, "meta": meta}, paths_of["meta"])
    torch.save(state, paths_of["old"], _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, paths_of["safetensors"])
    files = [path.read_bytes() for path in paths_of.values()]

    def case(rng: random.Random) -> None:
        path = home / "some"
        path.write_bytes(mutated(rng, rng.choice(files)))
        for name, tensor in checkpoints.read(path).state.items():
            if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
                raise Wrong(f"{name!r} is a {type(tensor).__name__}")

    yield case


def collection(home: Path) -> store.Collection:
    """The photos that are made, imported."""
    write_photos(home / "photos")
    importing.import_collection(NAME, FolderSource(home / "photos"), on_exists="replace")
    return store.load(NAME)


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file of the artefacts; records of times and locks aside."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in (artefact.RECORD, ".lock")
    }


@contextlib.contextmanager
def damaged_artefacts(home: Path) -> Iterator[Case]:
    """A file of what is built is damaged: the answers stay right or refused, a build mends it."""
    members = collection(home)
    build(NAME, ["hog"], INDEXES)
    root = paths.vectors_root(NAME)
    kept = home / "kept"
    shutil.copytree(root, kept)
    whole = digests(root)
    query = Query(members.read(members.photos[0]))

    def answers() -> dict[str, list[tuple[str, float]] | None]:
        engine = SearchEngine()
        found: dict[str, list[tuple[str, float]] | None] = {}
        for index in INDEXES:
            try:
                hits = engine.search(NAME, Recipe.of("hog", index), query, 5).hits
                found[index] = [(hit.id, hit.score) for hit in hits]
            except PlaygroundError:
                found[index] = None
        return found

    right = answers()

    def case(rng: random.Random) -> None:
        try:
            path = root / rng.choice(sorted(whole))
            content = path.read_bytes()
            damage = mutated(rng, content)
            if rng.random() < 0.1:
                path.unlink()
            else:
                path.write_bytes(damage)
            status.collection_status(NAME)
            for index, hits in answers().items():
                if hits is not None and hits != right[index]:
                    raise Wrong(f"{path.relative_to(root)}: {index} answers {hits}")
            build(NAME, ["hog"], INDEXES)
            after = digests(root)
            # What no answer depends on may stay as it is in a manifest.
            same = {p: d for p, d in after.items() if not p.endswith(artefact.MANIFEST)}
            if same != {p: d for p, d in whole.items() if not p.endswith(artefact.MANIFEST)}:
                raise Wrong(f"{path.relative_to(root)}: the build has not mended it")
            if answers() != right:
                raise Wrong(f"{path.relative_to(root)}: other answers after the build")
        finally:
            shutil.rmtree(root)
            shutil.copytree(kept, root)

    yield case


@contextlib.contextmanager
def kills(home: Path) -> Iterator[Case]:
    """Builds are killed at random moments, and end with the same bytes."""
    collection(home)
    specs = ["hog", "bovw:words=16"]
    began = time.perf_counter()
    build(NAME, specs, INDEXES)
    root = paths.vectors_root(NAME)
    whole = digests(root)
    longest = 3.0 + time.perf_counter() - began
    command = [sys.executable, "-m", "scripts.build", "--collection", NAME, "--quiet"]
    command += ["--extractors", ",".join(specs), "--indexes", ",".join(INDEXES)]
    killed = 0

    def case(rng: random.Random) -> str:
        nonlocal killed
        shutil.rmtree(root, ignore_errors=True)
        for _ in range(3):
            process = subprocess.Popen(
                command, cwd=paths.PROJECT_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            try:
                _, complaint = process.communicate(timeout=rng.uniform(0.3, longest))
                if process.returncode:
                    raise Wrong(f"the build ended with {process.returncode}: {complaint.decode()}")
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed += 1
            for manifest in root.rglob(artefact.MANIFEST):
                json.loads(manifest.read_text(encoding="utf-8"))
        build(NAME, specs, INDEXES)
        if digests(root) != whole:
            raise Wrong("the bytes differ from those of an undisturbed build")
        return f"{killed} builds were killed"

    yield case


@contextlib.contextmanager
def full_disk(home: Path) -> Iterator[Case]:
    """No file can grow beyond some size: a build says so, what was there stays, the next mends."""
    import resource

    collection(home)
    build(NAME, ["hog"], INDEXES)
    root, kept = paths.vectors_root(NAME), home / "kept"
    whole = digests(root)
    shutil.copytree(root, kept)
    largest = max(path.stat().st_size for path in root.rglob("*") if path.is_file())
    command = [sys.executable, "-m", "scripts.build", "--collection", NAME, "--quiet"]
    command += ["--extractors", "hog", "--indexes", ",".join(INDEXES)]
    said = 0

    def case(rng: random.Random) -> str:
        nonlocal said
        most = int(np.exp(rng.uniform(np.log(200), np.log(largest))))
        # Half of the builds have their vectors already and come to the indexes.
        part = "/indexes/" if rng.random() < 0.5 else ""
        there = sorted(name for name in whole if part in name)
        for name in rng.sample(there, rng.randrange(1, len(there) + 1)):
            (root / name).unlink()
        before = digests(root)
        done = subprocess.run(
            command,
            cwd=paths.PROJECT_ROOT,
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        )
        try:
            if done.returncode not in (0, 1, 2) or "Traceback" in done.stderr:
                raise Wrong(f"ended with {done.returncode} at {most} bytes: {done.stderr[-400:]}")
            after = digests(root)
            if any(after.get(name) != digest for name, digest in before.items()):
                raise Wrong(f"what was there has changed, at {most} bytes")
            build(NAME, ["hog"], INDEXES)
            if digests(root) != whole:
                raise Wrong("the bytes differ from those of an undisturbed build")
        finally:
            shutil.rmtree(root)
            shutil.copytree(kept, root)
        said += done.returncode != 0
        return f"{said} builds found no room and said so"

    yield case


@contextlib.contextmanager
def changes(home: Path) -> Iterator[Case]:
    """Searches beside removals, imports and builds: every hit is right, or a sentence."""
    members = collection(home)
    build(NAME, ["hog"], ["flat", "ivf"])
    labels = {photo.id: photo.label for photo in members.photos}
    kept = [photo.id for photo in members.photos if photo.id.endswith("0")]
    queries = {one: Query(members.read(one)) for one in kept}
    engine = SearchEngine()
    stop = threading.Event()
    broken: list[str] = []

    def change() -> None:
        rng = random.Random(0)
        loose = [one for one in labels if one not in kept]
        while not stop.is_set():
            try:
                changing.remove(NAME, rng.sample(loose, 3))
                build(NAME, ["hog"], ["flat", "ivf"])
                importing.add(NAME, FolderSource(home / "photos"))
                build(NAME, ["hog"], ["flat", "ivf"])
            except Exception:
                broken.append(traceback.format_exc())
                return

    thread = threading.Thread(target=change)
    thread.start()

    def case(rng: random.Random) -> None:
        if broken:
            raise Wrong(f"the changes ended: {broken[0]}")
        own = rng.choice(kept)
        index = rng.choice(("flat", "ivf:nprobe=1"))
        hits = engine.search(NAME, Recipe.of("hog", index), queries[own], 4).hits
        if hits[0].id != own:
            raise Wrong(f"{own} is found as {hits[0].id}")
        for hit in hits:
            if hit.label != labels[hit.id]:
                raise Wrong(f"{hit.id} is called {hit.label}")

    try:
        yield case
    finally:
        stop.set()
        thread.join()


KINDS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Case]]] = {
    "images": images,
    "uploads": uploads,
    "archives": archives,
    "descriptors": descriptors,
    "checkpoints": checkpoint_files,
    "artefacts": damaged_artefacts,
    "kills": kills,
    "full": full_disk,
    "changes": changes,
}


# -- running them ------------------------------------------------------------------------------


def work(kind: str, seed: int, first: int, count: int | None, seconds: float | None) -> Tally:
    """The cases of a kind, in this process; prints each fault's case as it begins."""
    tally, began = Tally(kind), time.monotonic()
    home = Path(os.environ["PLAYGROUND_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")  # Pillow's, about the damage that is meant
    with KINDS[kind](home) as case:
        number = first
        while count is None or number < first + count:
            if seconds is not None and time.monotonic() - began > seconds:
                break
            (home / "case").write_text(str(number), encoding="ascii")
            tally.cases += 1
            try:
                tally.note = case(random.Random(f"{seed} {kind} {number}")) or tally.note
                tally.right += 1
            except PlaygroundError:
                tally.refused += 1
            except Exception as error:
                tally.faults += 1
                if len(tally.told) < MOST_TOLD:
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    place = f"{Path(last.filename).name}:{last.lineno}"
                    tally.told.append(f"case {number}: {type(error).__name__}: {error} ({place})")
            number += 1
    tally.seconds = time.monotonic() - began
    return tally


def stress(
    kinds: Sequence[str],
    seed: int = 0,
    counts: dict[str, int] | None = None,
    minutes: float | None = None,
    first: int = 0,
) -> list[Tally]:
    """Every kind in a process of its own; a crash is a fault, and the kind goes on behind it."""
    tallies = []
    for kind in kinds:
        total = Tally(kind)
        at, left = first, None if counts is None else counts[kind]
        until = None if minutes is None else time.monotonic() + 60 * minutes / len(kinds)
        while (left is None or left > 0) and (until is None or time.monotonic() < until):
            with tempfile.TemporaryDirectory(prefix="playground-stress-") as folder:
                words = ["--worker", kind, "--seed", str(seed), "--case", str(at)]
                words += [] if left is None else ["--count", str(left)]
                words += [] if until is None else ["--seconds", str(until - time.monotonic())]
                process = subprocess.run(
                    [sys.executable, "-m", "scripts.stress", *words],
                    cwd=paths.PROJECT_ROOT,
                    env=os.environ | {"PLAYGROUND_HOME": folder, "PYTHONWARNINGS": "ignore"},
                    capture_output=True,
                    text=True,
                )
                if process.returncode == 0:
                    found = Tally(**json.loads(process.stdout))
                    _join(total, found)
                    break
                place = Path(folder) / "case"
                case = int(place.read_text(encoding="ascii")) if place.is_file() else None
            end = f"ended with {process.returncode}: {process.stderr[-400:].strip()}"
            if case is None:  # not even begun: every further try would be the same
                _join(total, Tally(kind, faults=1, told=[f"the process {end}"]))
                break
            done = case - at + 1
            # What the lost process counted is lost, too: its cases count as right or refused.
            _join(total, Tally(kind, done, done - 1, 0, 1, [f"case {case}: the process {end}"]))
            at, left = case + 1, None if left is None else left - done
        tallies.append(total)
    return tallies


def _join(total: Tally, part: Tally) -> None:
    total.cases += part.cases
    total.right += part.right
    total.refused += part.refused
    total.faults += part.faults
    total.told += part.told
    total.note = part.note or total.note
    total.seconds += part.seconds


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.stress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--kinds", default="all", help=f"all, or some of {', '.join(KINDS)}")
    result.add_argument("--seed", type=int, default=0)
    length = result.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="a few cases of every kind")
    length.add_argument("--minutes", type=float, help="for so long, whatever the number of cases")
    result.add_argument("--case", type=int, help="this one case of the kinds alone")
    result.add_argument("--json", action="store_true", help="print one JSON object")
    result.add_argument("--worker", help=argparse.SUPPRESS)
    result.add_argument("--count", type=int, help=argparse.SUPPRESS)
    result.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    if arguments.worker:
        done = work(
            arguments.worker, arguments.seed, arguments.case, arguments.count, arguments.seconds
        )
        print(json.dumps(dataclasses.asdict(done)))
        return 0
    kinds = list(KINDS) if arguments.kinds == "all" else arguments.kinds.split(",")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise PlaygroundError(f"There is no kind '{unknown[0]}'. Legal: all, {', '.join(KINDS)}.")
    if arguments.minutes is not None and not 0 < arguments.minutes <= 10_000:
        raise PlaygroundError(f"--minutes {arguments.minutes} is not legal. Legal: 0 to 10,000.")
    if arguments.case is not None:
        tallies = stress(kinds, arguments.seed, dict.fromkeys(kinds, 1), None, arguments.case)
    elif arguments.minutes is not None:
        tallies = stress(kinds, arguments.seed, None, arguments.minutes)
    else:
        counts = {kind: COUNTS[kind][0 if arguments.quick else 1] for kind in kinds}
        tallies = stress(kinds, arguments.seed, counts)
    if arguments.json:
        print_json({"seed": arguments.seed, "kinds": [dataclasses.asdict(one) for one in tallies]})
    else:
        print_table(
            ["kind", "cases", "right", "refused", "faults", "seconds"],
            [[t.kind, t.cases, t.right, t.refused, t.faults, t.seconds] for t in tallies],
        )
        for one in tallies:
            for text in [*([one.note] if one.note else []), *one.told]:
                print(f"{one.kind} {printable(text)}")
    return 1 if any(one.faults for one in tallies) else 0


if __name__ == "__main__":
    run(main)
