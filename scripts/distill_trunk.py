"""Teach a trunk what a better one sees (EfficientNet-Lite0, packaged), on any pictures.

    python -m scripts.distill_trunk --pictures ~/Pictures
    python -m scripts.distill_trunk --network vgg16 --collection my-landmarks --device cuda

No labels are needed: --pictures names folders of pictures, which are cut into tiles; collections
(--collection) and procedural scenes (--scenes) are mixed in. The trunk is trained part by part. It
can be killed at any time; the same command goes on after the last part that was done. The result,
its card and its report are written into the folder of --out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.paths import check_name
from extractors.training import distill
from extractors.training import tiles as cutting
from extractors.training.export import card_of, save_weights
from extractors.training.machine import machine
from extractors.training.report import write_report
from extractors.trunks import LITE0
from scripts import console, training

DEFAULTS = distill.DistillConfig()


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.distill_trunk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--network", default=DEFAULTS.network, choices=tuple(distill.STUDENTS))
    result.add_argument("--weights", default="untrained", help="of the student, to begin with")
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
    result.add_argument("--pixels", type=int, default=DEFAULTS.pixels, help="of the views, px")
    result.add_argument(
        "--views", type=int, default=DEFAULTS.views, help="drawn once; about 1 MB of memory each"
    )
    result.add_argument("--mixup", type=float, default=DEFAULTS.mixup, help="share of views")
    result.add_argument("--steps", type=int, default=DEFAULTS.steps, help="of an average part")
    result.add_argument("--batch", type=int, default=DEFAULTS.batch, help="views per step")
    result.add_argument("--learning-rate", type=float, default=DEFAULTS.learning_rate)
    result.add_argument("--seed", type=int, default=DEFAULTS.seed)
    result.add_argument(
        "--session-minutes", type=float, help="stop this process after the part it is then at"
    )
    training.add_use(result)
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
    fingerprint = cutting.fingerprint(files, cut) if files else ""
    recipe = distill.recipe_of(config, arguments.weights, fingerprint, photos)
    with machine(arguments.device, arguments.precision, arguments.threads) as here:
        student, progress = distill.distill(
            config,
            here,
            folder,
            weights=arguments.weights,
            # Beside the training's folder: others with the same pictures use them too.
            tiles=cutting.tiles(files, cut, folder.parent / "tiles") if files else None,
            photos=photos,
            recipe=recipe,
            session_minutes=arguments.session_minutes,
            workers=arguments.workers,
            say=training.say,
        )
        training.say(f"{progress.ended}: {folder}")
        if progress.ended != "done":
            return 0
        title = f"{config.network} trunk, distilled from {LITE0}"
        said = f" ({arguments.pictures_are})" if arguments.pictures_are else ""
        sources = [f"{len(files)} pictures without labels{said}"] if files else []
        sources += [f"the collection {name}" for name in arguments.collection]
        sources += [f"{config.scenes} procedural scenes"] if config.scenes else []
        card: dict[str, Any] = card_of(
            title,
            recipe,
            progress.history,
            progress.seconds,
            here.words,
            training.provenance("python -m scripts.distill_trunk", argv),
            f"{', '.join(sources)}; {config.views:,} views.",
        )
        card |= training.for_use(arguments)
        save_weights(folder / f"{config.network}.safetensors", student.state(), card)
        write_report(folder, title, recipe, progress)
    return 0


if __name__ == "__main__":
    console.run(main)
