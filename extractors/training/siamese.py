"""Siamese training: trunk, pooling and whitening, from tuples with hard negatives.

The recipe is that of Radenovic, Tolias, Chum (TPAMI 2019; cirtorch ``examples/train.py``): each
epoch draws queries, mines hard negatives with the current network, and trains on the tuples. GeM's
exponent learns ten times as fast and without weight decay; BatchNorm keeps its statistics. One
difference: a picture is seen as a square region of random place and light instead of whole, so
that tuples of photos of different shapes make one batch.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from data.artefact import digest
from data.errors import PlaygroundError
from extractors.base import RGB
from extractors.gem_siamese import NETWORKS, check_pooling, head_of, head_words
from extractors.modules import SiameseNetwork
from extractors.training.checkpoint import Progress, Run, pack, to_device, unpack
from extractors.training.describing import Floats, Score, describe
from extractors.training.losses import TupleLoss, tuple_loss
from extractors.training.machine import Machine
from extractors.training.mining import (
    Draw,
    difficulty,
    draw,
    groups,
    hardest_negatives,
    tuples_of_batch,
)
from extractors.training.networks import freeze_batchnorm, trained_trunk
from extractors.training.photos import Split, TrainingPhotos, positions, split_landmarks, square
from extractors.training.session import Limits, Say, Session
from extractors.training.views import GENTLE, ViewConfig, random_views
from extractors.training.whitening import pca_whitening, within_whitening
from extractors.trunks import LITE0, TRUNKS, normalised
from extractors.weights import Weights, read_state, resolve, seeded

LOG_STEPS = 10
BEST = "best.safetensors"
START = "start.safetensors"  # what ``average`` goes back towards
WHITENING_FLOOR = 1e-3  # of the largest eigenvalue, where whitening starts from
_MARGIN = 8 / 7  # pictures are read so much larger than the views taken from them


@dataclasses.dataclass(frozen=True)
class SiameseConfig:
    """What decides the result. Defaults are for a trunk that was trained from scratch."""

    network: str = "resnet50"  # or vgg16
    weights: str = "auto"  # of the trunk, see ``extractors.weights``
    loss: str = "contrastive"  # or another of ``losses.LOSSES``
    margin: float | None = None  # None: the one of ``losses.MARGINS``
    pooling: str = "gem"  # mac, spoc or rmac
    regional: bool = False  # whiten the regions of R-MAC and sum them (``pooling.whitened``)
    dim: int = 512  # of the whitened vector
    # How far the start evens out the principal components: 0.5 is whitening, the field's start for
    # classifiers' trunks; 0 only turns, which suits a trunk whose pooled vectors were trained to be
    # searched (``PretrainConfig.direct``).
    whitening: float = 0.5
    # Or the start is whitening by landmark (``whitening.within_whitening``), shrunk by this.
    shrink: float | None = None
    pixels: int = 224  # side of the views, px
    batch: int = 5  # tuples per step and process
    negatives: int = 5  # per tuple
    # Where negatives come from: the pool, "epoch" by epoch, which is the field's rule; or from the
    # "batch" itself, which then is ``batch`` landmarks with ``per_landmark`` photos each, and an
    # epoch is ``queries`` such groups.
    mining: str = "epoch"
    per_landmark: int = 4
    queries: int = 2000  # per epoch
    pool: int = 20_000  # photos that negatives are mined from
    learning_rate: float = 1e-5  # of Adam; 1e-6 for trunks from ImageNet
    head_rate: float | None = None  # of GeM's exponent and the last layer, where it is another one
    decay: float = 0.01  # the learning rate falls by exp(-decay) per epoch
    weight_decay: float = 1e-6
    p_factor: float = 10.0  # of the head's learning rate, for GeM's exponent
    tune: str = "all"  # parts of the trunk that are trained, such as "layer3,layer4"; "none"
    # Weight of ``kept_loss``, which holds the trunk to what it saw before; None = off.
    keep: float | None = None
    # Weights whose exponent and last layer training starts from, such as bundled or file:PATH,
    # instead of from a whitening of the training photos.
    head: str | None = None
    # The result lies this far on the straight line from the start's weights to the trained ones;
    # None = at its end. In between, photographs are told apart better than with either end's where
    # renders are learned from (Wortsman et al.: Robust fine-tuning of zero-shot models, CVPR 2022).
    average: float | None = None
    batchnorm: str = "eval"  # or "train": estimate its statistics again
    patience: int = 5  # epochs without a better validation mAP until it stops; 0 = never
    hold_out: float = 0.2  # share of the landmarks for validation
    views: ViewConfig = GENTLE
    seed: int = 0


class Trained(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, dim): the trunk in mixed precision, the head in fp32."""

    def __init__(self, network: SiameseNetwork, machine: Machine, trunk: str) -> None:
        super().__init__()
        self.network = network
        self._normalise = normalised(trunk, nn.Identity()).to(machine.device)
        self._machine = machine

    def features(self, x: Tensor) -> Tensor:
        with self._machine.autocast():
            x = self._normalise(x).contiguous(memory_format=torch.channels_last)
            out: Tensor = self.network.trunk(x)
        return out.float()

    def forward(self, x: Tensor, others: Tensor | None = None) -> Tensor:
        """With ``others``, maps of another trunk, their descriptors follow: (2 B, dim)."""
        features = self.features(x)
        if others is not None:
            features = torch.cat([features, others])
        with torch.autocast(x.device.type, enabled=False):
            return self.network.head(features)


