"""What the training scripts share: options, training sets, validation, saving the result."""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from data import paths, store
from data.demo import ensure_demo
from data.errors import PlaygroundError
from evaluation import metrics
from extractors.cnn import check_image_size
from extractors.training.describing import Floats
from extractors.training.photos import (
    CollectionPhotos,
    ScenePhotos,
    Several,
    TrainingPhotos,
)
from extractors.training.session import Limits

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


def training_root() -> Path:
    """Checkpoints of running and finished trainings, a folder each."""
    return paths.artifacts_root() / "training"


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Where it runs; several GPUs: torchrun --nproc-per-node N -m scripts.train_…"""
    group = parser.add_argument_group("machine")
    group.add_argument("--device", default="auto", help="auto, cpu or cuda")
    group.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16")
    group.add_argument("--threads", type=int, help="of torch on the CPU")
    group.add_argument(
        "--workers", type=int, default=_workers(), help="processes that read or make pictures"
    )


def _workers() -> int:
    """All cores but one feed a GPU; on a few cores the training itself needs them."""
    cores = os.cpu_count() or 1
    return cores - 1 if cores > 4 else 0


def add_limits(
    parser: argparse.ArgumentParser, minutes: float | None = None, epochs: int | None = None
) -> None:
    """Options of ``limits``; one of the defaults is given."""
    group = parser.add_argument_group("how long; the same command goes on where it stopped")
    said = f" (default {minutes:g})" if minutes is not None else ""
    group.add_argument("--minutes", type=float, help=f"in all{said}")
    group.add_argument("--steps", type=int, help="in all, besides or instead of minutes")
    if epochs is not None:
        group.add_argument("--epochs", type=int, default=epochs, help=f"(default {epochs})")
    group.add_argument("--session-minutes", type=float, help="stop this process after so long")
    group.add_argument("--save-minutes", type=float, default=5.0, help="between checkpoints")
    parser.set_defaults(default_minutes=minutes)


def add_use(parser: argparse.ArgumentParser) -> None:
    """Options of ``for_use``."""
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="PX",
        help="longer side of photos described with these weights, where nothing else is asked for",
    )


def for_use(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the card tells the extractor (``Weights.image_size``)."""
    if arguments.image_size is None:
        return {}
    check_image_size(arguments.image_size)
    return {"image_size": arguments.image_size}


def limits(arguments: argparse.Namespace) -> Limits:
    minutes = arguments.minutes
    if minutes is None and arguments.steps is None and not hasattr(arguments, "epochs"):
        minutes = arguments.default_minutes
    return Limits(
        getattr(arguments, "epochs", None),
        arguments.steps,
        minutes,
        arguments.session_minutes,
        arguments.save_minutes,
    )


def add_photos(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what it learns from")
    group.add_argument(
        "--collection", action="append", default=[], help="with labels; may be given repeatedly"
    )
    group.add_argument(
        "--scenes", type=int, default=500, help="procedural landmarks, where no collection is given"
    )


def configured(defaults: Config, arguments: argparse.Namespace) -> Config:
    """The defaults with every field that is an option of the same name."""
    fields = (field.name for field in dataclasses.fields(defaults))
    given = {name: getattr(arguments, name) for name in fields if hasattr(arguments, name)}
    return dataclasses.replace(defaults, **given)


def described(arguments: argparse.Namespace, photos: TrainingPhotos) -> str:
    """What was learned from, in a sentence."""
    landmarks = len(set(photos.labels))
    names = ", ".join(arguments.collection) or "procedural scenes"
    return f"{len(photos.labels)} pictures of {landmarks} landmarks ({names})."


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def training_photos(collections: Sequence[str], scenes: int, seed: int) -> TrainingPhotos:
    """The labelled photos of collections, or procedural landmarks where none is named."""
    if not collections:
        if scenes < 4:
            raise PlaygroundError("There is nothing to learn from. Give --collection or --scenes.")
        return ScenePhotos(scenes, seed=seed + 1)  # others than the trunk's
    parts = tuple(CollectionPhotos(load(name)) for name in collections)
    return parts[0] if len(parts) == 1 else Several(parts)


def load(name: str) -> store.Collection:
    """A collection by name; the demo is imported if it is not there yet."""
    if name == "demo":
        ensure_demo()
    return store.load(name)


def leave_one_out(vectors: Floats, labels: Sequence[str]) -> dict[str, float]:
    """Each picture searches all others: mAP over whole rankings and P@1 (``Score``)."""
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    names = np.asarray(labels)
    order = np.argsort(-similar, axis=1, kind="stable")[:, :-1]
    precisions, first = [], []
    for i, ranking in enumerate(order):
        flags = (names[ranking] == names[i]).tolist()
        right = sum(flags)
        precisions.append(metrics.average_precision_at_k(flags, right, len(flags)))
        if right:
            first.append(metrics.precision_at_k(flags, 1))
    return {"map": metrics.mean(precisions), "p@1": metrics.mean(first)}


def provenance(prog: str, argv: Sequence[str] | None) -> dict[str, Any]:
    """What a card says about where weights come from. Folders are this machine's: left out."""
    words = [_without_folders(word) for word in (sys.argv[1:] if argv is None else argv)]
    return {"command": " ".join([prog, *words]), "commit": commit()}


def _without_folders(word: str) -> str:
    if word.startswith("file:"):
        return f"file:{Path(word).name}"
    option, equals, value = word.rpartition("=")
    return f"{option}{equals}{Path(value).name}" if Path(value).is_absolute() else word


def commit() -> str:
    """The project's commit, with "+" where files differ from it; empty outside a checkout."""
    git = ["git", "-C", str(paths.PROJECT_ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{head}+" if changed else head
