"""Train a trunk from scratch on procedural scenes, by telling pictures apart.

    python -m scripts.train_trunk --out resnet50 --minutes 60
    python -m scripts.train_trunk --network vgg16 --collection my-landmarks --device cuda \\
        --pixels 128 --batch 512 --scenes 50000 --minutes 10

No photographs are needed. Labelled collections (--collection) are mixed in: photos of one landmark
are views of one thing. It can be killed at any time; the same command goes on from the last
checkpoint. The result, its card and its report are written into the folder of --out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data.errors import PlaygroundError
from data.paths import check_name
from extractors.training import pretrain
from extractors.training.checkpoint import Run
from extractors.training.export import card_of, save_weights
from extractors.training.machine import Machine, machine
from extractors.training.networks import FROM_SCRATCH
from extractors.training.photos import CollectionPhotos
from extractors.training.report import write_report
from scripts import console, training

DEFAULTS = pretrain.PretrainConfig()


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.train_trunk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--network", default=DEFAULTS.network, choices=FROM_SCRATCH)
    result.add_argument("--out", help="name of the folder (default: the network's)")
    result.add_argument(
        "--collection", action="append", default=[], help="labelled photos to mix in; repeatable"
    )
    result.add_argument("--scenes", type=int, default=DEFAULTS.scenes, help="procedural pictures")
    result.add_argument("--side", type=int, default=DEFAULTS.side, help="of the pictures, px")
    result.add_argument("--pixels", type=int, default=DEFAULTS.pixels, help="of the views, px")
    result.add_argument(
        "--max-pixels",
        type=int,
        default=DEFAULTS.max_pixels,
        help="a step's views have a side from --pixels to this",
    )
    result.add_argument(
        "--grow",
        type=_growth,
        default=DEFAULTS.grow,
        metavar="WIDTH@START,…",
        help="start with a share of the channels and widen: 0.25@0,0.5@0.4,1@0.7 (for CPUs)",
    )
    result.add_argument("--batch", type=int, default=DEFAULTS.batch, help="pairs of views")
    result.add_argument(
        "--photos-share",
        type=float,
        default=DEFAULTS.photos_share,
        help="of a batch, where there are collections besides scenes",
    )
    result.add_argument("--learning-rate", type=float, default=DEFAULTS.learning_rate)
    result.add_argument("--temperature", type=float, default=DEFAULTS.temperature)
    result.add_argument("--seed", type=int, default=DEFAULTS.seed)
    result.add_argument("--validate", metavar="COLLECTION", help="report mAP; never learned from")
    result.add_argument(
        "--export", action="store_true", help="train nothing: save the last checkpoint's weights"
    )
    training.add_use(result)
    training.add_limits(result, minutes=60)
    training.add_machine(result)
    return result


def _growth(text: str) -> tuple[tuple[float, float], ...]:
    """0.25@0,1@0.5 -> ((0.25, 0.0), (1.0, 0.5))."""
    steps = [step.partition("@") for step in text.split(",")]
    return tuple((float(width), float(start)) for width, _, start in steps)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    name = check_name(arguments.out or arguments.network, "training")
    folder = training.training_root() / name
    config = training.configured(DEFAULTS, arguments)
    photos = (
        training.training_photos(arguments.collection, 0, config.seed)
        if arguments.collection
        else None
    )
    validation = CollectionPhotos(training.load(arguments.validate)) if arguments.validate else None
    limits = training.limits(arguments)
    with machine(arguments.device, arguments.precision, arguments.threads) as here:
        if not arguments.export:
            progress = pretrain.pretrain(
                config,
                limits,
                here,
                folder,
                photos=photos,
                validation=validation,
                score=training.leave_one_out if validation else None,
                workers=arguments.workers,
                say=training.say,
            )
            training.say(f"{progress.ended}: {folder}")
        if here.leads:
            run = Run(folder, pretrain.recipe(config, limits, photos))
            _export(run, config, here, arguments, argv, folder / f"{arguments.network}.safetensors")
    return 0


def _export(
    run: Run,
    config: pretrain.PretrainConfig,
    here: Machine,
    arguments: argparse.Namespace,
    argv: Sequence[str] | None,
    path: Path,
) -> None:
    """The weights as they are now, also of a training that is only paused."""
    found = run.load()
    if found is None:
        raise PlaygroundError(f"There is no checkpoint in {run.folder} yet. Leave out --export.")
    tensors, progress = found
    if progress.extra.get("width", 1) != 1:
        training.say("the network is still thinner than a whole one: no weights are saved yet")
        write_report(run.folder, f"{config.network} trunk", run.recipe, progress)
        return
    title = f"{config.network} trunk, instance discrimination on procedural scenes"
    sources = [f"{config.scenes} procedural scenes"] if config.scenes > 1 else []
    sources += [f"the collection {name}" for name in arguments.collection]
    card = card_of(
        title,
        run.recipe,
        progress.history,
        progress.seconds,
        here.words,
        training.provenance("python -m scripts.train_trunk", argv),
        " and ".join(sources) + ".",
    )
    card |= training.for_use(arguments)
    save_weights(path, pretrain.trained_state(config.network, tensors), card)
    write_report(run.folder, title, run.recipe, progress)


if __name__ == "__main__":
    console.run(main)
