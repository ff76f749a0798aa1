"""Distillation, part by part: a trunk learns to compute what a better one computes.

Every part of the student (a residual block, or the convolutions between two max-pools) is trained
by itself to give the teacher's map of the same depth, from what the trained parts before it give
(Wang et al.: Progressive blockwise knowledge distillation, IJCAI 2018; Li et al.: Block-wisely
supervised neural architecture search with knowledge distillation, CVPR 2020). Both look at the same
crops, blended pictures among them (Beyer et al.: Knowledge distillation: a good teacher is patient
and consistent, CVPR 2022); few pictures are enough (Asano and Saeed: The augmented image prior,
ICLR 2023), and they need no labels.

The views are drawn once and the teacher's maps of them are kept, so that a step costs the passes
of one part.

Same-padded convolutions of stride 2 put a cell of the teacher's at the last pixels it covers,
those of a ResNet at the first: at stride 32 they lie a whole cell apart. So the teacher looks at
views without their first row and column, and its cell i is the student's cell i + 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from data.errors import PlaygroundError
from extractors.training import distill_resnet50, distill_vgg16
from extractors.training import photos as pictures
from extractors.training.checkpoint import Progress, Run
from extractors.training.machine import Machine
from extractors.training.networks import adamw, trained_trunk
from extractors.training.parts import PARTS_VERSION, Part, Student, Teacher
from extractors.training.photos import TrainingPhotos
from extractors.training.scenes import VERSION
from extractors.training.session import Limits, Say, Session, cosine
from extractors.training.views import ViewConfig, random_views
from extractors.trunks import LITE0

STUDENTS = {"resnet50": distill_resnet50, "vgg16": distill_vgg16}
"""By the trunk's name: the module that cuts it (``student``), and the maps it needs (``MAPS``)."""

HELD_OUT = 256  # views that no part learns from
CHUNK = 64  # views that pass a network at once, where nothing is learned

CROPS = ViewConfig(
    size=(0.45, 1.0),
    perspective=0.06,
    turn=8.0,
    brightness=(0.7, 1.25),
    gain=(0.9, 1.1),
    offset=0.05,
    grey=0.1,
    blur=0.15,
    blur_sigma=(0.3, 1.0),
    erase=0.0,
    noise=0.02,
)
"""Large differences in what is seen, small ones in how: the teacher shall know what it sees."""


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """What decides the result."""

    network: str = "resnet50"  # the student; or vgg16
    scenes: int = 1000  # procedural pictures; 0 = none
    side: int = 192  # px of the pictures that views are taken from
    pixels: int = 160  # side of the teacher's views; the student's have one more
    views: int = 6000  # drawn once; ``HELD_OUT`` more are only judged with
    shares: tuple[float, float, float] = (0.7, 0.2, 0.1)  # of tiles, photos and scenes
    mixup: float = 0.25  # share of the views that are blended with another one; 0 = off
    steps: int = 1000  # of each part; its ``share`` multiplies them
    batch: int = 32  # views per step
    learning_rate: float = 1e-3  # of AdamW, at its highest; a part's ``rate`` multiplies it
    weight_decay: float = 1e-4
    crops: ViewConfig = CROPS
    seed: int = 0