class Pooled(nn.Module):
    """The descriptor before whitening: what whitening is learned from.

    Where regions are whitened, one of each picture, drawn.
    """

    def __init__(self, trained: Trained, seed: int) -> None:
        super().__init__()
        self.trained = trained
        self._rng = np.random.default_rng((seed, 7))

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.stack(self.trained.network.pooled(self.trained.features(x)), dim=1)
        drawn = self._rng.integers(parts.shape[1], size=len(x))
        return parts[torch.arange(len(x)), torch.from_numpy(drawn)]


def kept_loss(vectors: Tensor, before: Tensor) -> Tensor:
    """How far descriptors have left those that the untouched trunk gives: mean of 1 - cosine.

    Both (B, D) of unit length, of the same crops through the same head: what the photographs
    taught a trunk shall not be forgotten over renders (Li, Hoiem: Learning without forgetting,
    ECCV 2016, with cosines instead of a classifier's outputs).
    """
    return (1 - (vectors * before).sum(dim=1)).mean()


class Tuples(Dataset[tuple[int, NDArray[np.uint8]]]):
    """The pictures of tuples as (M, side, side, 3), read by worker processes."""

    def __init__(
        self,
        photos: TrainingPhotos,
        tuples: NDArray[np.int64],
        numbers: Sequence[int],
        side: int,
        seed: tuple[int, ...],
    ) -> None:
        self.photos, self.tuples, self.numbers = photos, tuples, list(numbers)
        self.side, self.seed = side, seed

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> tuple[int, NDArray[np.uint8]]:
        number = self.numbers[i]
        rng = np.random.default_rng((*self.seed, number))
        places = self.tuples[number]
        read = [self.photos.read(int(place), 2 * self.side) for place in places]
        return number, np.stack([random_square(photo, self.side, rng) for photo in read])


def random_square(photo: RGB, side: int, rng: np.random.Generator) -> RGB:
    """A square as large as the shorter side, anywhere along the longer one; (side, side, 3)."""
    height, width = photo.shape[:2]
    short = min(height, width)
    top = int(rng.integers(0, height - short + 1))
    left = int(rng.integers(0, width - short + 1))
    return square(photo[top : top + short, left : left + short], side)


