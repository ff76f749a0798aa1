"""Train everything that the project ships, in one go or over several sessions.

    python -m scripts.train_all --minutes 30 --session-minutes 9 --device cuda --out weights
    python -m scripts.train_all --minutes 600 --size cpu --collection my-landmarks

The stages, each with its share of the minutes: ResNet50 and VGG16 trunks from procedural scenes
(and the collections, if any), GeM-Siamese with the contrastive and with the triplet loss, DELF.
The siamese networks and DELF store only what differs from the ResNet50. The results, their cards
and reports come together in the folder of --out.

It can be killed at any time, or stops by itself after --session-minutes; the same command goes on.
A stage that has ended is not trained again. --size chooses settings for a big GPU, for a few CPU
cores, or for a trial of the whole path in seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from data.errors import PlaygroundError
from data.paths import check_name
from scripts import console, train_delf, train_siamese, train_trunk, training

# Of the minutes. The trunk decides most of what the others reach.
SHARES = {
    "resnet50": 0.45,
    "vgg16": 0.2,
    "gem-siamese": 0.12,
    "gem-siamese-triplet": 0.08,
    "delf": 0.15,
}
# What a siamese network may change of the trunk. Each of the two stores it again, and all files
# together shall stay below 100 MB.
TUNED = "layer4.2.conv2,layer4.2.conv3"


@dataclasses.dataclass(frozen=True)
class Size:
    """Options of the stages for a kind of machine."""

    trunk: tuple[str, ...]
    vgg16: tuple[str, ...]
    siamese: tuple[str, ...]
    delf: tuple[str, ...]
    landmarks: int  # procedural ones, where no collection is given


_GROWTH = ("--grow", "0.25@0,0.5@0.35,1@0.7")
_CPU_TRUNK = ("--scenes", "5000", "--pixels", "64", "--side", "128", "--batch", "64", *_GROWTH)
SIZES = {
    "gpu": Size(
        trunk=("--scenes", "50000", "--pixels", "128", "--side", "192", "--batch", "512"),
        vgg16=("--scenes", "50000", "--pixels", "112", "--side", "192", "--batch", "256"),
        siamese=("--pixels", "192", "--batch", "32", "--queries", "1000", "--pool", "5000"),
        delf=("--pixels", "192", "--batch", "128"),
        landmarks=2000,
    ),
    "cpu": Size(
        trunk=(*_CPU_TRUNK, "--max-pixels", "96"),
        vgg16=_CPU_TRUNK,
        siamese=("--pixels", "128", "--batch", "4", "--queries", "300", "--pool", "1000"),
        delf=("--pixels", "128", "--batch", "16"),
        landmarks=300,
    ),
    "toy": Size(
        trunk=("--scenes", "16", "--pixels", "32", "--side", "48", "--batch", "4"),
        vgg16=("--scenes", "16", "--pixels", "32", "--side", "48", "--batch", "4"),
        siamese=("--pixels", "32", "--batch", "2", "--negatives", "2", "--queries", "4"),
        delf=("--pixels", "32", "--batch", "8"),
        landmarks=6,
    ),
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One training: its script, and the file that is taken over when it has ended."""

    name: str
    main: Callable[[Sequence[str] | None], int]
    arguments: tuple[str, ...]
    file: str  # in its training folder
    reports: tuple[str, ...]  # folders of its training folder with a report; "" is itself


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.train_all",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--out", type=Path, required=True, help="folder of the results")
    result.add_argument("--name", default="all", help="start of the training folders' names")
    result.add_argument("--size", default="auto", choices=("auto", *SIZES))
    result.add_argument(
        "--collection", action="append", default=[], help="labelled photos to learn from"
    )
    result.add_argument("--minutes", type=float, required=True, help="of all stages together")
    result.add_argument("--session-minutes", type=float, help="stop this process after so long")
    result.add_argument("--only", default="", help="stages between commas, of " + ", ".join(SHARES))
    result.add_argument("--seed", type=int, default=0)
    training.add_machine(result)
    return result