def blended(views: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """mixup (Zhang et al., ICLR 2018): some views get a part of another one, of any weight."""
    weights = rng.random(len(views)) * (rng.random(len(views)) < share)
    other = torch.from_numpy(rng.permutation(len(views))).to(views.device)
    weight = torch.from_numpy(weights.astype(np.float32)).to(views.device).reshape(-1, 1, 1, 1)
    return torch.lerp(views, views[other], weight)


def recipe_of(
    config: DistillConfig,
    weights: str,
    pictures_fingerprint: str,
    photos: TrainingPhotos | None,
) -> dict[str, Any]:
    """What a checkpoint must agree on to be continued."""
    return {
        "kind": "distilled trunk",
        **dataclasses.asdict(config),
        "teacher": LITE0,
        "parts_version": PARTS_VERSION,
        "scenes_version": VERSION,
        "start_sha256": trained_trunk(config.network, weights)[1].sha256,
        "teacher_sha256": trained_trunk(LITE0, "auto")[1].sha256,
        "pictures": pictures_fingerprint,
        "photos": photos.fingerprint if photos is not None else "",
    }


def distill(
    config: DistillConfig,
    machine: Machine,
    folder: Path,
    *,
    weights: str = "untrained",
    tiles: NDArray[np.uint8] | None = None,
    photos: TrainingPhotos | None = None,
    recipe: dict[str, Any],
    session_minutes: float | None = None,
    workers: int = 0,
    say: Say = print,
) -> tuple[Student, Progress]:
    """Train the parts that the folder's checkpoint does not hold yet.

    Args:
        weights: of the student to begin with.
        tiles: of unlabelled pictures, (N, side, side, 3).
        photos: labelled pictures, of which only the pictures are learned from.
        recipe: ``recipe_of`` the same.
        session_minutes: pause after the part in which they are over; None = never.
        workers: processes that make scenes.

    Returns:
        The student, and how it went: ``ended`` is "done", or "paused". A record of the history is
        one part's. ``before`` and ``unexplained`` are the shares of its target's variance, over
        views that no part learns from, which it misses at first and at last.

    Raises:
        PlaygroundError: nothing to learn from, or a checkpoint of another recipe.
    """
    _check(config, machine)
    run = Run(folder, recipe)
    with run.locked():
        found = run.load()
        progress = found[1] if found is not None else Progress()
        progress.ended = ""
        views = _views(config, run.folder, tiles, photos, workers, say)
        say(f"the teacher looks at {len(views)} views")
        teacher = Teacher(trained_trunk(LITE0, "auto")[0], STUDENTS[config.network].MAPS)
        teacher.views, teacher.maps = views, looked_at(teacher, views, machine)
        trunk = trained_trunk(config.network, weights)[0]
        student = STUDENTS[config.network].student(trunk, teacher)
        limits = Limits(steps=len(student.parts), session_minutes=session_minutes)
        session = Session(limits, progress, machine, say)
        parts, inputs, done = student.parts, views, progress.step
        for number, part in enumerate(parts):
            if number < done:
                assert found is not None
                _restore(part.module, found[0], number)
            elif session.paused:
                progress.ended = "paused"
                break
            else:
                target = teacher.maps[part.target]
                record = _train(part, inputs, target, config, machine, number)
                progress.step = number + 1
                fraction = session.fraction  # brings the seconds up to date
                session.record(part=part.name, **record, done=fraction)
                run.save(_tensors(parts[: number + 1]), progress)
            if number + 1 < len(parts):
                inputs = _given(part.module, inputs, machine)
        else:
            progress.ended = "done"
        return student, progress


def _check(config: DistillConfig, machine: Machine) -> None:
    if config.network not in STUDENTS:
        raise PlaygroundError(
            f"{config.network} cannot be a student. Legal: {', '.join(STUDENTS)}."
        )
    if config.pixels % 32 or not 32 <= config.pixels <= config.side:
        raise PlaygroundError(
            f"--pixels {config.pixels} --side {config.side} is not possible. Legal: a multiple of "
            f"32, not above the side."
        )
    for name, value, least in (
        ("batch", config.batch, 2),
        ("views", config.views, 2),
        ("steps", config.steps, 1),
    ):
        if value < least:
            raise PlaygroundError(f"--{name} {value} is not possible. Legal: {least} or more.")
    if machine.world > 1:
        raise PlaygroundError("The parts are trained one after the other: start one process.")


def _train(
    part: Part, inputs: Tensor, targets: Tensor, config: DistillConfig, machine: Machine, seed: int
) -> dict[str, float]:
    """Train one part, which ends in evaluation mode; what there is to record."""
    both = nn.Sequential(part.module, part.read)
    both.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = adamw(both, config.learning_rate * part.rate, config.weight_decay)
    scaler = machine.scaler()
    rng = np.random.default_rng((config.seed, 4, seed))

    def loss(rows: NDArray[np.int64]) -> Tensor:
        places = torch.from_numpy(rows)
        with machine.autocast():
            given = both(_floats(inputs[places], machine))
        wanted = part.scaling(targets[places]).to(machine.device)
        return F.mse_loss(given.float(), wanted)

    def missed() -> float:
        held_out = np.arange(config.views, len(inputs))
        both.eval()
        with torch.no_grad():
            errors = [
                float(loss(rows)) * len(rows)
                for rows in np.split(held_out, range(CHUNK, len(held_out), CHUNK))
            ]
        variance = part.scaling(targets[config.views :]).var(dim=(0, 2, 3)).mean()
        return sum(errors) / len(held_out) / float(variance)

    before, total = missed(), max(1, round(config.steps * part.share))
    both.train()
    for step in range(total):
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * part.rate * cosine(step / total)
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss(rng.integers(0, config.views, config.batch))).backward()
        scaler.step(optimiser)
        scaler.update()
    return {"before": before, "unexplained": missed(), "steps": total}