def train_siamese(
    config: SiameseConfig,
    limits: Limits,
    machine: Machine,
    folder: Path,
    photos: TrainingPhotos,
    *,
    score: Score | None = None,
    workers: int = 0,
    say: Say = print,
) -> Progress:
    """Train until the limits or until validation stops rising, going on from a checkpoint.

    Args:
        photos: labelled pictures; whole landmarks are held out for validation.
        score: measures of the held-out landmarks' descriptors; ``map`` decides which epoch is
            the best one. None: the last epoch is the result.
        workers: processes that read pictures.

    Returns:
        How it went; ``ended`` is "done", "stopped early" or "paused".

    Raises:
        PlaygroundError: too few landmarks, or a checkpoint of another recipe.
    """
    _check_mining(config, photos)
    if config.mining == "epoch" and config.batch * config.negatives < 2:
        # pytorch-metric-learning takes a single pair for none and gives a loss of 0.
        raise PlaygroundError("--batch 1 --negatives 1 is not possible. Raise one of them.")
    if config.keep is not None and (config.keep <= 0 or config.tune == "none"):
        raise PlaygroundError(
            f"--keep {config.keep:g} --tune {config.tune} is not possible. Legal: a weight "
            f"above 0, and a part of the trunk to tune."
        )
    if config.average is not None and not 0 < config.average <= 1:
        raise PlaygroundError(
            f"--average {config.average:g} is not possible. Legal: above 0, to 1."
        )
    check_pooling(config.pooling, config.regional)
    trunk, found = trained_trunk(config.network, config.weights)
    run = Run(folder, recipe(config, photos, found.sha256))
    channels, head = TRUNKS[config.network].channels, (config.pooling, config.regional)
    network = seeded(lambda: SiameseNetwork(trunk, channels, config.dim, *head))
    assert isinstance(network, SiameseNetwork)
    with run.locked() if machine.leads else contextlib.nullcontext():
        return _Training(
            config, limits, machine, run, photos, network, score, workers, say
        ).run_all()


def recipe(config: SiameseConfig, photos: TrainingPhotos, trunk_sha256: str) -> dict[str, Any]:
    """What a checkpoint must agree on to be continued. How long it trains is not part of it."""
    settings = dataclasses.asdict(config)
    del settings["weights"]
    if config.head is not None:  # which, wherever it lies
        settings["head"] = _head_weights(config).sha256
    return {
        "kind": "siamese",
        **settings,
        "trunk_sha256": trunk_sha256,  # which weights, wherever they lie
        "photos": photos.fingerprint,
        "labels": digest(list(photos.labels)),
    }


