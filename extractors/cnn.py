"""What the network extractors share: photo to tensor, and one global vector per photo."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from data.base import Box
from data.errors import PlaygroundError
from data.specs import spec_of
from extractors import converted, runtime
from extractors.base import (
    RGB,
    Extractor,
    Features,
    Floats,
    Prepared,
    Raw,
    crop,
    crop_and_shrink,
)
from extractors.pooling import Array, held_norms
from extractors.runtime import Network
from extractors.weights import Weights, resolve

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_SIDE = 32  # px; below it the trunks' strides leave no feature map
MAX_SIDE = 4096  # px; a larger photo would not fit into the memory of a small machine


def to_array(pixels: Sequence[RGB]) -> Floats:
    """Photos of one size -> (B, 3, H, W) float32 in [0, 1]; small sides are padded to 32 px."""
    height, width = pixels[0].shape[:2]
    batch = np.empty((len(pixels), 3, height, width), np.float32)
    for row, photo in zip(batch, pixels, strict=True):
        row[...] = photo.transpose(2, 0, 1)
    batch /= np.float32(255.0)
    if height < MIN_SIDE or width < MIN_SIDE:
        # Repeating the border, not enlarging: a query is never upsampled.
        padding = ((0, 0), (0, 0), (0, max(0, MIN_SIDE - height)), (0, max(0, MIN_SIDE - width)))
        batch = np.ascontiguousarray(np.pad(batch, padding, mode="edge"))
    return batch


def to_tensor(pixels: Sequence[RGB]) -> Tensor:
    """``to_array`` for torch."""
    import torch

    return torch.from_numpy(to_array(pixels))


def rescale(x: Array, factor: float) -> Array:
    """Bilinear, align_corners False (cirtorch's multi-scale), never below ``MIN_SIDE``."""
    if factor == 1.0:
        return x
    height, width = (max(MIN_SIDE, int(side * factor)) for side in x.shape[2:])
    if isinstance(x, np.ndarray):
        return _resample(_resample(x, 3, width), 2, height)
    import torch.nn.functional as F

    return F.interpolate(x, size=[height, width], mode="bilinear", align_corners=False)


def _resample(x: Floats, axis: int, length: int) -> Floats:
    """Linear along an axis, with torch's own rounding: in bfloat16 a last bit of the input moves a
    descriptor by a cosine of some 3e-5, and vectors that torch resized are on people's disks."""
    left, right, share = _places(x.shape[axis], length)
    if axis == 2:
        share = share[:, None]
    rest = np.float32(1) - share
    shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
    out = np.empty(shape, np.float32)
    # A channel at a time stays in the processor's caches.
    for plane, into in zip(x.reshape(-1, *x.shape[2:]), out.reshape(-1, *shape[2:]), strict=True):
        far = plane.take(right, axis - 2, mode="clip")
        far *= share
        # Its fused multiply-add rounds the product and the sum once.
        near = plane.take(left, axis - 2, mode="clip").astype(np.float64)
        near *= rest
        near += far
        into[...] = near
    return out


@functools.lru_cache(maxsize=256)
def _places(before: int, after: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """For each of ``after`` pixels of a line of ``before``: its two neighbours, and how far it is
    from the left one."""
    factor = np.float64(np.float32(before) / np.float32(after))  # torch rounds it to float32
    places = ((np.arange(after) + 0.5) * factor - 0.5).astype(np.float32)
    places = np.maximum(places, np.float32(0))
    left = np.minimum(places.astype(np.intp), before - 1)
    return left, np.minimum(left + 1, before - 1), places - left.astype(np.float32)


def squash(photo: RGB, box: Box | None, side: int) -> Prepared:
    """Crop, then resize to ``side`` x ``side`` px: fully connected layers accept no other size."""
    pixels, origin = crop(photo, box)
    resized = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    scale = (side / pixels.shape[1], side / pixels.shape[0])
    return Prepared(np.ascontiguousarray(resized), scale, origin)


def check_image_size(image_size: int, weights_decide: bool = False) -> None:
    """Refuse a size that is not possible; 0 is one where the weights may decide."""
    if weights_decide and image_size == 0:
        return
    if not MIN_SIDE <= image_size <= MAX_SIDE:
        raise PlaygroundError(
            f"image_size={image_size} is not possible. Legal: {MIN_SIDE} to {MAX_SIDE} px."
        )


class NetworkExtractor(Extractor):
    """Base of the extractors that run a network; loads it at the first use, once."""

    uses_weights: ClassVar[bool] = True
    network_name: str  # row of the weights table
    usual_size: ClassVar[int] = 320  # px, where neither the config nor the weights name a size
    untrained_fallback: ClassVar[bool] = True  # where "auto" finds no weights; else it refuses
    # The config's fields that decide the network, where all that follows it works without torch:
    # it is then converted once and kept (``extractors.converted``). None: it is not kept.
    network_fields: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, config: Any, weights: str = "auto") -> None:
        super().__init__(config)
        self._wanted = weights
        self._loading = threading.Lock()
        self._network: Network | None = None

    @functools.cached_property
    def weights(self) -> Weights:
        return resolve(self.network_name, self._wanted, self.untrained_fallback)

    @functools.cached_property
    def image_size(self) -> int:
        """Longer side in px that photos are shrunk to."""
        return int(self.config.image_size) or self.weights.image_size or self.usual_size

    def weights_identity(self) -> dict[str, str]:
        return self.weights.identity

    def load(self, streams: int = 1) -> Network:
        with self._loading:
            if self._network is None:
                self._network = self._made(streams)
            return self._network

    def _made(self, streams: int) -> Network:
        if self.network_fields is None or runtime.choose() != "openvino":
            return Network(self.build_network(), streams, self.probes())
        key = self.network_key()
        kept = converted.find(key)
        if kept is None and "torch" not in sys.modules:
            converted.elsewhere(spec_of(self.name, self.config), self._wanted)
            kept = converted.find(key)
        if kept is None:
            module = self.build_network()
            kept = converted.keep(key, module, self.head_arrays())
        self.take_head(kept.head)
        return Network.of_openvino(kept.model, streams, kept.cache)

    def network_key(self) -> dict[str, Any]:
        """Everything that decides the network and what was learned with it; JSON-able."""
        return {
            "extractor": self.name,
            "version": self.version,
            "config": {field: getattr(self.config, field) for field in self.network_fields or ()},
            "weights": self.weights_identity(),
        }

    def head_arrays(self) -> dict[str, NDArray[Any]]:
        """What follows the network, learned; known after ``build_network``."""
        return {}

    def take_head(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``head_arrays`` gave, in place of ``build_network``."""

    @property
    def loaded(self) -> bool:
        return self._network is not None

    def build_network(self) -> nn.Module:
        """The torch module to run: (B, 3, H, W) RGB in [0, 1] -> feature map."""
        raise NotImplementedError

    def probes(self) -> Sequence[Tensor]:
        """``runtime.Network``'s, for networks that others wrote; none for ours."""
        return ()

    def runtime(self) -> str:
        return self.load().description


class GlobalNetwork(NetworkExtractor):
    """One vector per photo from one network."""

    evidence = "cells"

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return crop_and_shrink(photo, box, self.image_size)

    def head(self, pixels: Array, run: Callable[[Array], Array]) -> Array:
        """(B, 3, H, W) in [0, 1] -> (B, D), L2-normalised; of torch, or of NumPy where the network
        is kept (``network_fields``)."""
        raise NotImplementedError

    def _vectors(self, pixels: Floats, network: Network) -> Floats:
        if self.network_fields is not None:
            return np.asarray(self.head(pixels, network), np.float32)
        import torch

        with torch.inference_mode():
            tensor = self.head(torch.from_numpy(pixels), network)
            return np.asarray(tensor.numpy(), np.float32)

    def describe(self, prepared: Prepared) -> Raw:
        return self.describe_batch([prepared])[0]

    def describe_batch(self, batch: Sequence[Prepared]) -> list[Raw]:
        network = self.load()
        shapes = [prepared.pixels.shape for prepared in batch]
        order = sorted(range(len(batch)), key=lambda i: (shapes[i], i))
        out: list[Raw] = [{}] * len(batch)
        for _, group in groupby(order, key=lambda i: shapes[i]):
            members = list(group)
            # On a CPU single photos are as fast, and the same whatever else is in the batch.
            step = len(members) if network.batches else 1
            for start in range(0, len(members), step):
                chunk = members[start : start + step]
                vectors = self._vectors(to_array([batch[i].pixels for i in chunk]), network)
                for row, i in enumerate(chunk):
                    out[i] = {"vectors": vectors[row : row + 1].copy()}
        return out

    def encode(self, raw: Raw) -> Features:
        return Features(raw["vectors"])

    @property
    def untraceable(self) -> str:
        """Why no part of the photo can be held to account for the vector, a sentence; empty where
        ``trace`` can tell."""
        return ""

    def trace(self, prepared: Prepared, direction: Floats) -> list[Floats]:
        """How much each cell of the network's maps gives to ``vectors[0] @ direction``.

        With the norms held, every pooling here is homogeneous of degree 1 in the map, so that by
        Euler's theorem activation times gradient sums to the pooled value: GeM's channel c goes to
        the cells by x^p / sum x^p, a maximum to the cell that has it. Whitenings are linear, but
        for their bias, which belongs to no cell and which the sum therefore lacks. The maps are
        those of the runtime that made the vector; only the head is differentiated.

        Args:
            direction: (D,), such as another photo's vector.

        Returns:
            (h, w) per scale; the cells share out the prepared photo evenly.
        """
        import torch

        network = self.load()
        maps: list[Tensor] = []

        def tapped(pixels: Tensor) -> Tensor:
            maps.append(network(pixels).clone().requires_grad_())
            return maps[-1]

        with torch.inference_mode(False), torch.enable_grad(), held_norms():
            vectors = self.head(to_tensor([prepared.pixels]), tapped)
            wanted = torch.from_numpy(np.array(direction, np.float32))
            slopes = torch.autograd.grad(vectors[0] @ wanted, maps)
        # A channel that is 0 everywhere has an infinite slope under GeM, and gives nothing.
        given = [
            (x.detach() * slope).nan_to_num(0.0, 0.0, 0.0)
            for x, slope in zip(maps, slopes, strict=True)
        ]
        return [self.cells(one).numpy() for one in given]

    def cells(self, given: Tensor) -> Tensor:
        """(1, C, h, w) shares of activations, shaped as the network's output -> (h, w) of cells."""
        return given[0].sum(dim=0)
