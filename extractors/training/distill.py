"""Distillation: a trunk learns to see what a better one sees, on pictures that need no labels.

Student and teacher look at the same crops, blended pictures among them, for as long as there is
time (Beyer et al.: Knowledge distillation: a good teacher is patient and consistent, CVPR 2022);
few pictures are enough (Asano and Saeed: The augmented image prior, ICLR 2023). Two losses: 1x1
projections of the student's maps shall point where the teacher's do, cell by cell, inside the
networks too (Romero et al.: FitNets, ICLR 2015); and the pooled vectors of a batch shall be as
similar to each other as the teacher's are (Fang et al.: SEED, ICLR 2021). The second one sees the
student's own vector, which is searched; the projections are dropped.
"""

from __future__ import annotations

import contextlib
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
from extractors.modules import Normalised
from extractors.pooling import gem, l2n
from extractors.training import photos as pictures
from extractors.training.checkpoint import Progress, Run, pack, to_device, unpack
from extractors.training.machine import Machine
from extractors.training.networks import FROM_SCRATCH, adamw, trained_trunk, with_batchnorm
from extractors.training.photos import TrainingPhotos
from extractors.training.pretrain import Pool
from extractors.training.scenes import VERSION
from extractors.training.session import Limits, Say, Session, cosine
from extractors.training.tiles import Tiles
from extractors.training.views import ViewConfig, random_views
from extractors.trunks import LITE0, normalised
from extractors.weights import seeded

LOG_STEPS = 20
TRUNK = "trunk.network.module."  # before the names of the trunk's tensors in a ``Student``

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


# Modules inside a student and those of the teacher whose maps they shall give.
HINTS = {
    ("resnet50", LITE0): (("layer2", "blocks.2"), ("layer3", "blocks.4")),
    ("vgg16", LITE0): (("22", "blocks.1"), ("32", "blocks.2"), ("36", "blocks.4")),
}


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """What decides the result, besides how long it trains."""

    network: str = "resnet50"  # the student; or vgg16
    teacher: str = LITE0
    scenes: int = 1000  # procedural pictures; 0 = none
    side: int = 192  # px of the pictures that views are taken from
    pixels: int = 96  # smallest side of the views in px
    max_pixels: int = 160  # largest; a step draws one in steps of 32, the teacher's stride
    batch: int = 24  # views per step and process
    shares: tuple[float, float, float] = (0.5, 0.4, 0.1)  # of tiles, photos and scenes
    mixup: float = 0.25  # share of the views that are blended with another one; 0 = off
    learning_rate: float = 1e-3  # of AdamW, at its highest
    weight_decay: float = 1e-3
    relation: float = 1.0  # weight of the loss on similarities; 0 = off
    hints: float = 1.0  # weight of the loss on maps inside the networks, their mean; 0 = off
    temperature: float = 0.1  # of the similarities
    p: float = 3.0  # GeM's exponent, as in extraction
    views: ViewConfig = CROPS
    seed: int = 0


class Watched(nn.Module):
    """A network that also gives what some of its modules put out: [theirs …, its own]."""

    def __init__(self, network: nn.Module, watched: Sequence[nn.Module]) -> None:
        super().__init__()
        self.network = network
        self._seen: list[Tensor] = []
        for module in watched:
            module.register_forward_hook(lambda _module, _inputs, output: self._keep(output))

    def _keep(self, output: Tensor) -> None:
        self._seen.append(output)

    def forward(self, x: Tensor) -> list[Tensor]:
        self._seen = []
        last = self.network(x.contiguous(memory_format=torch.channels_last))
        return [*self._seen, last]


class Student(nn.Module):
    """A trunk and the projections of its maps to the teacher's channels."""

    def __init__(self, trunk: Watched, channels: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.trunk = trunk
        self.projections = nn.ModuleList(nn.Conv2d(own, his, 1) for own, his in channels)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, H, W) in [0, 1] -> the last map, and the projections of all."""
        maps = self.trunk(x)
        return maps[-1], [p(seen) for p, seen in zip(self.projections, maps, strict=True)]


def cell_loss(projected: Tensor, target: Tensor) -> Tensor:
    """Mean of 1 - cosine over all cells of (B, C, H, W); the first is resized to the second."""
    if projected.shape[2:] != target.shape[2:]:
        size = target.shape[2:]
        projected = F.interpolate(projected, size=size, mode="bilinear", align_corners=False)
    return (1 - F.cosine_similarity(projected, target, dim=1)).mean()


def relation_loss(own: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How far the rows of two similarity matrices lie apart: mean KL divergence, 0 when equal.

    Args:
        own: (B, D) of unit length.
        teacher: (B, E) of unit length.
        temperature: a row's similarities to all others, divided by it, are a softmax's logits.
    """
    others = ~torch.eye(len(own), dtype=torch.bool, device=own.device)

    def rows(vectors: Tensor) -> Tensor:
        similar = (vectors @ vectors.T)[others].reshape(len(vectors), -1)
        return F.log_softmax(similar / temperature, dim=1)

    return F.kl_div(rows(own), rows(teacher), reduction="batchmean", log_target=True)


