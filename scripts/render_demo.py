"""Render the demo landmark collection with Blender (an offline tool).

Needs `pip install bpy==5.0.1` (Python 3.11 only) besides NumPy, OpenCV and Pillow.  Interrupted
runs resume; larger --landmarks or --photos extend a folder without changing what it holds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from .render import VERSION, manifest, plan

BPY_VERSION = "5.0.1"
BATCH = 4  # landmarks of one process, which builds houses and trees once for all of them
NO_BPY = (
    f"Rendering needs Blender's Python module: run `pip install bpy=={BPY_VERSION}`"
    " under Python 3.11."
)


def _size(text: str) -> str:
    """Check a size such as 512x384."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT")
    return text


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.render_demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="collection folder")
    parser.add_argument("--landmarks", type=int, default=100, help="how many landmarks")
    parser.add_argument("--photos", type=int, default=12, help="database photos per landmark")
    parser.add_argument("--queries", type=int, default=2, help="query photos per landmark")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes, one landmark each")
    parser.add_argument("--only", nargs="+", metavar="LABEL", help="render these labels only")
    parser.add_argument("--hide-landmark", action="store_true", help="control: surroundings only")
    parser.add_argument(
        "--size", type=_size, default="512x384", help="longer x shorter side in pixels"
    )
    parser.add_argument("--samples", type=int, default=2, help="paths per pixel before denoising")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet of all photos")
    parser.add_argument("--overview", type=Path, help="and one with a photo of each landmark")
    return parser.parse_args(argv)


def render(args: argparse.Namespace, names: list[str]) -> list[str]:
    """Run one process per BATCH landmarks, `workers` at a time; return labels that failed."""
    command = [sys.executable, "-m", "scripts.render.engine", "--out", str(args.out)]
    for name in ("photos", "queries", "seed", "samples"):
        command += [f"--{name}", str(getattr(args, name))]
    command += ["--size", *args.size.split("x")]
    if args.hide_landmark:
        command.append("--hide-landmark")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).resolve().parent.parent
    waiting = [names[i : i + BATCH] for i in range(0, len(names), BATCH)]
    failed: list[str] = []
    running: dict[int, tuple[list[str], subprocess.Popen[bytes]]] = {}
    while waiting or running:
        for worker in range(args.workers):
            if waiting and worker not in running:
                batch = waiting.pop(0)
                here = [*command, "--labels", *batch, "--worker", str(worker)]
                running[worker] = (batch, subprocess.Popen(here, cwd=root, env=env))
        for worker, (batch, process) in list(running.items()):
            if process.poll() is not None:
                del running[worker]
                if process.returncode:
                    failed += batch
        time.sleep(0.2)
    return failed


def main(argv: list[str] | None = None) -> int:
    """Render, assemble and report; return the exit code."""
    args = parse(argv)
    args.out = args.out.resolve()
    if importlib.util.find_spec("bpy") is None:
        print(NO_BPY, file=sys.stderr)
        return 2
    names = plan.labels(args.landmarks)
    if args.only:
        unknown = sorted(set(args.only) - set(names))
        if unknown:
            print(f"unknown labels {unknown}: --landmarks is {args.landmarks}", file=sys.stderr)
            return 2
        names = [name for name in names if name in args.only]
    generator = {
        "script": "scripts/render_demo.py",
        "version": VERSION,
        "bpy": BPY_VERSION,
        "seed": args.seed,
        "samples": args.samples,
        "size": args.size,
    }
    if args.hide_landmark:
        generator["hidden_landmark"] = True
    manifest.start_collection(args.out, generator)
    manifest.restore_records(args.out)
    failed = render(args, names)
    photos, queries = manifest.assemble(args.out)
    print(f"{args.out}: {photos} database photos, {queries} queries")
    if args.sheet or args.overview:
        from .render import sheets

        if args.sheet:
            sheets.all_photos(args.out, args.sheet, names)
        if args.overview:
            sheets.overview(args.out, args.overview)
    if failed:
        print(f"failed: {', '.join(failed)}; run the same command again", file=sys.stderr)
        return 1
    manifest.drop_records(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