def stages(arguments: argparse.Namespace) -> list[Stage]:
    """What is trained, in order; a later stage starts from the first one's result."""
    size = SIZES[_size(arguments)]
    common = ["--device", arguments.device, "--precision", arguments.precision]
    common += ["--workers", str(arguments.workers), "--seed", str(arguments.seed)]
    if arguments.threads is not None:
        common += ["--threads", str(arguments.threads)]
    for name in arguments.collection:
        common += ["--collection", name]
    learned = ["--weights", f"file:{arguments.out / 'resnet50.safetensors'}", "--share"]
    learned += ["--scenes", str(size.landmarks)]
    # The trunk's pooled vectors were trained to be searched: evening them out undoes that.
    tuned = (*size.siamese, *learned, "--tune", TUNED, "--whitening", "0", "--epochs", "1000")
    # The trunk stays as it is, so that it is stored once.
    kept = (*size.delf, *learned, "--keep-trunk", "--epochs", "1000")
    own: dict[str, tuple[Callable[[Sequence[str] | None], int], tuple[str, ...], str]] = {
        "resnet50": (train_trunk.main, size.trunk, "resnet50"),
        "vgg16": (train_trunk.main, ("--network", "vgg16", *size.vgg16), "vgg16"),
        "gem-siamese": (train_siamese.main, tuned, "gem-siamese"),
        "gem-siamese-triplet": (train_siamese.main, (*tuned, "--loss", "triplet"), "gem-siamese"),
        "delf": (train_delf.main, kept, "delf"),
    }
    found = []
    for name, share in SHARES.items():
        main, options, file = own[name]
        folder = check_name(f"{arguments.name}-{name}", "training")
        words = (*options, *common, "--out", folder, "--minutes", f"{arguments.minutes * share:g}")
        reports = ("attention",) if name == "delf" else ("",)
        found.append(Stage(name, main, words, f"{file}.safetensors", reports))
    return [stage for stage in found if stage.name in wanted(arguments.only)]


def _size(arguments: argparse.Namespace) -> str:
    if arguments.size != "auto":
        return str(arguments.size)
    import torch

    gpu = arguments.device != "cpu" and torch.cuda.is_available()
    return "gpu" if gpu else "cpu"


def wanted(only: str) -> list[str]:
    """The stages of ``--only``; all for none."""
    names = [name.strip() for name in only.split(",")] if only else list(SHARES)
    for name in names:
        if name not in SHARES:
            raise PlaygroundError(f"There is no stage '{name}'. Legal: {', '.join(SHARES)}.")
    return names


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    arguments.out = arguments.out.expanduser().resolve()
    began = time.perf_counter()
    for stage in stages(arguments):
        folder = training.training_root() / f"{arguments.name}-{stage.name}"
        if not ended(folder, stage):
            words = list(stage.arguments)
            if arguments.session_minutes is not None:
                left = arguments.session_minutes - (time.perf_counter() - began) / 60
                if left <= 0:
                    training.say("the session's time is up; the same command goes on")
                    return 0
                words += ["--session-minutes", f"{left:.3f}"]
            training.say(f"{stage.name}: {' '.join(words)}")
            code = stage.main(words)
            if code or not ended(folder, stage):
                return code
        take(folder, stage, arguments.out)
    training.say(f"done: {arguments.out}")
    return 0


def ended(folder: Path, stage: Stage) -> bool:
    """Whether a stage has its result and will not go on."""
    reports = [folder / part / "report.json" for part in stage.reports]
    if not (folder / stage.file).is_file() or not all(path.is_file() for path in reports):
        return False
    found = [json.loads(path.read_text(encoding="utf-8"))["ended"] for path in reports]
    return all(how in ("done", "stopped early") for how in found)


def take(folder: Path, stage: Stage, out: Path) -> None:
    """Copy the weights, the card and the reports under the stage's name."""
    out.mkdir(parents=True, exist_ok=True)
    source = folder / stage.file
    for suffix in (".json", ".md", ".safetensors"):  # the weights last: then it is whole
        _copy(source.with_suffix(suffix), out / f"{stage.name}{suffix}")
    for part in stage.reports:
        for suffix in (".json", ".png"):
            report = folder / part / f"report{suffix}"
            if report.is_file():
                _copy(report, out / f"{stage.name}.report{suffix}")


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


if __name__ == "__main__":
    console.run(main)
