"""Any checkpoint in the format of cirtorch: other poolings, by regions, with local whitening.

Radenovic, Tolias, Chum, TPAMI 2019; cirtorch ``networks/imageretrievalnet.py`` and
``layers/pooling.py``. What the published networks do not use, and others' checkpoints may: the
fields of a checkpoint's ``meta`` have the same names here.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from data.errors import PlaygroundError
from extractors import checkpoints
from extractors.base import Card
from extractors.checkpoints import Checkpoint, RetrievalMeta, Whitening
from extractors.cirtorch import DIM, LW_SETS, PublishedConfig, PublishedNetwork, RetrievalNetwork
from extractors.modules import Plain
from extractors.pooling import whitened
from extractors.weights import Weights


@dataclasses.dataclass(frozen=True)
class CirtorchConfig(PublishedConfig):
    architecture: Literal["vgg16", "resnet50", "resnet101", "resnet152"] = "resnet101"
    pooling: Literal["gem", "mac", "spoc", "rmac"] = "gem"
    regional: bool = False  # pool each region, whiten, sum
    local_whitening: bool = False  # whiten each cell before pooling
    whitening: bool = False  # a fully connected layer at the end
    lw: bool = False  # the learned whitening of the checkpoint's meta


class Regional(nn.Module):
    """Regional pooling with a learned whitening (``Rpool``): (B, C, H, W) -> (B, C).

    The whole map and the regions of R-MAC are each pooled, L2-normalised, whitened and normalised
    again; their sum is normalised.
    """

    def __init__(self, rpool: nn.Module, dim: int) -> None:
        super().__init__()
        self.rpool = rpool
        self.whiten = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = whitened(x, self.rpool, self.whiten, regional=True)
        return result


class AnyRetrievalNetwork(RetrievalNetwork):
    """Names as cirtorch's: also ``lwhiten.*``, ``pool.rpool.p`` and ``pool.whiten.*``."""

    def __init__(self, features: nn.Module, config: CirtorchConfig) -> None:
        dim = DIM[config.architecture]
        super().__init__(features, dim, config.whitening)
        inner: nn.Module = self.pool if config.pooling == "gem" else Plain(config.pooling)
        self.pool = Regional(inner, dim) if config.regional else inner  # type: ignore[assignment]
        self.lwhiten = nn.Linear(dim, dim) if config.local_whitening else None

    def head(self, feature_map: Tensor) -> Tensor:
        if self.lwhiten is not None:
            feature_map = self.lwhiten(feature_map.movedim(1, 3)).movedim(3, 1)
        return super().head(feature_map)


class Cirtorch(PublishedNetwork):
    """A checkpoint that is named with ``--weights file:PATH``."""

    name = "cirtorch"
    card: ClassVar[Card] = Card(
        title="cirtorch checkpoint",
        paper="Radenovic, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation, "
        "TPAMI 2019; regions: Tolias, Sicre, Jegou: Particular object retrieval with integral "
        "max-pooling of CNN activations, ICLR 2016",
        url="https://arxiv.org/abs/1711.02512",
        idea="Runs any network that was trained with the authors' code: GeM, MAC, SPoC or R-MAC, "
        "over the whole photo or region by region with a learned whitening of the regions, with or "
        "without a whitening of each cell and of the result. The checkpoint says what it is; what "
        "is asked for has to agree.",
        formula=r"v = \sum_{r} \frac{W\,f(x_r)/\lVert f(x_r)\rVert + b}{\lVert\cdot\rVert},\qquad "
        r"f\text{: GeM, MAC, SPoC or R-MAC of a region } r",
        parameters={
            "image_size": "longer side in px (never enlarged)",
            "scales": "factors of the image size, combined into one vector",
            "architecture": "vgg16, resnet50, resnet101 or resnet152",
            "pooling": "gem, mac, spoc or rmac",
            "regional": "true: pool each region of R-MAC, whiten it, and sum",
            "local_whitening": "true: whiten each cell of the map before pooling",
            "whitening": "true: a fully connected layer at the end",
            "lw": "true: the learned whitening (Lw) of the checkpoint's meta",
        },
        licence="MIT (cirtorch); the checkpoint's own terms",
        cost="A pass of the trunk per scale; regions cost a pooling and a product of 2048 x 2048 "
        "each, some 20 of them.",
    )

    def __init__(self, config: CirtorchConfig, weights: str = "auto") -> None:
        self.network_name = "cirtorch"
        super().__init__(config, weights)

    @functools.cached_property
    def weights(self) -> Weights:
        if self._wanted == "auto":
            raise PlaygroundError(
                "cirtorch runs a checkpoint of yours: name it with --weights "
                "file:PATH. Legal for a "
                "trial without one: --weights untrained."
            )
        return super().weights

    @property
    def architecture(self) -> str:  # type: ignore[override]
        return str(self.config.architecture)

    @property
    def end_to_end(self) -> bool:  # type: ignore[override]
        """Whether several scales are averaged plainly: so unless GeM ends the network."""
        gem_alone = self.config.pooling == "gem" and not self.config.regional
        return bool(self.config.whitening) or not gem_alone

    def make_network(self) -> RetrievalNetwork:
        return AnyRetrievalNetwork(self.make_features(), self.config)

    def read(self, path: Path) -> tuple[Checkpoint, RetrievalMeta]:
        found = checkpoints.read(path)
        meta = checkpoints.retrieval_meta(found, str(path))
        wrong = []
        for field in ("architecture", "pooling", "regional", "local_whitening", "whitening"):
            theirs, mine = getattr(meta, field), getattr(self.config, field)
            if theirs != mine:
                wrong.append(f"{field}={str(theirs).lower()}")
        if wrong:
            raise PlaygroundError(
                f"{path} has another network than was asked for. Use {self.name}:{','.join(wrong)}."
            )
        p = found.state.get("pool.p", found.state.get("pool.rpool.p"))
        if p is not None and not (bool(torch.isfinite(p).all()) and bool((p > 0).all())):
            raise PlaygroundError(f"{path} has a GeM exponent that is not above 0: it is damaged.")
        return found, meta

    def learned_whitening(self, meta: RetrievalMeta, origin: str) -> Whitening | None:
        if not self.config.lw:
            return None
        setting = "ms" if len(self.config.scales) > 1 else "ss"
        for name in LW_SETS:
            found = meta.lw.get(name, {}).get(setting)
            if found is not None and found.P.shape == (self.dim, self.dim):
                return found
        raise PlaygroundError(
            f"{origin} has no learned whitening '{setting}' of {' or '.join(LW_SETS)} for "
            f"{self.dim} dimensions. Use {self.name}:lw=false."
        )
