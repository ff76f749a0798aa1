"""What the network extractors share: photo to tensor, and one global vector per photo."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.base import Box
from data.errors import PlaygroundError
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
from extractors.pooling import held_norms
from extractors.runtime import Network
from extractors.weights import Weights, resolve

MIN_SIDE = 32  # px; below it the trunks' strides leave no feature map
MAX_SIDE = 4096  # px; a larger photo would not fit into the memory of a small machine


def to_tensor(pixels: Sequence[RGB]) -> Tensor:
    """Photos of one size -> (B, 3, H, W) float32 in [0, 1]; small sides are padded to 32 px."""
    batch = torch.from_numpy(np.stack([np.ascontiguousarray(p) for p in pixels]))
    tensor = batch.permute(0, 3, 1, 2).float().div_(255.0)
    height, width = tensor.shape[2:]
    if height < MIN_SIDE or width < MIN_SIDE:
        # Repeating the border, not enlarging: a query is never upsampled.
        padding = (0, max(0, MIN_SIDE - width), 0, max(0, MIN_SIDE - height))
        tensor = F.pad(tensor, padding, mode="replicate")
    return tensor.contiguous()


def rescale(x: Tensor, factor: float) -> Tensor:
    """Bilinear, align_corners False (cirtorch's multi-scale), never below ``MIN_SIDE``."""
    if factor == 1.0:
        return x
    size = [max(MIN_SIDE, int(side * factor)) for side in x.shape[2:]]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


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
                self._network = Network(self.build_network(), streams, self.probes())
            return self._network

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

    def head(self, tensor: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D), L2-normalised."""
        raise NotImplementedError

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
                tensor = to_tensor([batch[i].pixels for i in chunk])
                with torch.inference_mode():
                    vectors = self.head(tensor, network).numpy().astype(np.float32)
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
