"""DELF: attentive local features of a trunk's cells, with their places in the photo."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, Card, Features, Prepared, Raw, crop_and_shrink, l2_normalise
from extractors.cnn import NetworkExtractor, check_image_size, rescale, to_array
from extractors.trunks import LITE0, normalised, trunk
from extractors.weights import (
    HEAD_SOURCE,
    TRUNK_OF,
    Weights,
    head_source,
    header,
    load_into,
    own_or_trunk,
    read_state,
    resolve,
    seeded,
    trunk_of_head,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

PCA_MEAN, PCA_COMPONENTS = "pca.mean", "pca.components"  # (C,), (d, C) in a weights file


@dataclasses.dataclass(frozen=True)
class Tap:
    """Where in a trunk the local features are taken.

    Attributes:
        channels: of the map, C.
        stride: px of the photo from cell to cell.
        patch: px; side of the region that a cell describes; of the ResNet50 its receptive field,
            which is 267 in torchvision's and 291 in TF-slim's, where strides come later.
        cut: the part of the trunk that is run.
        first: px of the first cell's centre, along a side of n px.
    """

    channels: int
    stride: int
    patch: int
    cut: Callable[[nn.Module], nn.Module]
    first: Callable[[int], int]


def _block3(resnet: nn.Module) -> nn.Module:
    from torch import nn

    assert isinstance(resnet, nn.Sequential)
    return resnet[:-1]  # without layer4


def _first_of_same(side: int) -> int:
    """After TensorFlow's "same" padding of five layers of stride 2.

    On an even side it pads the end alone, so that the layer moves the centres by half its stride.
    """
    first, step = 0, 1
    for _ in range(5):
        first += step * (side % 2 == 0)
        step *= 2
        side = -(-side // 2)
    return first


TAPS = {
    # Its cells' theoretical receptive field covers most photos; the middle of it is what counts.
    LITE0: Tap(1280, 32, 128, lambda module: module, _first_of_same),
    # conv4_x ("block3"): torchvision's ResNet50 has no extra stride after it.
    "resnet50": Tap(1024, 16, 267, _block3, lambda side: 0),
}


@dataclasses.dataclass(frozen=True)
class DelfConfig:
    image_size: int = 0  # px, longer side; 0: the weights' own, or ``usual_size``
    scales: tuple[float, ...] = (0.5, 0.7071, 1.0, 1.4142)  # the paper: 0.25 to 2, seven of them
    max_features: int = 200  # per photo, by attention; DELF: 1000
    dim: int = 64  # of the PCA; DELF: 40
    trunk: str = LITE0  # or resnet50, the paper's


class Delf(NetworkExtractor):
    """Up to ``max_features`` vectors of ``dim`` per photo, with x, y, scale and attention."""

    name = "delf"
    evidence = "matches"
    version = 2
    usual_size = 448
    network_fields = ("trunk",)
    local = True
    fit_sample = 64
    card = Card(
        title="DELF",
        paper="Noh, Araujo, Sim, Weyand, Han: Large-scale image retrieval with attentive deep "
        "local features, ICCV 2017",
        url="https://arxiv.org/abs/1612.06321",
        idea="Instead of one vector per photo, hundreds: every cell of a network's feature map, "
        "at several scales, is a local feature, and an attention score keeps those worth "
        "keeping. Each of the query's features votes for the photos with similar ones; RANSAC "
        "then counts how many agree on one geometric transform, which count twice.",
        formula=r"s(q, x) = \text{votes} + \big|\{\text{matches } (i,j):\ "
        r"\lVert A\,p_i + t - p_j\rVert \le \tau\}\big|",
        parameters={
            "image_size": "longer side in px (never enlarged); 0: what the weights were trained "
            "for, 448 where they do not say; DELF's own limit is 1024",
            "scales": "factors of the image size; large ones see small details and cost most",
            "max_features": "features kept per photo, by attention",
            "dim": "length of a feature after PCA",
            "trunk": "efficientnet-lite0, or resnet50 as in the paper",
        },
        licence="Apache-2.0 (the authors' code; this is our own)",
        cost="A pass of the trunk per scale, and an index of hundreds of vectors per photo.",
    )

    def __init__(self, config: DelfConfig, weights: str = "auto") -> None:
        check_image_size(config.image_size, weights_decide=True)
        if not config.scales or not all(0.1 <= s <= 4 for s in config.scales):
            raise PlaygroundError(
                f"scales={config.scales} are not possible. Legal: one or more of 0.1 to 4."
            )
        if not 10 <= config.max_features <= 10_000:
            raise PlaygroundError(
                f"max_features={config.max_features} is not possible. Legal: 10 to 10000."
            )
        if config.trunk not in TAPS:
            raise PlaygroundError(
                f"trunk={config.trunk} is not possible for delf. Legal: {', '.join(TAPS)}."
            )
        self._tap = TAPS[config.trunk]
        if not 2 <= config.dim <= self._tap.channels:
            raise PlaygroundError(
                f"dim={config.dim} is not possible. Legal: 2 to {self._tap.channels}."
            )
        super().__init__(config, weights)
        self.network_name = "delf" if config.trunk == LITE0 else f"delf-{config.trunk}"
        self._mean: NDArray[np.float32] | None = None
        self._components: NDArray[np.float32] | None = None

    @property
    def dim(self) -> int:
        return int(self.config.dim)

    def identity(self) -> dict[str, Any]:
        # The ResNet50's cells were said to be 291 px wide before: it stands in the geometry.
        return super().identity() | ({} if self.config.trunk == LITE0 else {"patch": 267})

    @property
    def photo_bytes(self) -> int:
        return 4 * int(self.config.max_features) * (self.dim + 4)  # vectors and geometry

    @property
    def weights(self) -> Weights:  # type: ignore[override]
        return self._resolved()[0]

    @functools.cached_property
    def image_size(self) -> int:
        """The size that a trunk's pooled vectors do best with says nothing about its cells."""
        of_trunk = self._resolved()[1] is not None
        return int(self.config.image_size) or (self.usual_size if of_trunk else super().image_size)

    def _resolved(self) -> tuple[Weights, Weights | None]:
        """(weights as recorded, trunk's weights where only the trunk is trained)."""
        if "_pair" not in self.__dict__:
            wanted = "bundled" if self._wanted == HEAD_SOURCE else self._wanted
            own, base = own_or_trunk(self.network_name, self.config.trunk, wanted)
            if base is not None:
                own = Weights(self.network_name, base.source, base.path, base.sha256)
            assert own is not None
            self._pair: tuple[Weights, Weights | None] = (head_source(own), base)
        return self._pair

    def build_network(self) -> nn.Module:
        from extractors.modules import Attention, DelfNetwork, NormAttention

        own, base = self._resolved()
        name = self.config.trunk
        if base is not None:
            features = self._tap.cut(trunk(name, base))
            return normalised(name, DelfNetwork(features, NormAttention())).eval()
        assert own.path is not None
        state = self._trained_state(own.path)
        # A file of ours may hold the attention alone, or with what training changed of the trunk.
        whole = TRUNK_OF not in header(own.path) and any(k.startswith("trunk.") for k in state)
        beside = (
            resolve(name, "untrained")
            if whole
            else trunk_of_head(own.path, name, "scripts.train_delf")
        )
        features = self._tap.cut(trunk(name, beside))
        module = seeded(lambda: DelfNetwork(features, Attention(self._tap.channels)))
        state = {f"trunk.{k}": v for k, v in features.state_dict().items()} | state
        load_into(module, state, str(own.path))
        return normalised(name, module).eval()

    @staticmethod
    def _trained_state(path: Path) -> dict[str, Tensor]:
        """The network's tensors of a file, without the PCA that may be beside them."""
        state = read_state(path)
        return {k: v for k, v in state.items() if k not in (PCA_MEAN, PCA_COMPONENTS)}

    def _trained_pca(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Mean and components that come with the weights; None where they have too few, or none."""
        own, base = self._resolved()
        if base is not None or own.path is None:
            return None
        state = read_state(own.path)
        if PCA_MEAN not in state or PCA_COMPONENTS not in state:
            return None
        mean, components = state[PCA_MEAN].numpy(), state[PCA_COMPONENTS].numpy()
        channels = self._tap.channels
        if mean.shape != (channels,) or components.shape[1:] != (channels,):
            raise PlaygroundError(
                f"{own.path} has a PCA of shapes {mean.shape} and {components.shape}; expected "
                f"({channels},) and (d, {channels}). Train DELF again."
            )
        return (mean, components[: self.dim]) if len(components) >= self.dim else None

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return crop_and_shrink(photo, box, self.image_size)

    def describe(self, prepared: Prepared) -> Raw:
        """``descriptors`` (n, C) float16, L2-normalised; ``geometry`` (n, 4) float32."""
        network, tap = self.load(), self._tap
        pixels = to_array([prepared.pixels])
        height, width = prepared.pixels.shape[:2]
        maps, cells, geometry = [], [], []
        for scale in self.config.scales:
            resized = rescale(pixels, scale)
            output = network(resized)[0]  # (C + 1, h, w)
            rows, columns = np.divmod(np.arange(output[0].size), output.shape[2])
            # The exact factor: sizes are rounded to whole pixels.
            factor_x = resized.shape[3] / pixels.shape[3]
            factor_y = resized.shape[2] / pixels.shape[2]
            x = columns * tap.stride + tap.first(resized.shape[3])
            y = rows * tap.stride + tap.first(resized.shape[2])
            xy = np.stack(
                [(x + 0.5) / factor_x - 0.5, (y + 0.5) / factor_y - 0.5],
                axis=1,
            ).astype(np.float32)
            inside = (xy[:, 0] < width) & (xy[:, 1] < height)  # not in the padding
            side = np.full(len(xy), tap.patch / scale, np.float32)
            place = np.column_stack([prepared.to_photo(xy), side, output[-1].ravel()])
            maps.append(output[:-1].reshape(len(output) - 1, -1))
            cells.append(np.flatnonzero(inside))
            geometry.append(place[inside].astype(np.float32))
        places = np.concatenate(geometry)
        # Stable: equal scores keep their order, so that the same photo gives the same features.
        best = np.argsort(-places[:, 3], kind="stable")[: self.config.max_features]
        # Of the maps only what is kept is gathered.
        origins = np.repeat(np.arange(len(maps)), [len(one) for one in cells])[best]
        places, chosen = places[best], np.concatenate(cells)[best]
        vectors = np.empty((len(best), tap.channels), np.float32)
        for number, one in enumerate(maps):
            vectors[origins == number] = one[:, chosen[origins == number]].T
        places[:, 2] /= np.float32(np.mean(prepared.scale))
        return {
            "descriptors": l2_normalise(vectors).astype(np.float16),
            "geometry": places,
        }

    def fit(self, raws: Iterable[Raw]) -> None:
        """PCA of the sample's descriptors, without whitening; or the one of the weights file."""
        trained = self._trained_pca()
        if trained is not None:
            self._mean, self._components = (np.ascontiguousarray(x, np.float32) for x in trained)
            return
        count = 0
        channels = self._tap.channels
        total = np.zeros(channels)
        products = np.zeros((channels, channels))
        for raw in raws:
            x = raw["descriptors"].astype(np.float64)
            count += len(x)
            total += x.sum(axis=0)
            products += x.T @ x
        if count <= self.dim:
            raise PlaygroundError(
                f"DELF needs more than {self.dim} local features to learn its PCA and the "
                f"collection gave {count}. Add photos to the collection."
            )
        mean = total / count
        covariance = products / count - np.outer(mean, mean)
        _, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        components = vectors[:, ::-1][:, : self.dim].T
        # An eigenvector's sign is arbitrary: make its largest entry positive.
        largest = np.abs(components).argmax(axis=1)
        components *= np.sign(components[np.arange(len(components)), largest])[:, None]
        self._mean = mean.astype(np.float32)
        self._components = np.ascontiguousarray(components, dtype=np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        if self._mean is None or self._components is None:
            return {}
        return {"mean": self._mean, "components": self._components}

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        shapes = {k: v.shape for k, v in state.items()}
        channels = self._tap.channels
        if shapes != {"mean": (channels,), "components": (self.dim, channels)}:
            raise PlaygroundError(
                f"The learned state of delf has arrays {shapes}; expected mean ({channels},) and "
                f"components ({self.dim}, {channels}). Build the collection's delf again."
            )
        self._mean = np.asarray(state["mean"], np.float32)
        self._components = np.asarray(state["components"], np.float32)

    def encode(self, raw: Raw) -> Features:
        if self._mean is None or self._components is None:
            raise PlaygroundError("delf has no PCA yet: call fit or load_state first.")
        x = raw["descriptors"].astype(np.float32)
        projected = np.asarray((x - self._mean) @ self._components.T, np.float32)
        vectors = l2_normalise(projected)
        return Features(vectors, raw["geometry"].astype(np.float32))
