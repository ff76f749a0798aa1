"""DELF's training: the trunk learns to name landmarks, then the attention alone, then the PCA.

Noh, Araujo, Sim, Weyand, Han: Large-scale image retrieval with attentive deep local features,
ICCV 2017. The trunk (the paper's: a whole ResNet50) is fine-tuned as a classifier of landmarks; it
is cut where the features are taken (there after conv4_x) and frozen; the attention learns, through
a classifier of the attention-weighted mean of the features, which places tell landmarks apart;
pictures come at random sizes meanwhile. Last, local features of training photos give the PCA.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from data.artefact import digest
from data.errors import PlaygroundError
from extractors.delf import PCA_COMPONENTS, PCA_MEAN, TAPS, Delf, DelfConfig
from extractors.modules import Attention
from extractors.pooling import l2n
from extractors.training.checkpoint import Progress, Run, pack, to_device, unpack
from extractors.training.machine import Machine
from extractors.training.networks import freeze_batchnorm, trained_trunk
from extractors.training.photos import Split, TrainingPhotos, positions, square
from extractors.training.session import Limits, Say, Session, cosine
from extractors.training.siamese import random_square
from extractors.training.views import GENTLE, ViewConfig, random_views
from extractors.trunks import LITE0, TRUNKS, normalised
from extractors.weights import Weights, load_into, read_state, resolve, seeded

STAGES = ("trunk", "attention")
OF_ANY_SIZE = dataclasses.replace(GENTLE, size=(0.35, 1.0))
BEST = "best.safetensors"
LOG_STEPS = 10
PCA_PHOTOS = 256  # that local features are taken from
_MARGIN = 8 / 7  # pictures are read so much larger than the views taken from them


@dataclasses.dataclass(frozen=True)
class DelfTrainingConfig:
    """What decides the result."""

    network: str = "resnet50"  # the trunk, the paper's; or efficientnet-lite0
    weights: str = "auto"  # of the trunk to start from
    pixels: int = 224  # side of the views, px
    batch: int = 32  # pictures per step and process
    learning_rate: float = 1e-4  # of Adam, at its highest, for the trunk
    # The attention reads features some 30 long: ten times this and its scores fall to zero within
    # an epoch, for good.
    attention_rate: float = 1e-4
    classifier_rate: float = 1e-3  # of both stages' classifiers
    weight_decay: float = 1e-5
    # Weights whose attention is trained further, such as bundled or file:PATH; None: a new one.
    attention: str | None = None
    tune: bool = True  # False: keep the trunk as it is and train the attention only
    batchnorm: str = "eval"  # or "train"
    patience: int = 5  # epochs without a better held-out accuracy; 0 = never stop early
    hold_out: float = 0.2  # share of each landmark's photos
    views: ViewConfig = GENTLE
    attention_views: ViewConfig = OF_ANY_SIZE
    dim: int = 40  # of the PCA; 0 = none, each collection fits its own
    seed: int = 0


class Classifier(nn.Module):
    """Stage 1: trunk, mean over the map, one logit per landmark."""

    def __init__(self, trunk: nn.Module, landmarks: int, network: str = "resnet50") -> None:
        super().__init__()
        self.trunk = trunk
        self.logits = nn.Linear(TRUNKS[network].channels, landmarks)

    def head(self, features: Tensor) -> Tensor:
        return self.logits(features.mean(dim=(2, 3)))


class AttentionClassifier(nn.Module):
    """Stage 2: the cut trunk as it is, mean of attention x L2-normalised feature, logits.

    Unlike the paper's, the classifier stands on a LayerNorm: a mean of unit vectors has 1,024
    small numbers, from which a linear layer learns slowly.
    """

    def __init__(self, cut: nn.Module, landmarks: int, network: str = "resnet50") -> None:
        super().__init__()
        channels = TAPS[network].channels
        self.trunk = cut.requires_grad_(False)
        self.attention = Attention(channels)
        self.logits = nn.Sequential(
            nn.LayerNorm(channels, elementwise_affine=False), nn.Linear(channels, landmarks)
        )

    def head(self, features: Tensor) -> Tensor:
        weighted = self.attention(features) * l2n(features)
        return self.logits(weighted.mean(dim=(2, 3)))


def optimiser_of(
    stage: Classifier | AttentionClassifier, config: DelfTrainingConfig
) -> torch.optim.Optimizer:
    """Adam with each part's own rate."""
    rates = [(stage.logits, config.classifier_rate), (stage.trunk, config.learning_rate)]
    if isinstance(stage, AttentionClassifier):
        rates.append((stage.attention, config.attention_rate))
    groups: list[dict[str, Any]] = []
    for part, rate in rates:
        learned = [p for p in part.parameters() if p.requires_grad]
        if learned:
            groups.append({"params": learned, "base": rate})
    return torch.optim.Adam(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


class Running(nn.Module):
    """Either stage on a machine: (B, 3, H, W) in [0, 1] -> logits; the head in fp32."""

    def __init__(
        self, stage: Classifier | AttentionClassifier, machine: Machine, network: str
    ) -> None:
        super().__init__()
        self.stage = stage
        self._normalise = normalised(network, nn.Identity()).to(machine.device)
        self._machine = machine

    def forward(self, x: Tensor) -> Tensor:
        frozen = not any(p.requires_grad for p in self.stage.trunk.parameters())
        with self._machine.autocast(), torch.no_grad() if frozen else contextlib.nullcontext():
            x = self._normalise(x).contiguous(memory_format=torch.channels_last)
            features = self.stage.trunk(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.stage.head(features.float())


class Squares(Dataset[tuple[NDArray[np.uint8], int]]):
    """Pictures as squares with the number of their landmark, read by worker processes.

    ``seed`` None takes the middle of each picture, else a random place.
    """

    def __init__(
        self,
        photos: TrainingPhotos,
        where: Sequence[int],
        targets: Sequence[int],
        side: int,
        seed: tuple[int, ...] | None,
    ) -> None:
        self.photos, self.where, self.targets = photos, list(where), list(targets)
        self.side, self.seed = side, seed

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, i: int) -> tuple[NDArray[np.uint8], int]:
        place = self.where[i]
        photo = self.photos.read(place, 2 * self.side)
        if self.seed is None:
            return square(photo, self.side), self.targets[i]
        rng = np.random.default_rng((*self.seed, place))
        return random_square(photo, self.side, rng), self.targets[i]


def split_photos(labels: Sequence[str], share: float, seed: int) -> Split:
    """Hold out photos of every landmark that has two or more; landmarks with one are left out.

    Raises:
        PlaygroundError: fewer than 2 landmarks with two or more photos.
    """
    if not 0 <= share <= 0.5:
        raise PlaygroundError(f"--hold-out {share} is not possible. Legal: 0 to 0.5.")
    rng = np.random.default_rng((seed, 1))
    train: list[int] = []
    held: list[int] = []
    able = {label: where for label, where in positions(labels).items() if len(where) > 1}
    if len(able) < 2:
        raise PlaygroundError(
            f"DELF learns from two or more landmarks with two or more photos each, and there are "
            f"{len(able)}. Add photos with labels."
        )
    for label in sorted(able):
        where = rng.permutation(able[label])
        count = max(1, round(share * len(where))) if share else 0
        held += where[:count].tolist()
        train += where[count:].tolist()
    return Split(tuple(sorted(train)), tuple(sorted(held)))


def train_delf(
    config: DelfTrainingConfig,
    limits: dict[str, Limits],
    machine: Machine,
    folder: Path,
    photos: TrainingPhotos,
    *,
    workers: int = 0,
    say: Say = print,
) -> dict[str, Progress]:
    """Both stages, going on from their checkpoints; ``assembled`` gives the result.

    Args:
        limits: of the stages, by name. A stage that ended is not trained again.
        photos: labelled pictures.

    Returns:
        The progress of the stages that were begun; a paused one is the last.
    """
    if config.network not in TAPS:
        raise PlaygroundError(
            f"--network {config.network} is no trunk of DELF's. Legal: {', '.join(TAPS)}."
        )
    trunk, found = trained_trunk(config.network, config.weights)
    split = split_photos(photos.labels, config.hold_out, config.seed)
    names = sorted({photos.labels[i] for i in split.train})
    outcome: dict[str, Progress] = {}
    for stage in STAGES:
        if stage == "trunk" and not config.tune:
            continue
        model: Classifier | AttentionClassifier
        if stage == "trunk":
            made = seeded(lambda trunk=trunk: Classifier(trunk, len(names), config.network))  # type: ignore[misc]
        else:
            if config.tune:
                trunk.load_state_dict(_trunk_part(_best(folder / "trunk")))
            cut = TAPS[config.network].cut(trunk)
            made = seeded(
                lambda cut=cut: AttentionClassifier(cut, len(names), config.network)  # type: ignore[misc]
            )
        assert isinstance(made, Classifier | AttentionClassifier)
        model = made
        if isinstance(model, AttentionClassifier) and config.attention is not None:
            load_into(model.attention, _attention_part(config), config.attention)
        run = Run(folder / stage, recipe(config, photos, found.sha256, stage))
        with run.locked() if machine.leads else contextlib.nullcontext():
            training = _Stage(
                stage,
                config,
                limits[stage],
                machine,
                run,
                photos,
                split,
                names,
                model,
                workers,
                say,
            )
            outcome[stage] = training.run_all()
        if outcome[stage].ended == "paused":
            break
    return outcome


def recipe(
    config: DelfTrainingConfig, photos: TrainingPhotos, trunk_sha256: str, stage: str
) -> dict[str, Any]:
    """What a checkpoint must agree on to be continued. How long it trains is not part of it."""
    settings = dataclasses.asdict(config)
    del settings["weights"]
    if config.attention is not None:  # which, wherever it lies
        settings["attention"] = _attention_weights(config).sha256
    return {
        "kind": "delf",
        "stage": stage,
        **settings,
        "trunk_sha256": trunk_sha256,  # which weights, wherever they lie
        "photos": photos.fingerprint,
        "labels": digest(list(photos.labels)),
    }


def _attention_weights(config: DelfTrainingConfig) -> Weights:
    """The weights that ``attention`` names."""
    assert config.attention is not None
    row = "delf" if config.network == LITE0 else f"delf-{config.network}"
    return resolve(row, config.attention, fallback=False)


def _attention_part(config: DelfTrainingConfig) -> dict[str, Tensor]:
    """Their attention's tensors, in its own names."""
    found = _attention_weights(config)
    state = {} if found.path is None else read_state(found.path)
    part = {k.removeprefix("attention."): v for k, v in state.items() if k.startswith("attention.")}
    if not part:
        raise PlaygroundError(f"--attention {config.attention}: there is no attention in it.")
    return part


class _Stage:
    """One process's state of one stage."""

    def __init__(
        self,
        name: str,
        config: DelfTrainingConfig,
        limits: Limits,
        machine: Machine,
        run: Run,
        photos: TrainingPhotos,
        split: Split,
        names: Sequence[str],
        model: Classifier | AttentionClassifier,
        workers: int,
        say: Say,
    ) -> None:
        self.config, self.machine, self.run = config, machine, run
        self.photos, self.split, self.workers = photos, split, workers
        number = {label: i for i, label in enumerate(names)}
        self.targets = [number.get(label, -1) for label in photos.labels]
        self.name, self.model = name, model
        self.views = config.views if name == "trunk" else config.attention_views
        self.optimiser = optimiser_of(model, config)
        self.scaler = machine.scaler()
        found = run.load()
        self.progress = found[1] if found is not None else Progress()
        if found is not None:
            unpack(found[0], model, self.optimiser)
            if "scaler" in self.progress.extra:
                self.scaler.load_state_dict(self.progress.extra["scaler"])
        model.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        to_device(self.optimiser, machine.device)
        self.running = Running(model, machine, config.network)
        self.session = Session(limits, self.progress, machine, say)

    def run_all(self) -> Progress:
        progress = self.progress
        if progress.ended in ("done", "stopped early"):
            return progress
        progress.ended = ""
        trained = self.machine.distributed(self.running)
        while not progress.ended:
            if self.session.over:
                progress.ended = "done"
                break
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
        if self.name == "attention":
            self.model.trunk.eval()
        elif self.config.batchnorm == "eval":
            freeze_batchnorm(self.model)

    def epoch(self, trained: nn.Module) -> bool:
        """Go through what is left of the epoch's pictures; whether it came to its end."""
        progress, session, config = self.progress, self.session, self.config
        self.mode()
        at = int(progress.extra.get("picture", 0))
        rng = np.random.default_rng((config.seed, 2, progress.epoch))
        order = np.array(self.split.train)[rng.permutation(len(self.split.train))]
        total, since = 0.0, 0
        for views, targets in self._batches(order[at:].tolist(), at):
            rate = cosine(session.fraction)
            for group in self.optimiser.param_groups:
                group["lr"] = group["base"] * rate
            loss = F.cross_entropy(trained(views), targets)
            self.optimiser.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimiser)
            self.scaler.update()
            at += config.batch * self.machine.world
            progress.step += 1
            progress.extra["picture"] = at
            total, since = total + float(loss.detach()), since + 1
            ended = at >= len(order)
            if since == LOG_STEPS or ended:
                session.record(loss=total / since, done=session.fraction)
                total, since = 0.0, 0
            if ended:
                break
            if session.over or session.paused:
                progress.ended = "done" if session.over else "paused"
                return False
            if session.save_due:
                self.save()
        progress.extra["picture"] = 0
        progress.epoch += 1
        return True

    def _batches(self, order: list[int], at: int) -> Iterator[tuple[Tensor, Tensor]]:
        # Every process takes part in every step: the last picture fills up.
        order = order + [order[-1]] * (-len(order) % self.machine.world)
        mine = list(self.machine.share(order))
        seed = (self.config.seed, 3, self.progress.epoch)
        side = round(self.config.pixels * _MARGIN)
        loader = self._loader(mine, side, seed)
        for number, (pictures, targets) in enumerate(loader):
            place = at + number * self.config.batch * self.machine.world + self.machine.rank
            rng = np.random.default_rng((*seed, 4, place))
            pictures = pictures.to(self.machine.device)
            views = random_views(pictures, self.config.pixels, rng, self.views)
            yield views, targets.to(self.machine.device)

    def _loader(
        self, where: list[int], side: int, seed: tuple[int, ...] | None
    ) -> DataLoader[tuple[NDArray[np.uint8], int]]:
        targets = [self.targets[i] for i in where]
        squares = Squares(self.photos, where, targets, side, seed)
        return DataLoader(squares, self.config.batch, num_workers=self.workers)

    def validate(self) -> None:
        """Accuracy on the held-out photos; keep the network if it is the best so far."""
        progress, held = self.progress, list(self.split.validation)
        accuracy = None
        if held:
            self.model.eval()
            right = 0
            with torch.inference_mode():
                for pictures, targets in self._loader(held, self.config.pixels, None):
                    x = pictures.to(self.machine.device).permute(0, 3, 1, 2).float() / 255
                    found = self.running(x).argmax(dim=1).cpu()
                    right += int((found == targets).sum())
            accuracy = right / len(held)
            self.session.record(accuracy=accuracy)
        best = progress.extra.get("best")
        if best is None or accuracy is None or accuracy > best["accuracy"]:
            progress.extra["best"] = {"accuracy": accuracy, "epoch": progress.epoch}
            if self.machine.leads:
                self.run.save_as(BEST, self.model.state_dict(), progress)

    def stale(self) -> bool:
        if not self.config.patience or not self.split.validation:
            return False
        return self.progress.epoch - self.progress.extra["best"]["epoch"] >= self.config.patience

    def save(self) -> None:
        if self.scaler.is_enabled():
            self.progress.extra["scaler"] = self.scaler.state_dict()
        if self.machine.leads:
            self.run.save(pack(self.model, self.optimiser), self.progress)


