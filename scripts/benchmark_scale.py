"""Whether a build stays as cheap per photo, and as small, as the collection grows.

    python -m scripts.benchmark scale --sizes 240,1000,4000,10000 --extractors hog,bovw

The photos are generated in a folder that goes away with them; each size is imported and built by
processes of its own, whose CPU time and largest memory are what counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data import paths, photos
from data.errors import Invalid, PlaygroundError
from scripts.console import print_json, print_table

# A process of its own: what is started counts its parent's memory as its own until it is replaced,
# and this one has torch.
_LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
_DESCRIBE = """
import sys
from indexing.build import build
build(sys.argv[1], [sys.argv[2]], [])
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--sizes", default="240,1000,4000,10000", help="photos, between commas")
    command.add_argument("--extractors", default="hog,bovw")
    command.add_argument("--side", type=int, default=320, help="longer side of a photo in px")
    command.add_argument("--json", action="store_true", help="print one JSON object")


def main(arguments: argparse.Namespace, environment: dict[str, Any]) -> int:
    """Measure and print.

    Args:
        environment: what the figures were measured on, for ``--json``.
    """
    if not hasattr(os, "wait4"):
        raise PlaygroundError("The memory of a process that has ended is told on Linux and macOS.")
    sizes = sorted({int(part) for part in arguments.sizes.split(",") if part.strip().isdigit()})
    if not sizes or sizes[0] < 1 or arguments.side < 32:
        raise Invalid(
            f"--sizes {arguments.sizes} --side {arguments.side} are not possible. Legal: numbers "
            f"of photos from 1, such as 240,1000; a side from 32 px."
        )
    with tempfile.TemporaryDirectory(prefix="playground-scale-") as folder:
        rows = measure(Path(folder), sizes, arguments.extractors.split(","), arguments.side)
    if arguments.json:
        print_json({"benchmark": "scale", "environment": environment, "rows": rows})
        return 0
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    return 0


def measure(
    folder: Path, sizes: Sequence[int], extractors: Sequence[str], side: int
) -> list[dict[str, Any]]:
    """A row per size and step: the import, an extractor's vectors, a Flat index over them."""
    rows = []
    source, made = folder / "photos", 0
    source.mkdir()
    for size in sizes:
        for number in range(made, size):
            jpeg = photos.encode_jpeg(generated(number, side))
            (source / f"{number:06d}.jpg").write_bytes(jpeg)
        made = size
        name = f"scale-{size}"
        load = ["-m", "scripts.collections", "import", "--source", "folder", "--path", str(source)]
        steps = [("import", [*load, "--name", name])]
        for spec in extractors:
            steps.append((spec, ["-c", _DESCRIBE, name, spec]))
            build = ["-m", "scripts.build", "--collection", name, "--extractors", spec, "--quiet"]
            steps.append((f"{spec}, Flat", [*build, "--indexes", "flat"]))
        for step, command in steps:
            wall, cpu, memory = _run(command, folder / "home")
            rows.append(
                {
                    "photos": size,
                    "step": step,
                    "cpu_ms_per_photo": 1e3 * cpu / size,
                    "wall_ms_per_photo": 1e3 * wall / size,
                    "peak_mb": memory / 1e6,
                }
            )
    return rows


def generated(number: int, side: int) -> photos.RGB:
    """A photo of blobs and edges, (3/4 side, side, 3): of its number alone."""
    rng = np.random.default_rng(number)
    height = side * 3 // 4
    coarse = rng.integers(0, 256, (height // 16, side // 16, 3), np.uint8)
    photo = cv2.resize(coarse, (side, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        left, top = rng.integers(0, side), rng.integers(0, height)
        corner = (int(left + rng.integers(4, side // 4)), int(top + rng.integers(4, side // 4)))
        colour = [int(value) for value in rng.integers(0, 256, 3)]
        cv2.rectangle(photo, (int(left), int(top)), corner, colour, thickness=-1)
    return np.asarray(photo, np.uint8)


def _run(command: Sequence[str], home: Path) -> tuple[float, float, float]:
    """(seconds, CPU seconds, largest memory in bytes) of a Python command in a home of its own."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, sys.executable, *command],
        cwd=paths.PROJECT_ROOT,
        env=os.environ | {"PLAYGROUND_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    code, cpu, memory = done.stdout.split() if done.stdout else ("1", "0", "0")
    if int(code):
        raise PlaygroundError(f"{' '.join(command)} failed; see its message above.")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, float(cpu), unit * int(memory)