class _Training:
    """One process's state of the training."""

    def __init__(
        self,
        config: SiameseConfig,
        limits: Limits,
        machine: Machine,
        run: Run,
        photos: TrainingPhotos,
        network: SiameseNetwork,
        score: Score | None,
        workers: int,
        say: Say,
    ) -> None:
        self.config, self.machine, self.run, self.photos = config, machine, run, photos
        self.score, self.workers = score, workers
        self.loss: TupleLoss = tuple_loss(config.loss, config.margin)
        hold_out = config.hold_out if score is not None else 0.0
        self.split: Split = split_landmarks(photos.labels, hold_out, config.seed)
        self.tuples: NDArray[np.int64] | None = None  # of the current epoch
        self.model = Trained(network, machine, config.network)
        self.untouched: Trained | None = None
        if config.keep is not None:
            self.untouched = copy.deepcopy(self.model).eval().requires_grad_(False)
            self.untouched.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        _choose_trained(network, config.tune)
        self.optimiser = _optimiser(network, config)
        self.scaler = machine.scaler()
        found = run.load()
        self.progress = found[1] if found is not None else Progress()
        if found is not None:
            tensors = found[0]
            unpack(tensors, network, self.optimiser)
            if "tuples" in tensors:
                self.tuples = tensors["tuples"].numpy()
            if "scaler" in self.progress.extra:
                self.scaler.load_state_dict(self.progress.extra["scaler"])
        network.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        to_device(self.optimiser, machine.device)
        self.start: dict[str, Tensor] | None = None  # where ``average`` asks for it
        if found is not None and (start := run.load(START)) is not None:
            self.start = start[0]
        self.session = Session(limits, self.progress, machine, say)
        self.say = say
        self.fresh = found is None

    def run_all(self) -> Progress:
        progress = self.progress
        if progress.ended in ("done", "stopped early"):
            return progress
        progress.ended = ""
        if self.fresh:
            if self.config.head is None:
                self.whiten()
            else:
                self.start_from(_head_weights(self.config))
            if self.config.average is not None:
                self.start = copy.deepcopy(self.model.network.state_dict())
                if self.machine.leads:
                    self.run.save_as(START, self.start, progress)
            self.validate()
            self.save()
        trained = self.machine.distributed(self.model)
        while not progress.ended:
            if self.session.over:
                progress.ended = "done"
                break
            if self.tuples is None:
                self.mine()
            whole = self.epoch(trained)
            if whole or progress.ended == "done":
                self.validate()
            if whole and self.stale():
                progress.ended = "stopped early"
            elif self.session.save_due:
                self.save()
        self.save()
        return progress

    def mode(self) -> None:
        self.model.train()
        if self.config.batchnorm == "eval":
            freeze_batchnorm(self.model)

    def describe(self, network: nn.Module, where: Sequence[int]) -> Floats:
        side = self.config.pixels
        return describe(network, self.photos, where, side, self.machine, workers=self.workers)

    def whiten(self) -> None:
        """Start from a whitening of the training photos: by PCA, as is usual, or by landmark."""
        where = self.split.train
        most = max(self.config.queries, self.config.pool)  # fewer than dim would leave some empty
        if len(where) > most:
            rng = np.random.default_rng((self.config.seed, 3))
            chosen = rng.choice(len(where), most, replace=False)
            where = tuple(where[i] for i in np.sort(chosen))
        self.say(f"whitening from {len(where)} photos")
        vectors = self.describe(Pooled(self.model, self.config.seed), where)
        if self.config.shrink is None:
            found = pca_whitening(vectors, WHITENING_FLOOR)
            rows = evened(found.P[: self.config.dim], self.config.whitening)
        else:
            labels = [self.photos.labels[i] for i in where]
            found = within_whitening(vectors, labels, self.config.shrink)
            rows = found.P[: self.config.dim]
        layer = self.model.network.whiten
        p = torch.from_numpy(rows.astype(np.float32))
        m = torch.from_numpy(found.m.astype(np.float32))
        with torch.no_grad():
            scale = p.norm()  # the size does not matter: descriptors are normalised after it
            layer.weight.copy_(p / scale * len(p) ** 0.5)
            layer.bias.copy_(-(p @ m) / scale * len(p) ** 0.5)

    def start_from(self, found: Weights) -> None:
        """Exponent and last layer of a network that was trained before."""
        assert found.path is not None
        state, own = read_state(found.path), self.model.network.state_dict()
        names = [name for name in own if not name.startswith("trunk.")]
        head = (self.config.pooling, self.config.regional)
        if head_of(found.path) != head or any(
            name not in state or state[name].shape != own[name].shape for name in names
        ):
            raise PlaygroundError(
                f"--head {self.config.head}: {found.path.name} has no head of {self.config.dim} "
                f"dimensions for the trunk {self.config.network} with {head_words(*head)}."
            )
        self.model.network.load_state_dict({name: state[name] for name in names}, strict=False)

    def mine(self) -> None:
        """The epoch's tuples: positions of pictures, (Q, M)."""
        config, epoch = self.config, self.progress.epoch
        rng = np.random.default_rng((config.seed, 4, epoch))
        labels, where, matches = self.photos.labels, self.split.train, self.photos.matches
        if config.mining == "batch":
            width = config.batch * self.machine.world
            many = max(config.queries, width)
            self.tuples = groups(labels, where, many, config.per_landmark, width, rng)
            return
        drawn = draw(labels, where, config.queries, config.pool, rng, matches)
        places = np.unique(np.concatenate([drawn.queries, drawn.positives, drawn.pool]))
        vectors = self.describe(self.model, places.tolist())
        row = {int(place): i for i, place in enumerate(places)}
        self.tuples = self._tuples(drawn, vectors, row, rng)

    def _tuples(
        self, drawn: Draw, vectors: Floats, row: dict[int, int], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        labels = self.photos.labels
        queries = vectors[[row[int(i)] for i in drawn.queries]]
        positives = vectors[[row[int(i)] for i in drawn.positives]]
        pool = vectors[[row[int(i)] for i in drawn.pool]]
        found = hardest_negatives(
            queries,
            [labels[i] for i in drawn.queries],
            pool,
            [labels[i] for i in drawn.pool],
            self.config.negatives,
        )
        self.session.record(mined=len(queries), **difficulty(queries, positives, pool[found]))
        tuples = [drawn.queries[:, None], drawn.positives[:, None], drawn.pool[found]]
        if not self.loss.pairs:
            return np.concatenate(tuples, axis=1)
        partners = self._partners(drawn.pool[found], rng)
        paired = np.stack([drawn.pool[found], partners], axis=2).reshape(len(found), -1)
        return np.concatenate([*tuples[:2], paired], axis=1)

    def _partners(
        self, negatives: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Another picture of each negative's landmark, from the training part."""
        where = np.asarray(self.split.train)
        members = positions([self.photos.labels[i] for i in where])
        partners = np.empty_like(negatives)
        for place, one in np.ndenumerate(negatives):
            same = where[members[self.photos.labels[one]]]
            partners[place] = rng.choice(same[same != one])
        return partners

    def epoch(self, trained: nn.Module) -> bool:
        """Train on what is left of the epoch's tuples; whether it came to its end."""
        config, progress, session = self.config, self.progress, self.session
        assert self.tuples is not None
        self.mode()
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * math.exp(-config.decay * progress.epoch)
        at = int(progress.extra.get("tuple", 0))
        width = config.batch * self.machine.world
        total, moved, since = 0.0, 0.0, 0
        for views in self._batches(at):
            loss, left = self._step(trained, views)
            at += width
            progress.step += 1
            progress.extra["tuple"] = at
            total, moved, since = total + loss, moved + left, since + 1
            ended = at >= len(self.tuples)
            if since == LOG_STEPS or ended:
                said = {"left": moved / since} if self.untouched is not None else {}
                exponent = {k: v.item() for k, v in self.model.network.pool.named_parameters()}
                session.record(loss=total / since, **said, **exponent, done=session.fraction)
                total, moved, since = 0.0, 0.0, 0
            if ended:
                break
            if session.over or session.paused:
                progress.ended = "done" if session.over else "paused"
                return False
            if session.save_due:
                self.save()
        self.tuples = None
        progress.extra["tuple"] = 0
        progress.epoch += 1
        return True

    def _batches(self, at: int) -> Iterator[Tensor]:
        """Views of the tuples from number ``at`` on: (T, M, 3, pixels, pixels)."""
        config = self.config
        assert self.tuples is not None
        rest = list(range(at, len(self.tuples)))
        # Every process takes part in every step: the last tuple fills up.
        rest += [rest[-1]] * (-len(rest) % self.machine.world)
        numbers = self.machine.share(rest)
        side = round(config.pixels * _MARGIN)
        seed = (config.seed, 5, self.progress.epoch)
        loader = DataLoader(
            Tuples(self.photos, self.tuples, numbers, side, seed),
            batch_size=config.batch,
            num_workers=self.workers,
        )
        for found, pictures in loader:
            rng = np.random.default_rng((*seed, 6, int(found[0])))
            flat = pictures.flatten(0, 1).to(self.machine.device)
            views = random_views(flat, config.pixels, rng, config.views)
            yield views.unflatten(0, tuple(pictures.shape[:2]))

    def _step(self, trained: nn.Module, views: Tensor) -> tuple[float, float]:
        """One step of the optimiser; the tuples' loss and ``kept_loss``."""
        flat = views.flatten(0, 1)
        left = flat.new_zeros(())
        if self.untouched is None:
            vectors = trained(flat)
        else:
            with torch.no_grad():
                maps = self.untouched.features(flat)
            vectors, before = trained(flat, maps).chunk(2)
            left = kept_loss(vectors, before)
        tuples = vectors.unflatten(0, tuple(views.shape[:2]))
        if self.config.mining == "batch":
            tuples = vectors[tuples_of_batch(tuples, self.config.negatives)]
        loss = self.loss(tuples)
        whole = loss + (self.config.keep or 0.0) * left
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(whole).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return float(loss.detach()), float(left.detach())

    def validate(self) -> None:
        """Score the held-out landmarks; keep the network if it is the best so far."""
        progress = self.progress
        values: dict[str, float] = {}
        with self.averaged():
            if self.score is not None:
                where = self.split.validation
                vectors = self.describe(self.model, where)
                values = self.score(vectors, [self.photos.labels[i] for i in where])
                self.session.record(**values)
            best = progress.extra.get("best")
            if self.score is None or best is None or values["map"] > best["map"]:
                progress.extra["best"] = {"map": values.get("map"), "epoch": progress.epoch}
                if self.machine.leads:
                    self.run.save_as(BEST, self.model.network.state_dict(), progress)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The weights that would be the result now; training goes on from its own."""
        if self.config.average is None:
            yield
            return
        assert self.start is not None  # saved before the first checkpoint
        network = self.model.network
        own = copy.deepcopy(network.state_dict())
        network.load_state_dict(interpolated(self.start, own, self.config.average))
        try:
            yield
        finally:
            network.load_state_dict(own)

    def stale(self) -> bool:
        """Whether validation has not risen for ``patience`` epochs."""
        patience = self.config.patience
        if not patience or self.score is None:
            return False
        return self.progress.epoch - self.progress.extra["best"]["epoch"] >= patience

    def save(self) -> None:
        if self.scaler.is_enabled():
            self.progress.extra["scaler"] = self.scaler.state_dict()
        if self.machine.leads:
            tensors = pack(self.model.network, self.optimiser)
            if self.tuples is not None:
                tensors["tuples"] = torch.from_numpy(self.tuples)
            self.run.save(tensors, self.progress)


def interpolated(
    start: dict[str, Tensor], end: dict[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights on the straight line between two of one network; counters are the end's."""
    return {
        name: torch.lerp(start[name].to(value), value, share)
        if value.is_floating_point()
        else value
        for name, value in end.items()
    }


def evened(rows: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """PCA whitening by a power of the eigenvalues: 0.5 whitens, 0 turns.

    Args:
        rows: of PCA whitening, (d, D); their lengths are 1 / sqrt(eigenvalue).
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / lengths ** (1 - 2 * exponent))


def _check_mining(config: SiameseConfig, photos: TrainingPhotos) -> None:
    if config.mining == "epoch":
        return
    if config.mining != "batch":
        raise PlaygroundError(f"--mining {config.mining} is unknown. Legal: epoch, batch.")
    if photos.matches:
        raise PlaygroundError(
            "--mining batch takes any two photos of a label for a match, and these photos list "
            "theirs. Legal: --mining epoch."
        )
    if tuple_loss(config.loss, config.margin).pairs:
        raise PlaygroundError(
            f"--mining batch is not possible with {config.loss}, whose negatives are pairs. Legal: "
            f"another --loss, or --mining epoch."
        )
    if (
        config.per_landmark < 2
        or not 1 <= config.negatives <= (config.batch - 1) * config.per_landmark
    ):
        raise PlaygroundError(
            f"--mining batch with --batch {config.batch} --per-landmark {config.per_landmark} "
            f"--negatives {config.negatives} is not possible. Legal: 2 or more photos of a "
            f"landmark, and negatives from 1 to the number of photos of a batch's other landmarks."
        )


def _head_weights(config: SiameseConfig) -> Weights:
    """The weights that ``head`` names."""
    assert config.head is not None
    own = NETWORKS.get(config.loss, NETWORKS["contrastive"])
    name = own if config.network == LITE0 else f"{own}-{config.network}"
    found = resolve(name, config.head, fallback=False)
    if found.path is None:
        raise PlaygroundError(f"--head {config.head}: untrained weights are no head to start from.")
    return found


def _choose_trained(network: SiameseNetwork, tune: str) -> None:
    """Freeze the parts of the trunk that are not named in ``tune``."""
    if tune == "all":
        return
    wanted = [] if tune == "none" else [part.strip() for part in tune.split(",")]
    names = [name for name, _ in network.trunk.named_parameters()]
    for part in wanted:
        if not any(_within(name, part) for name in names):
            tops = sorted({name.partition(".")[0] for name in names})
            raise PlaygroundError(
                f"--tune {tune}: the trunk has no part '{part}'. Legal: all, none, or parts such "
                f"as {', '.join(tops)}."
            )
    for name, parameter in network.trunk.named_parameters():
        parameter.requires_grad_(any(_within(name, part) for part in wanted))


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _optimiser(network: SiameseNetwork, config: SiameseConfig) -> torch.optim.Optimizer:
    rate = config.learning_rate
    head = rate if config.head_rate is None else config.head_rate
    trunk = [p for p in network.trunk.parameters() if p.requires_grad]
    groups = [
        {
            "params": list(network.pool.parameters()),
            "base": head * config.p_factor,
            "weight_decay": 0.0,
        },
        {"params": list(network.whiten.parameters()), "base": head},
    ]
    if trunk:
        groups.append({"params": trunk, "base": rate})
    for group in groups:
        group["lr"] = group["base"]
    return torch.optim.Adam(groups, lr=rate, weight_decay=config.weight_decay)