def _best(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / BEST)


def _trunk_part(state: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "trunk."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def assembled(folder: Path) -> dict[str, Tensor]:
    """The trained network in the names of ``extractors.delf``: ``trunk.*``, ``attention.*``."""
    state = _best(folder / "attention")
    return {k: v for k, v in state.items() if not k.startswith("logits.")}


def local_pca(
    weights: Path, photos: TrainingPhotos, dim: int, seed: int, network: str = "resnet50"
) -> dict[str, Tensor]:
    """The PCA of local features of training photos, as DELF takes them.

    Args:
        weights: a file with what ``assembled`` gave.

    Returns:
        What is added to that file, so that no PCA is fitted on the searched collection.
    """
    extractor = Delf(DelfConfig(dim=dim, trunk=network), weights=f"file:{weights}")
    count = len(photos.labels)
    rng = np.random.default_rng((seed, 5))
    chosen = np.sort(rng.permutation(count)[:PCA_PHOTOS])
    side = extractor.image_size
    read = (photos.read(int(i), side) for i in chosen)
    extractor.fit(extractor.describe(extractor.prepare(photo)) for photo in read)
    state = extractor.state()
    return {
        PCA_MEAN: torch.from_numpy(state["mean"]),
        PCA_COMPONENTS: torch.from_numpy(state["components"]),
    }
