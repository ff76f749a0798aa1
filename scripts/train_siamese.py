"""Fine-tune a trunk for retrieval: siamese training with hard negatives.

    python -m scripts.train_siamese --collection my-landmarks --loss contrastive
    python -m scripts.train_siamese --collection my-landmarks --loss triplet --network vgg16 \\
        --weights imagenet --learning-rate 1e-6 --pixels 362
    torchrun --nproc-per-node 4 -m scripts.train_siamese --collection my-landmarks --device cuda

Any collection with labels will do; a part of its landmarks is held out, and their mAP decides
which epoch is kept and when to stop. Without --collection it learns from procedural landmarks. It
can be killed at any time; the same command goes on from the last checkpoint. To use the result:
python -m scripts.weights import gem-siamese-resnet50 FILE, the gem-siamese.safetensors it wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch

from data.paths import check_name
from extractors.gem_siamese import head_words
from extractors.pooling import POOLINGS
from extractors.training import siamese
from extractors.training.checkpoint import Run
from extractors.training.export import Shared, card_of, save_weights
from extractors.training.losses import LOSSES
from extractors.training.machine import Machine, machine
from extractors.training.photos import TrainingPhotos
from extractors.training.report import write_report
from extractors.trunks import TRUNKS
from extractors.weights import Weights, resolve
from scripts import console, training

DEFAULTS = siamese.SiameseConfig()
NAME = "gem-siamese"


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.train_siamese",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--out", default="siamese", help="name of the folder (default: siamese)")
    training.add_photos(result)
    result.add_argument("--network", default=DEFAULTS.network, choices=TRUNKS)
    result.add_argument(
        "--weights", default=DEFAULTS.weights, help="of the trunk: auto, imagenet, file:PATH, …"
    )
    result.add_argument(
        "--share", action="store_true", help="store only what differs from --weights"
    )
    result.add_argument("--loss", default=DEFAULTS.loss, choices=list(LOSSES))
    result.add_argument("--margin", type=float, help="default: 1.4 contrastive, 0.5 triplet")
    result.add_argument("--pooling", default=DEFAULTS.pooling, choices=POOLINGS)
    result.add_argument(
        "--regional",
        action="store_true",
        help="whiten the regions of R-MAC and sum them; with --pooling mac: R-MAC, trained",
    )
    result.add_argument("--dim", type=int, default=DEFAULTS.dim, help="of the descriptors")
    result.add_argument("--pixels", type=int, default=DEFAULTS.pixels, help="of the views, px")
    result.add_argument("--batch", type=int, default=DEFAULTS.batch, help="tuples per step")
    result.add_argument("--negatives", type=int, default=DEFAULTS.negatives, help="per tuple")
    result.add_argument(
        "--mining",
        default=DEFAULTS.mining,
        choices=("epoch", "batch"),
        help="where negatives come from: a pool that is described every epoch, or the batch",
    )
    result.add_argument(
        "--per-landmark", type=int, default=DEFAULTS.per_landmark, help="photos, for --mining batch"
    )
    result.add_argument("--queries", type=int, default=DEFAULTS.queries, help="per epoch")
    result.add_argument("--pool", type=int, default=DEFAULTS.pool, help="photos to mine from")
    result.add_argument(
        "--learning-rate",
        type=float,
        default=DEFAULTS.learning_rate,
        help="default 1e-5, for trunks trained from scratch; 1e-6 for ImageNet's",
    )
    result.add_argument(
        "--head-rate", type=float, help="of the exponent and the last layer, where it is another"
    )
    result.add_argument(
        "--decay",
        type=float,
        default=DEFAULTS.decay,
        help="learning rates fall by exp(-decay) per epoch",
    )
    result.add_argument(
        "--whitening",
        type=float,
        default=DEFAULTS.whitening,
        help="where the last layer starts: 0.5 PCA whitening, 0 a rotation only",
    )
    result.add_argument(
        "--shrink",
        type=float,
        help="start the last layer from whitening by landmark instead, shrunk by this (try 1)",
    )
    result.add_argument("--tune", default=DEFAULTS.tune, help="all, none, or parts: layer3,layer4")
    result.add_argument(
        "--keep",
        type=float,
        metavar="WEIGHT",
        help="penalty for descriptors that leave those of the untouched trunk (try 1)",
    )
    result.add_argument(
        "--head", help="start the last layers from these weights: bundled, file:PATH"
    )
    result.add_argument(
        "--average",
        type=float,
        metavar="SHARE",
        help="keep weights this far from the start's towards the trained ones (try 0.5)",
    )
    result.add_argument("--batchnorm", default=DEFAULTS.batchnorm, choices=("eval", "train"))
    result.add_argument("--patience", type=int, default=DEFAULTS.patience, help="epochs; 0 = off")
    result.add_argument("--hold-out", type=float, default=DEFAULTS.hold_out, help="of landmarks")
    result.add_argument("--seed", type=int, default=DEFAULTS.seed)
    training.add_use(result)
    training.add_limits(result, epochs=30)
    training.add_machine(result)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    folder = training.training_root() / check_name(arguments.out, "training")
    config = training.configured(DEFAULTS, arguments)
    photos = training.training_photos(arguments.collection, arguments.scenes, config.seed)
    with machine(arguments.device, arguments.precision, arguments.threads) as here:
        progress = siamese.train_siamese(
            config,
            training.limits(arguments),
            here,
            folder,
            photos,
            score=training.leave_one_out if config.hold_out else None,
            workers=arguments.workers,
            say=training.say,
        )
        if not here.leads:
            return 0
        found = resolve(config.network, config.weights)
        run = Run(folder, siamese.recipe(config, photos, found.sha256))
        # A package's file cannot lie beside ours: what differs from it is stored with the head.
        kept = found if config.tune == "none" or found.source == "packaged" else None
        shared = None
        if arguments.share and found.path is not None and kept is None:
            shared = Shared(found.path, "trunk.")
        path = folder / f"{NAME}.safetensors"
        _export(run, config, here, arguments, argv, photos, path, shared, kept)
    training.say(f"{progress.ended}: {folder}")
    return 0


def _export(
    run: Run,
    config: siamese.SiameseConfig,
    here: Machine,
    arguments: argparse.Namespace,
    argv: Sequence[str] | None,
    photos: TrainingPhotos,
    path: Path,
    shared: Shared | None,
    kept: Weights | None,
) -> None:
    """The best network so far, also of a training that is only paused."""
    found = run.load()
    assert found is not None  # training ends with a checkpoint
    progress = found[1]
    title = f"GeM-Siamese, {config.network} trunk, {config.loss} loss"
    if (config.pooling, config.regional) != (DEFAULTS.pooling, DEFAULTS.regional):
        title += f", {head_words(config.pooling, config.regional)}"
    card = card_of(
        title,
        run.recipe,
        progress.history,
        progress.seconds,
        here.words,
        training.provenance("python -m scripts.train_siamese", argv),
        training.described(arguments, photos),
    )
    card |= training.for_use(arguments)
    best = progress.extra["best"]
    card["best"] = {"epoch": best["epoch"], "validation_map": best["map"]}
    state = safetensors.torch.load_file(run.folder / siamese.BEST)
    save_weights(path, state, card, shared, kept)
    write_report(run.folder, title, run.recipe, progress)


if __name__ == "__main__":
    console.run(main)
