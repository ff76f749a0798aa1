"""GeM-Siamese: trunk, learnable GeM and whitening, trained with pairs or triplets."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from extractors.base import Card
from extractors.cnn import GlobalNetwork, check_image_size, rescale
from extractors.pooling import POOLINGS, Array, l2n, linear, pool, rule_of, whitened
from extractors.trunks import LITE0, TRUNKS, check_trunk, normalised, trunk
from extractors.weights import (
    HEAD_SOURCE,
    TRUNK_OF,
    Weights,
    head_source,
    header,
    load_into,
    own_card,
    own_or_trunk,
    read_state,
    resolve,
    seeded,
    trunk_of_head,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from extractors.modules import SiameseNetwork

NETWORKS = {"contrastive": "gem-siamese", "triplet": "gem-siamese-triplet"}  # rows of the weights
# A tensor's name that tells which trunk a file was trained with.
_MARKS = {
    LITE0: "trunk.conv_stem.weight",
    "resnet50": "trunk.conv1.weight",
    "vgg16": "trunk.0.weight",
    # A deeper one has the others' tensors, too: the last that fits counts.
    "resnet101": "trunk.layer3.22.conv1.weight",
    "resnet152": "trunk.layer3.35.conv1.weight",
    "resnet50-soa": "trunk.soa4.v.weight",
    "resnet101-soa": "trunk.stem.layer3.22.conv1.weight",
}


@dataclasses.dataclass(frozen=True)
class GemSiameseConfig:
    image_size: int = 0  # px, longer side; 0: the weights' own, or ``usual_size``
    scales: tuple[float, ...] = (1.0, 0.7071, 0.5)  # of the image; (1.0,) = single scale
    dim: int = 512  # of the whitened vector
    loss: str = "contrastive"  # which of the two networks: trained with pairs, or with triplets
    trunk: str = LITE0  # or resnet50, vgg16
    pooling: str = "gem"  # mac, spoc or rmac
    regional: bool = False  # whiten the regions of R-MAC, then sum


class GemSiamese(GlobalNetwork):
    """A trunk, learnable GeM (or another pooling) and a whitening, at several scales."""

    name = "gem-siamese"
    version = 2
    usual_size = 512
    network_name = "gem-siamese"
    network_fields = ("loss", "trunk", "dim")
    card = Card(
        title="GeM-Siamese",
        paper="Radenovic, Tolias, Chum: Fine-tuning CNN image retrieval with no human "
        "annotation, TPAMI 2019",
        url="https://arxiv.org/abs/1711.02512",
        idea="A classification network's trunk, made for retrieval: two copies with shared "
        "weights see a pair of photos, and the loss pulls photos of one landmark together and "
        "pushes others apart. GeM's exponent and a whitening layer are learned with it. The "
        "photo is described at several scales and the vectors averaged.",
        formula=r"L = \tfrac{1}{2}\,y\,D^2 + \tfrac{1}{2}(1-y)\max(0,\,m-D)^2,\quad "
        r"D=\lVert f(a)-f(b)\rVert_2",
        parameters={
            "image_size": "longer side in px (never enlarged); 0: what the weights were trained "
            "for, 512 where they do not say; the papers use 1024",
            "scales": "factors of the image size, averaged; a single 1.0 is the cheapest",
            "dim": "length of the whitened vector, at most the trunk's channels",
            "loss": "contrastive or triplet: which loss the network was trained with",
            "trunk": "efficientnet-lite0, resnet50 or vgg16",
            "pooling": "gem, mac, spoc or rmac: which one it was trained with",
            "regional": "true: each region of R-MAC is pooled and whitened, then they are summed; "
            "with pooling=mac, R-MAC with learned whitening (Gordo et al. 2017)",
        },
        licence="MIT (this project's code); EfficientNet-Lite0: Apache-2.0",
        cost="A pass of the trunk per scale, 1.75 times a single one; EfficientNet-Lite0 takes "
        "a tenth of a ResNet50's multiplications.",
    )

    def __init__(self, config: GemSiameseConfig, weights: str = "auto") -> None:
        check_image_size(config.image_size, weights_decide=True)
        channels = check_trunk(config.trunk).channels
        if not 1 <= config.dim <= channels:
            raise PlaygroundError(
                f"dim={config.dim} is not possible with the trunk {config.trunk}. Legal: 1 to "
                f"{channels}."
            )
        if not config.scales or not all(0.1 <= s <= 2 for s in config.scales):
            raise PlaygroundError(
                f"scales={config.scales} are not possible. Legal: one or more of 0.1 to 2."
            )
        if config.loss not in NETWORKS:
            raise PlaygroundError(f"loss={config.loss} is unknown. Legal: {', '.join(NETWORKS)}.")
        check_pooling(config.pooling, config.regional)
        super().__init__(config, weights)
        own = NETWORKS[config.loss]
        self.network_name = own if config.trunk == LITE0 else f"{own}-{config.trunk}"
        # None with another pooling is shipped or kept: its weights are named as a file.
        if head := self._other_head():
            self.network_name += f"-{'-'.join(f'{k}={v}' for k, v in head.items())}"

    @property
    def dim(self) -> int:
        return int(self.config.dim)

    def _other_head(self) -> dict[str, Any]:
        """What the head has besides GeM of the whole map: the config's fields; empty for none."""
        fields = {"pooling": self.config.pooling, "regional": self.config.regional}
        default = GemSiameseConfig()
        return {k: v for k, v in fields.items() if v != getattr(default, k)}

    def identity(self) -> dict[str, Any]:
        found = super().identity()
        # What was built before there were other poolings stays valid.
        known = {k: v for k, v in found["config"].items() if k not in ("pooling", "regional")}
        found["config"] = known | self._other_head()
        return found | rule_of(self.config.pooling, self.config.regional)

    def network_key(self) -> dict[str, Any]:
        found = super().network_key()
        found["config"] |= self._other_head()
        return found

    @property
    def weights(self) -> Weights:  # type: ignore[override]
        return self._resolved()[0]

    def _resolved(self) -> tuple[Weights, Weights | None]:
        """(weights as recorded, trunk's weights where head and trunk come from two places)."""
        if "_pair" not in self.__dict__:
            wanted = "bundled" if self._wanted == HEAD_SOURCE else self._wanted
            own, base = own_or_trunk(self.network_name, self.config.trunk, wanted)
            if base is not None:
                label = base.source if base.path is None else f"{base.source}+untrained"
                own = Weights(self.network_name, label, base.path, base.sha256)
            assert own is not None
            self._pair: tuple[Weights, Weights | None] = (head_source(own), base)
        return self._pair

    def _module(self) -> SiameseNetwork:
        from extractors.modules import SiameseNetwork

        own, base = self._resolved()
        network = self.config.trunk
        state = None
        if base is None:
            assert own.path is not None
            state = read_state(own.path)
            self._check_trunk_of(own.path, state)
            self._check_head_of(own.path)
            # A file of ours may hold the part of the trunk alone that training has changed.
            if _MARKS[network] not in state or TRUNK_OF in header(own.path):
                base = trunk_of_head(own.path, network, "scripts.train_siamese")
        features = trunk(network, base if base is not None else resolve(network, "untrained"))
        channels = TRUNKS[network].channels
        pooling, regional = self.config.pooling, self.config.regional
        module = seeded(lambda: SiameseNetwork(features, channels, self.dim, pooling, regional))
        assert isinstance(module, SiameseNetwork)
        if state is not None:
            whole = {f"trunk.{k}": v for k, v in features.state_dict().items()} | state
            load_into(module, whole, str(own.path))
        return module.eval()

    def _check_trunk_of(self, path: Path, state: dict[str, Tensor]) -> None:
        """Refuse a file of another trunk."""
        said = header(path).get(TRUNK_OF)
        found = [name for name, mark in _MARKS.items() if mark in state or name == said]
        if found and found[-1] != self.config.trunk:
            raise PlaygroundError(
                f"{path} was trained with the trunk {found[-1]}, and the extractor asks for "
                f"{self.config.trunk}. Use gem-siamese:trunk={found[-1]}."
            )

    def _check_head_of(self, path: Path) -> None:
        """Refuse a file whose head pools in another way."""
        mine = (self.config.pooling, self.config.regional)
        theirs = head_of(path)
        if theirs != mine:
            raise PlaygroundError(
                f"{path} was trained with {head_words(*theirs)}, and the extractor asks for "
                f"{head_words(*mine)}. Use gem-siamese:{head_words(*theirs)}."
            )

    def build_network(self) -> nn.Module:
        module = self._module()
        # The head is small and stays in fp32 whatever the runtime's precision.
        learned = {
            "weight": module.whiten.weight,
            "bias": module.whiten.bias,
            **dict(module.pool.named_parameters()),  # GeM's exponent p
        }
        self._head = {name: value.detach().float().numpy() for name, value in learned.items()}
        return normalised(self.config.trunk, module.trunk).eval()

    def head_arrays(self) -> dict[str, NDArray[Any]]:
        return self._head

    def take_head(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._head = arrays

    def head(self, pixels: Array, run: Callable[[Array], Array]) -> Array:
        learned: dict[str, Array] = self._head
        if not isinstance(pixels, np.ndarray):
            import torch

            learned = {name: torch.from_numpy(value) for name, value in learned.items()}
        kind, p = self.config.pooling, learned.get("p", 1.0)
        pooled = functools.partial(pool, kind=kind, p=p)
        layer = functools.partial(linear, weight=learned["weight"], bias=learned["bias"])
        total: Array = 0.0
        for scale in self.config.scales:
            x = run(rescale(pixels, scale))
            total = total + whitened(x, pooled, layer, self.config.regional)
        return l2n(total / len(self.config.scales))


def check_pooling(pooling: str, regional: bool) -> None:
    """Refuse a head that is not possible."""
    if pooling not in POOLINGS:
        raise PlaygroundError(f"pooling={pooling} is unknown. Legal: {', '.join(POOLINGS)}.")
    if regional and pooling == "rmac":
        raise PlaygroundError(
            "pooling=rmac with regional=true is not possible: R-MAC is the maximum of each region. "
            "Legal: pooling=mac with regional=true, R-MAC whose regions are whitened."
        )


def head_of(path: Path) -> tuple[str, bool]:
    """Pooling of a trained file's head, and whether by regions; GeM where the file does not say."""
    recipe = own_card(path).get("recipe")
    found = recipe if isinstance(recipe, dict) else {}
    pooling = found.get("pooling", "gem")
    return (pooling if pooling in POOLINGS else "gem"), found.get("regional", False) is True


def head_words(pooling: str, regional: bool) -> str:
    """A head as it is asked for."""
    return f"pooling={pooling},regional=true" if regional else f"pooling={pooling}"
