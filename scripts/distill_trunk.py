"""Teach a trunk what a better one sees (EfficientNet-Lite0, packaged), on any pictures.

    python -m scripts.distill_trunk --out distilled --pictures ~/Pictures --minutes 480
    python -m scripts.distill_trunk --network vgg16 --collection my-landmarks --device cuda \\
        --batch 256 --minutes 30

No labels are needed: --pictures names folders of pictures, which are cut into tiles; collections
(--collection) and procedural scenes (--scenes) are mixed in. It starts with the student's shipped
weights. It can be killed at any time; the same command goes on from the last checkpoint. The
result, its card and its report are written into the folder of --out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import PlaygroundError
from data.paths import check_name
from extractors.training import distill
from extractors.training import tiles as cutting
from extractors.training.checkpoint import Run
from extractors.training.export import card_of, save_weights
from extractors.training.machine import Machine, machine
from extractors.training.networks import FROM_SCRATCH
from extractors.training.pretrain import trained_state
from extractors.training.report import write_report
from scripts import console, training

DEFAULTS = distill.DistillConfig()


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.distill_trunk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--network", default=DEFAULTS.network, choices=FROM_SCRATCH)
    result.add_argument("--weights", default="bundled", help="of the student, to begin with")
    result.add_argument("--out", help="name of the folder (default: the network's)")
    result.add_argument(
        "--pictures",
        action="append",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="pictures without labels; repeatable",
    )
    result.add_argument(
        "--pictures-are", default="", metavar="TEXT", help="for the card: what --pictures holds"
    )
    result.add_argument(
        "--collection", action="append", default=[], help="photos to mix in; repeatable"
    )
    result.add_argument("--scenes", type=int, default=DEFAULTS.scenes, help="procedural pictures")
    result.add_argument("--side", type=int, default=DEFAULTS.side, help="of the pictures, px")
    result.add_argument("--pixels", type=int, default=DEFAULTS.pixels, help="smallest views, px")
    result.add_argument("--max-pixels", type=int, default=DEFAULTS.max_pixels, help="largest")
    result.add_argument("--batch", type=int, default=DEFAULTS.batch, help="views per step")
    result.add_argument("--mixup", type=float, default=DEFAULTS.mixup, help="share of views")
    result.add_argument("--relation", type=float, default=DEFAULTS.relation, help="its weight")
    result.add_argument("--learning-rate", type=float, default=DEFAULTS.learning_rate)
    result.add_argument("--seed", type=int, default=DEFAULTS.seed)
    result.add_argument(
        "--export", action="store_true", help="train nothing: save the last checkpoint's weights"
    )
    training.add_use(result)
    training.add_limits(result, minutes=480)
    training.add_machine(result)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    name = check_name(arguments.out or arguments.network, "training")
    folder = training.training_root() / name
    config = training.configured(DEFAULTS, arguments)
    files = cutting.pictures_in(arguments.pictures)
    cut = cutting.TileConfig(side=config.side, seed=config.seed)
    photos = (
        training.training_photos(arguments.collection, 0, config.seed)
        if arguments.collection
        else None
    )
    limits = training.limits(arguments)
    print_of_pictures = cutting.fingerprint(files, cut) if files else ""
    recipe = distill.recipe_of(config, limits, arguments.weights, print_of_pictures, photos)
    with machine(arguments.device, arguments.precision, arguments.threads) as here:
        if not arguments.export:
            progress = distill.distill(
                config,
                limits,
                here,
                folder,
                weights=arguments.weights,
                # Beside the training's folder: others with the same pictures use them too.
                tiles=cutting.tiles(files, cut, folder.parent / "tiles") if files else None,
                photos=photos,
                recipe=recipe,
                workers=arguments.workers,
                say=training.say,
            )
            training.say(f"{progress.ended}: {folder}")
        if here.leads:
            path = folder / f"{arguments.network}.safetensors"
            _export(Run(folder, recipe), config, here, arguments, argv, path, len(files))
    return 0


def _export(
    run: Run,
    config: distill.DistillConfig,
    here: Machine,
    arguments: argparse.Namespace,
    argv: Sequence[str] | None,
    path: Path,
    pictures: int,
) -> None:
    """The weights as they are now, also of a training that is only paused."""
    found = run.load()
    if found is None:
        raise PlaygroundError(f"There is no checkpoint in {run.folder} yet. Leave out --export.")
    tensors, progress = found
    title = f"{config.network} trunk, distilled from {config.teacher}"
    said = f" ({arguments.pictures_are})" if arguments.pictures_are else ""
    sources = [f"{pictures} pictures without labels{said}"] if pictures else []
    sources += [f"the collection {name}" for name in arguments.collection]
    sources += [f"{config.scenes} procedural scenes"] if config.scenes else []
    card: dict[str, Any] = card_of(
        title,
        run.recipe,
        progress.history,
        progress.seconds,
        here.words,
        training.provenance("python -m scripts.distill_trunk", argv),
        f"{', '.join(sources)}; {progress.extra.get('views', 0):,} views.",
    )
    card |= training.for_use(arguments)
    save_weights(path, trained_state(config.network, tensors, distill.TRUNK), card)
    write_report(run.folder, title, run.recipe, progress)


if __name__ == "__main__":
    console.run(main)