def _floats(x: Tensor, machine: Machine) -> Tensor:
    """What a part takes: views in [0, 1], or maps."""
    x = x.to(machine.device)
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _given(module: nn.Module, inputs: Tensor, machine: Machine) -> Tensor:
    """What a trained part gives for all views, in half precision."""
    module.eval().to(machine.device)
    rows = []
    for chunk in inputs.split(CHUNK):
        with machine.autocast():
            rows.append(module(_floats(chunk, machine)).half().cpu())
    return torch.cat(rows)


@torch.no_grad()
def looked_at(teacher: Teacher, views: Tensor, machine: Machine) -> dict[str, Tensor]:
    """The teacher's maps of all views, in half precision."""
    teacher.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    found: dict[str, Tensor] = {}
    for number, chunk in enumerate(views.split(CHUNK)):
        for name, maps in teacher(_floats(chunk, machine)).items():
            if name not in found:
                found[name] = torch.empty((len(views), *maps.shape[1:]), dtype=torch.half)
            found[name][number * CHUNK : number * CHUNK + len(chunk)] = maps.half()
    teacher.cpu()
    return found


def _tensors(parts: Sequence[Part]) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": value
        for number, part in enumerate(parts)
        for name, value in part.module.state_dict().items()
    }


def _restore(module: nn.Module, tensors: dict[str, Tensor], number: int) -> None:
    prefix = f"{number}."
    module.load_state_dict(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    )


def _views(
    config: DistillConfig,
    folder: Path,
    tiles: NDArray[np.uint8] | None,
    photos: TrainingPhotos | None,
    workers: int,
    say: Say,
) -> Tensor:
    """(views + HELD_OUT, 3, pixels + 1, pixels + 1) uint8, the same for the same seed."""
    pools: list[tuple[NDArray[np.uint8], float]] = []
    if tiles is not None:
        pools.append((tiles, config.shares[0]))
    if photos is not None:
        say(f"reading {len(photos.labels)} photos")
        pools.append((pictures.squares(photos, config.side), config.shares[1]))
    if config.scenes > 0:
        say(f"making {config.scenes} scenes of {config.side} px (once)")
        # Beside the training's folder: others with the same scenes use them too.
        kept = folder.parent / "scenes"
        made = pictures.scene_pool(config.scenes, config.side, config.seed, workers, kept)
        pools.append((np.asarray(made), config.shares[2]))
    if not pools:
        raise PlaygroundError(
            "There is nothing to learn from. Give --pictures, --collection or --scenes."
        )
    shares = np.array([share for _, share in pools])
    rng = np.random.default_rng((config.seed, 3))
    total, size = config.views + HELD_OUT, config.pixels + 1
    views = torch.empty((total, 3, size, size), dtype=torch.uint8)
    for start in range(0, total, config.batch):
        count = min(config.batch, total - start)
        kinds = rng.choice(len(pools), count, p=shares / shares.sum())
        drawn = [pools[kind][0][rng.integers(len(pools[kind][0]))] for kind in kinds]
        seen = random_views(torch.from_numpy(np.stack(drawn)), size, rng, config.crops)
        seen = blended(seen, config.mixup, rng)
        views[start : start + count] = (seen * 255).round().byte()
    return views
