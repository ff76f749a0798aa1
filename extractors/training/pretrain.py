"""Instance discrimination: a trunk learns to tell pictures apart, whatever the view.

Two random views of each picture (or of two pictures of one landmark) shall be closer to each other
than to all other views of the batch: the loss of SimCLR (Chen et al., ICML 2020) and, with several
pictures per label, of supervised contrastive learning (Khosla et al., NeurIPS 2020). Pooling is
the GeM that extraction uses; the projection behind it is dropped afterwards.

A network may start thin and be widened on the way (``PretrainConfig.grow``): half the channels cost
a quarter, so that a CPU sees several times as many views in the same time.
"""

from __future__ import annotations

import contextlib
import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_metric_learning.losses import SupConLoss
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper
from torch import Tensor, nn

from data.errors import PlaygroundError
from extractors.modules import Normalised
from extractors.pooling import gem, l2n
from extractors.training import photos as pictures
from extractors.training.checkpoint import Progress, Run, pack, to_device, unpack
from extractors.training.describing import Score, describe
from extractors.training.machine import Machine
from extractors.training.networks import adamw, trainable_trunk, trunk_state, widened
from extractors.training.photos import TrainingPhotos
from extractors.training.scenes import VERSION
from extractors.training.session import Limits, Say, Session, cosine
from extractors.training.views import GENTLE, STRONG, ViewConfig, between, random_views
from extractors.trunks import TRUNKS
from extractors.weights import seeded

LOG_STEPS = 20
VALIDATION_SIDE = 192  # px, longer side


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """What decides the result, besides how long it trains."""

    network: str = "resnet50"  # or vgg16
    scenes: int = 5000  # procedural pictures; 0 = only those of ``photos``
    side: int = 176  # px of the pictures that views are taken from
    pixels: int = 96  # side of the views in px
    max_pixels: int = 0  # 0: all views have ``pixels``; else a step draws a side up to this
    batch: int = 96  # pictures per step and process; twice as many views
    photos_share: float = 0.5  # of a batch, where photos are given besides scenes
    learning_rate: float = 2e-3  # of AdamW, at its highest
    weight_decay: float = 1e-4
    temperature: float = 0.12
    projection: int = 128  # dimensions in which views are compared
    direct: float = 0.5  # weight of the same loss on the pooled vector itself, which is searched
    # (share of the channels, share of the training at which it begins), ascending.
    grow: tuple[tuple[float, float], ...] = ((1.0, 0.0),)
    views: ViewConfig = STRONG  # of scenes, which do not differ otherwise
    # Share of the training in which they come from GENTLE to that: strong ones from the start
    # teach far more slowly.
    ease: float = 0.5
    photo_views: ViewConfig = GENTLE  # of photos
    seed: int = 0


class Embedding(nn.Module):
    """(B, 3, H, W) in [0, 1] -> trunk, GeM with p = 3, L2: what is validated."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = Normalised(trunk)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return l2n(gem(self.trunk(x).float()))


class Discriminator(nn.Module):
    """An embedding and the projection that the loss sees."""

    def __init__(self, trunk: nn.Module, channels: int, projection: int) -> None:
        super().__init__()
        self.embedding = Embedding(trunk)
        self.projection = nn.Sequential(
            nn.Linear(channels, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, projection)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The pooled vectors and what the projection makes of them."""
        vectors = self.embedding(x)
        # From unit length to unit variance: what a linear layer expects.
        return vectors, self.projection(vectors * vectors.shape[1] ** 0.5)


