"""Train DELF: trunk as a classifier of landmarks, then attention, then PCA.

    python -m scripts.train_delf --collection my-landmarks
    python -m scripts.train_delf --collection my-landmarks --keep-trunk --weights bundled
    python -m scripts.train_delf --network efficientnet-lite0 --keep-trunk --dim 64

Without --collection it learns from procedural landmarks. It can be killed at any time; the same
command goes on from the last checkpoint. To use the result:
python -m scripts.weights import delf-resnet50 artifacts/training/delf/delf.safetensors
(delf instead of delf-resnet50 for efficientnet-lite0).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

from data.paths import check_name
from extractors.training import delf
from extractors.training.checkpoint import Progress, Run
from extractors.training.export import Shared, card_of, save_weights
from extractors.training.machine import machine
from extractors.training.report import write_report
from extractors.training.session import Limits
from extractors.weights import TRUNK_OF, Weights, header, resolve, trunk_of_head
from scripts import console, training

DEFAULTS = delf.DelfTrainingConfig()
TRUNK_SHARE = 0.6  # of --minutes; the rest is the attention's


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.train_delf",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--network", default=DEFAULTS.network, choices=sorted(delf.TAPS))
    result.add_argument("--out", default="delf", help="name of the folder (default: delf)")
    training.add_photos(result)
    result.add_argument(
        "--weights",
        default=DEFAULTS.weights,
        help="of the trunk: auto, imagenet, file:PATH (also a trained GeM-Siamese's), …",
    )
    result.add_argument(
        "--share", action="store_true", help="store only what differs from the file of --weights"
    )
    result.add_argument("--keep-trunk", action="store_true", help="train the attention only")
    result.add_argument(
        "--attention", help="train the attention of these weights further: bundled, file:PATH"
    )
    result.add_argument("--pixels", type=int, default=DEFAULTS.pixels, help="of the views, px")
    result.add_argument("--batch", type=int, default=DEFAULTS.batch, help="pictures per step")
    result.add_argument("--learning-rate", type=float, default=DEFAULTS.learning_rate)
    result.add_argument("--attention-rate", type=float, default=DEFAULTS.attention_rate)
    result.add_argument("--classifier-rate", type=float, default=DEFAULTS.classifier_rate)
    result.add_argument("--batchnorm", default=DEFAULTS.batchnorm, choices=("eval", "train"))
    result.add_argument("--patience", type=int, default=DEFAULTS.patience, help="epochs; 0 = off")
    result.add_argument("--hold-out", type=float, default=DEFAULTS.hold_out, help="of photos")
    result.add_argument(
        "--dim",
        type=int,
        default=DEFAULTS.dim,
        help="of the PCA; 0: none, each collection fits its own",
    )
    result.add_argument("--seed", type=int, default=DEFAULTS.seed)
    training.add_use(result)
    training.add_limits(result, epochs=20)
    training.add_machine(result)
    return result


def stage_limits(limits: Limits, keep_trunk: bool) -> dict[str, Limits]:
    """The minutes divided; epochs and steps are each stage's own."""
    if limits.minutes is None or keep_trunk:
        return dict.fromkeys(delf.STAGES, limits)
    shares = {"trunk": TRUNK_SHARE, "attention": 1 - TRUNK_SHARE}
    return {
        stage: dataclasses.replace(limits, minutes=limits.minutes * share)
        for stage, share in shares.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    folder = training.training_root() / check_name(arguments.out, "training")
    config = training.configured(DEFAULTS, arguments)
    config = dataclasses.replace(config, tune=not arguments.keep_trunk)
    photos = training.training_photos(arguments.collection, arguments.scenes, config.seed)
    with machine(arguments.device, arguments.precision, arguments.threads) as here:
        outcome = delf.train_delf(
            config,
            stage_limits(training.limits(arguments), arguments.keep_trunk),
            here,
            folder,
            photos,
            workers=arguments.workers,
            say=training.say,
        )
        if not here.leads:
            return 0
        words = here.words
    found = resolve(config.network, config.weights)
    for stage, progress in outcome.items():
        recipe = delf.recipe(config, photos, found.sha256, stage)
        write_report(folder / stage, f"DELF, {stage}", recipe, progress)
    last = next(reversed(outcome))
    ended = outcome[last].ended
    if last != "attention" or "best" not in outcome[last].extra:
        training.say(f"{last} {ended}: {folder}; the same command goes on")
        return 0
    run = Run(folder / last, delf.recipe(config, photos, found.sha256, last))
    card = card_of(
        f"DELF: {config.network}, attention{', PCA' if config.dim else ''}",
        run.recipe,
        _joined(outcome),
        sum(progress.seconds for progress in outcome.values()),
        words,
        training.provenance("python -m scripts.train_delf", argv),
        training.described(arguments, photos),
    )
    card |= training.for_use(arguments)
    kept = stored_apart(found, config.network, arguments.keep_trunk)
    shared = None
    if arguments.share and found.path is not None and kept is not found:
        shared = Shared(found.path, "trunk." if kept is None else "")
    path = folder / "delf.safetensors"
    state = delf.assembled(folder)
    save_weights(path, state, card)  # whole: the PCA is of this network's features
    if config.dim:
        state |= delf.local_pca(path, photos, config.dim, config.seed, config.network)
    save_weights(path, state, card, shared, kept)
    training.say(f"{ended}: {folder}")
    return 0


def stored_apart(found: Weights, network: str, keep: bool) -> Weights | None:
    """Weights that are on every machine, of which the file stores only what differs.

    That is a packaged trunk, also below a network of ours whose training changed a part of it.
    """
    if not keep or found.path is None:
        return None
    if found.source == "packaged":
        return found
    if header(found.path).get(TRUNK_OF) == network:
        return trunk_of_head(found.path, network, "scripts.train_siamese")
    return None


def _joined(outcome: dict[str, Progress]) -> list[dict[str, Any]]:
    """The records of both stages, steps counted on."""
    history: list[dict[str, Any]] = []
    before = 0
    for stage, progress in outcome.items():
        history += [{**e, "step": e["step"] + before, "stage": stage} for e in progress.history]
        before += progress.step
    return history


if __name__ == "__main__":
    console.run(main)