def blended(views: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """mixup (Zhang et al., ICLR 2018): some views get a part of another one, of any weight."""
    weights = rng.random(len(views)) * (rng.random(len(views)) < share)
    other = torch.from_numpy(rng.permutation(len(views))).to(views.device)
    weight = torch.from_numpy(weights.astype(np.float32)).to(views.device).reshape(-1, 1, 1, 1)
    return torch.lerp(views, views[other], weight)


def distill(
    config: DistillConfig,
    limits: Limits,
    machine: Machine,
    folder: Path,
    *,
    weights: str = "bundled",
    tiles: Tiles | None = None,
    photos: TrainingPhotos | None = None,
    recipe: dict[str, Any],
    workers: int = 0,
    say: Say = print,
) -> Progress:
    """Train until the limits, going on from the folder's checkpoint.

    Args:
        weights: of the student to begin with.
        tiles: of unlabelled pictures.
        photos: labelled pictures, of which only the pictures are learned from.
        recipe: ``recipe_of`` the same.
        workers: processes that make scenes.

    Returns:
        How it went; ``ended`` is "done", or "paused" where the session's time was up.

    Raises:
        PlaygroundError: nothing to learn from, or a checkpoint of another recipe.
    """
    _check(config)
    run = Run(folder, recipe)
    with run.locked() if machine.leads else contextlib.nullcontext():
        return _distill(config, limits, machine, run, weights, tiles, photos, workers, say)


def recipe_of(
    config: DistillConfig,
    limits: Limits,
    weights: str,
    pictures_fingerprint: str,
    photos: TrainingPhotos | None,
) -> dict[str, Any]:
    """What a checkpoint must agree on to be continued."""
    return {
        "kind": "distilled trunk",
        **dataclasses.asdict(config),
        "scenes_version": VERSION,
        "start_sha256": trained_trunk(config.network, weights)[1].sha256,
        "teacher_sha256": trained_trunk(config.teacher, "auto")[1].sha256,
        "pictures": pictures_fingerprint,
        "photos": photos.fingerprint if photos is not None else "",
        "steps": limits.steps,
        "minutes": limits.minutes,
    }


def _check(config: DistillConfig) -> None:
    if config.network not in FROM_SCRATCH:
        raise PlaygroundError(
            f"{config.network} cannot be a student. Legal: {', '.join(FROM_SCRATCH)}."
        )
    if not 32 <= config.pixels <= config.max_pixels <= config.side:
        raise PlaygroundError(
            f"--pixels {config.pixels} --max-pixels {config.max_pixels} --side {config.side} is "
            f"not possible. Legal: 32 or more, in ascending order."
        )
    if config.batch < 2:
        raise PlaygroundError(f"--batch {config.batch} is not possible. Legal: 2 or more.")


def _distill(
    config: DistillConfig,
    limits: Limits,
    machine: Machine,
    run: Run,
    weights: str,
    tiles: Tiles | None,
    photos: TrainingPhotos | None,
    workers: int,
    say: Say,
) -> Progress:
    found = run.load()
    progress = found[1] if found is not None else Progress()
    if progress.ended == "done":
        return progress
    progress.ended = ""
    pool, counts = _pool(config, machine, run.folder, tiles, photos, workers, say)
    teacher = _teacher(config)
    model = _student(config, weights, pool, counts, teacher)
    optimiser = adamw(model, config.learning_rate, config.weight_decay)
    if found is not None:
        unpack(found[0], model, optimiser)
    model.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    to_device(optimiser, machine.device)
    scaler = machine.scaler()
    if "scaler" in progress.extra:
        scaler.load_state_dict(progress.extra["scaler"])
    trained = machine.distributed(model.train())
    teacher.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    session = Session(limits, progress, machine, say)
    totals = torch.zeros(3, device=machine.device)
    since, views_seen, began = 0, 0, progress.seconds

    def save() -> None:
        if scaler.is_enabled():
            progress.extra["scaler"] = scaler.state_dict()
        if machine.leads:
            run.save(pack(model, optimiser), progress)

    while not session.over:
        rate = config.learning_rate * cosine(session.fraction)
        for group in optimiser.param_groups:
            group["lr"] = rate
        # Every process draws the same pictures apart: its own generator.
        rng = np.random.default_rng((config.seed, 3, progress.step, machine.rank))
        views = _views(config, pool, counts, rng)
        with torch.no_grad(), machine.autocast():
            targets = [target.float() for target in teacher(views)]
        with machine.autocast():
            seen, projected = trained(views)
        *inner, cells = [cell_loss(p.float(), t) for p, t in zip(projected, targets, strict=True)]
        similar = relation_loss(
            l2n(gem(seen.float(), config.p)), l2n(gem(targets[-1], config.p)), config.temperature
        )
        hints = torch.stack(inner).mean() if inner else torch.zeros_like(cells)
        loss = cells + config.relation * similar + config.hints * hints
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        progress.step += 1
        totals += torch.stack([cells, similar, hints]).detach()
        since, views_seen = since + 1, views_seen + len(views) * machine.world
        if since == LOG_STEPS:
            fraction = session.fraction  # brings the seconds up to date
            last, relation, inside = (totals / since).tolist()
            progress.extra["views"] = progress.extra.get("views", 0) + views_seen
            session.record(
                loss=last + config.relation * relation + config.hints * inside,
                cells=last,
                similarities=relation,
                hints=inside,
                lr=rate,
                views_per_s=round(views_seen / max(1e-9, progress.seconds - began), 1),
                done=fraction,
            )
            totals.zero_()
            since, views_seen, began = 0, 0, progress.seconds
        if session.save_due:
            save()
        if session.paused:
            progress.ended = "paused"
            break
    else:
        progress.ended = "done"
    save()
    return progress


def _watched(config: DistillConfig) -> tuple[tuple[str, str], ...]:
    return HINTS.get((config.network, config.teacher), ()) if config.hints else ()


def _teacher(config: DistillConfig) -> Watched:
    trunk, _ = trained_trunk(config.teacher, "auto")
    trunk.requires_grad_(False)
    inside = [trunk.get_submodule(name) for _, name in _watched(config)]
    teacher = Watched(normalised(config.teacher, trunk), inside)
    return teacher.eval()


def _student(
    config: DistillConfig, weights: str, pool: Pool, counts: tuple[int, ...], teacher: Watched
) -> Student:
    trunk, _ = trained_trunk(config.network, weights)
    if config.network == "vgg16":
        rng = np.random.default_rng((config.seed, 4))
        drawn = _views(dataclasses.replace(config, mixup=0.0), pool, counts, rng).cpu()
        trunk = with_batchnorm(trunk, Normalised(nn.Identity())(drawn))
    inside = [trunk.get_submodule(name) for name, _ in _watched(config)]
    watched = Watched(Normalised(trunk), inside)
    with torch.no_grad():
        nothing = torch.zeros(1, 3, config.pixels, config.pixels)
        maps = zip(watched.eval()(nothing), teacher(nothing), strict=True)
        channels = [(own.shape[1], his.shape[1]) for own, his in maps]
    model = seeded(lambda: Student(watched, channels))
    assert isinstance(model, Student)
    return model


def _pool(
    config: DistillConfig,
    machine: Machine,
    folder: Path,
    tiles: Tiles | None,
    photos: TrainingPhotos | None,
    workers: int,
    say: Say,
) -> tuple[Pool, tuple[int, ...]]:
    """All pictures, and how many pairs of each kind a step draws."""
    parts: list[NDArray[np.uint8]] = []
    groups: list[tuple[NDArray[np.int64], ...]] = []
    shares: list[float] = []
    if tiles is not None:
        parts.append(tiles.pixels)
        groups.append(tiles.groups)
        shares.append(config.shares[0])
    if photos is not None:
        say(f"reading {len(photos.labels)} photos")
        parts.append(pictures.squares(photos, config.side))
        places = pictures.positions(photos.labels).values()
        groups.append(tuple(np.array(where, np.int64) for where in places))
        shares.append(config.shares[1])
    if config.scenes > 0:
        say(f"making {config.scenes} scenes of {config.side} px (once)")
        # Beside the training's folder: others with the same scenes use them too.
        kept = folder.parent / "scenes"
        made = pictures.scene_pool(config.scenes, config.side, config.seed, workers, kept)
        parts.append(np.array(made))
        groups.append(tuple(np.array([i]) for i in range(len(made))))
        shares.append(config.shares[2])
    if not parts:
        raise PlaygroundError(
            "There is nothing to learn from. Give --pictures, --collection or --scenes."
        )
    on_device = tuple(torch.from_numpy(part).to(machine.device) for part in parts)
    return Pool(on_device, tuple(groups)), _counts(config.batch // 2, shares)


def _counts(total: int, shares: list[float]) -> tuple[int, ...]:
    """``total`` split by the shares, whole numbers; the first part takes what rounding leaves."""
    rest = [round(total * share / sum(shares)) for share in shares[1:]]
    return (max(1, total - sum(rest)), *rest)


def _views(
    config: DistillConfig, pool: Pool, counts: tuple[int, ...], rng: np.random.Generator
) -> Tensor:
    """Crops of a step, all of one size: two of each group, so that some are alike."""
    drawn, _ = pool.pairs(counts, rng)
    side = int(rng.choice(np.arange(config.pixels, config.max_pixels + 1, 32)))
    return blended(random_views(drawn, side, rng, config.views), config.mixup, rng)