@dataclasses.dataclass(frozen=True)
class Pool:
    """All pictures on the training device, and which of them belong together.

    Attributes:
        parts: (N_k, side, side, 3) uint8 each.
        groups: per part, the positions of each group; a scene is a group by itself.
    """

    parts: tuple[Tensor, ...]
    groups: tuple[tuple[NDArray[np.int64], ...], ...]

    def pairs(self, counts: tuple[int, ...], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw groups and two members of each: (2 B, side, side, 3) and their labels (2 B,).

        Groups of one member give it twice.
        """
        drawn, labels, before = [], [], 0
        for part, groups, count in zip(self.parts, self.groups, counts, strict=True):
            chosen = rng.choice(len(groups), min(count, len(groups)), replace=False)
            members = np.concatenate([_two(groups[i], rng) for i in chosen])
            drawn.append(part[torch.from_numpy(members).to(part.device)])
            # The group's number: drawn by another process too, it is no negative.
            labels += [before + int(i) for i in chosen for _ in range(2)]
            before += len(groups)
        return torch.cat(drawn), torch.tensor(labels, device=self.parts[0].device)


def _two(group: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.choice(group, 2, replace=len(group) < 2)


def pretrain(
    config: PretrainConfig,
    limits: Limits,
    machine: Machine,
    folder: Path,
    *,
    photos: TrainingPhotos | None = None,
    validation: TrainingPhotos | None = None,
    score: Score | None = None,
    workers: int = 0,
    say: Say = print,
) -> Progress:
    """Train until the limits, going on from the folder's checkpoint.

    Args:
        photos: labelled pictures to learn from besides the scenes.
        validation: pictures to report ``score`` on at every checkpoint; never learned from.
        workers: processes that make scenes and read photos.

    Returns:
        How it went; ``ended`` is "done", or "paused" where the session's time was up.

    Raises:
        PlaygroundError: nothing to learn from, or a checkpoint of another recipe.
    """
    if config.scenes < 2 and photos is None:
        raise PlaygroundError("There is nothing to learn from. Give --scenes or --collection.")
    _check_growth(config.grow)
    run = Run(folder, recipe(config, limits, photos))
    with run.locked() if machine.leads else contextlib.nullcontext():
        return _pretrain(config, limits, machine, run, photos, validation, score, workers, say)


def recipe(config: PretrainConfig, limits: Limits, photos: TrainingPhotos | None) -> dict[str, Any]:
    """What a checkpoint must agree on to be continued."""
    return {
        "kind": "trunk",
        **dataclasses.asdict(config),
        "scenes_version": VERSION,
        "photos": photos.fingerprint if photos is not None else "",
        "steps": limits.steps,
        "minutes": limits.minutes,
    }


def _pretrain(
    config: PretrainConfig,
    limits: Limits,
    machine: Machine,
    run: Run,
    photos: TrainingPhotos | None,
    validation: TrainingPhotos | None,
    score: Score | None,
    workers: int,
    say: Say,
) -> Progress:
    found = run.load()
    progress = found[1] if found is not None else Progress()
    if progress.ended == "done":
        return progress
    progress.ended = ""
    session = Session(limits, progress, machine, say)
    pool = _pool(config, machine, run.folder, photos, workers, say)
    width = progress.extra.setdefault("width", config.grow[0][0])
    model, optimiser = _model(config, width)
    if found is not None:
        unpack(found[0], model, optimiser)
    model.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    to_device(optimiser, machine.device)
    scaler = machine.scaler()
    if "scaler" in progress.extra:
        scaler.load_state_dict(progress.extra["scaler"])
    trained = machine.distributed(model)
    loss_of: nn.Module = SupConLoss(temperature=config.temperature)
    if machine.world > 1:
        loss_of = DistributedLossWrapper(loss_of)
    counts = _counts(config, photos is not None)
    total, since, began = torch.zeros((), device=machine.device), 0, progress.seconds

    def save() -> None:
        if score is not None and validation is not None:
            where = range(len(validation.labels))
            vectors = describe(
                model.embedding, validation, where, VALIDATION_SIDE, machine, workers=workers
            )
            session.record(**score(vectors, validation.labels))
        if scaler.is_enabled():
            progress.extra["scaler"] = scaler.state_dict()
        if machine.leads:
            run.save(pack(model, optimiser), progress)

    model.train()
    while not session.over:
        if machine.agreed(width < width_at(config.grow, session.fraction)):
            width = next(wider for wider, _ in config.grow if wider > width)
            say(f"widening to {width:g} of the channels")
            model, optimiser = _grown(config, model, width)
            model.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            trained = machine.distributed(model.train())
            progress.extra["width"] = width
        rate = config.learning_rate * cosine(session.fraction)
        for group in optimiser.param_groups:
            group["lr"] = rate
        # Every process draws the same pictures apart: its own generator.
        rng = np.random.default_rng((config.seed, 2, progress.step, machine.rank))
        batch, labels = pool.pairs(counts, rng)
        of_scenes = 2 * min(counts[0], len(pool.groups[0])) if config.scenes > 1 else 0
        views = _views(batch, of_scenes, config, session.fraction, rng)
        with machine.autocast():
            vectors, projected = trained(views)
        loss = loss_of(projected.float(), labels)
        if config.direct:
            loss = loss + config.direct * loss_of(vectors.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        progress.step += 1
        total, since = total + loss.detach(), since + 1
        if since == LOG_STEPS:
            fraction = session.fraction  # brings the seconds up to date
            speed = since * len(views) * machine.world / max(1e-9, progress.seconds - began)
            session.record(
                loss=total.item() / since, lr=rate, views_per_s=round(speed, 1), done=fraction
            )
            total, since, began = torch.zeros_like(total), 0, progress.seconds
        if session.save_due:
            save()
        if session.paused:
            progress.ended = "paused"
            break
    else:
        progress.ended = "done"
    save()
    return progress


def _counts(config: PretrainConfig, with_photos: bool) -> tuple[int, ...]:
    """Groups of a batch from the scenes and from the photos."""
    if not with_photos or config.scenes < 2:
        return (config.batch,)
    of_photos = round(config.batch * config.photos_share)
    return (config.batch - of_photos, of_photos)


def _pool(
    config: PretrainConfig,
    machine: Machine,
    folder: Path,
    photos: TrainingPhotos | None,
    workers: int,
    say: Say,
) -> Pool:
    parts: list[Tensor] = []
    groups: list[tuple[NDArray[np.int64], ...]] = []
    if config.scenes > 1:
        say(f"making {config.scenes} scenes of {config.side} px (once)")
        # Beside the training's folder: others with the same scenes use them too.
        kept = folder.parent / "scenes"
        made = pictures.scene_pool(config.scenes, config.side, config.seed, workers, kept)
        parts.append(torch.from_numpy(np.array(made)))
        groups.append(tuple(np.array([i]) for i in range(len(made))))
    if photos is not None:
        say(f"reading {len(photos.labels)} photos")
        parts.append(torch.from_numpy(pictures.squares(photos, config.side)))
        places = pictures.positions(photos.labels).values()
        groups.append(tuple(np.array(where, np.int64) for where in places))
    return Pool(tuple(part.to(machine.device) for part in parts), tuple(groups))


def width_at(grow: tuple[tuple[float, float], ...], fraction: float) -> float:
    """The share of the channels that the network has at a fraction of the training."""
    return [width for width, start in grow if start <= fraction][-1]


def _check_growth(grow: tuple[tuple[float, float], ...]) -> None:
    widths, starts = [width for width, _ in grow], [start for _, start in grow]
    rises = all(b % a == 0 for a, b in pairwise(widths)) and starts == sorted(set(starts))
    fits = all(64 * width == int(64 * width) >= 4 for width in widths)  # the fewest of a layer
    if not grow or widths[-1] != 1 or starts[0] != 0 or starts[-1] >= 1 or not (rises and fits):
        said = ",".join(f"{width:g}@{start:g}" for width, start in grow)
        raise PlaygroundError(
            f"--grow {said} is not possible. Legal: WIDTH@START between commas, from @0, each "
            "width a multiple of the one before, the last one 1, such as 0.25@0,0.5@0.4,1@0.7."
        )


def _views(
    batch: Tensor,
    scenes: int,
    config: PretrainConfig,
    fraction: float,
    rng: np.random.Generator,
) -> Tensor:
    """Views of a step, all of one size: of the first ``scenes`` pictures and of the photos."""
    side = _side(config, rng)
    share = min(1.0, fraction / config.ease) if config.ease else 1.0
    of_scenes = between(GENTLE, config.views, share)
    parts = [(batch[:scenes], of_scenes), (batch[scenes:], config.photo_views)]
    return torch.cat([random_views(b, side, rng, how) for b, how in parts if len(b)])


def _side(config: PretrainConfig, rng: np.random.Generator) -> int:
    """Side of a step's views: multiples of 16 px, so that the network sees several scales."""
    if config.max_pixels <= config.pixels:
        return config.pixels
    return int(rng.choice(np.arange(config.pixels, config.max_pixels + 1, 16)))


def _grown(
    config: PretrainConfig, model: Discriminator, width: float
) -> tuple[Discriminator, torch.optim.Optimizer]:
    """The same function with more channels, and an optimiser that starts anew."""
    grown, optimiser = _model(config, width)
    rng = np.random.default_rng((config.seed, 5, round(1024 * width)))
    thin = {name: value.cpu() for name, value in model.state_dict().items()}
    grown.load_state_dict(widened(thin, grown.state_dict(), rng))
    return grown, optimiser


def _model(
    config: PretrainConfig, width: float = 1.0
) -> tuple[Discriminator, torch.optim.Optimizer]:
    trunk = trainable_trunk(config.network, width)
    channels = int(TRUNKS[config.network].channels * width)
    model = seeded(lambda: Discriminator(trunk, channels, config.projection))
    assert isinstance(model, Discriminator)
    return model, adamw(model, config.learning_rate, config.weight_decay)


def trained_state(network: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trunk of a checkpoint's tensors in torchvision's names, BatchNorm folded for vgg16."""
    prefix = "network.embedding.trunk.module."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    trunk = trainable_trunk(network)
    trunk.load_state_dict(state)
    return trunk_state(network, trunk.eval())
