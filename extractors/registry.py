"""The extractors by name, and the specs that people type: ``resnet50:pooling=rmac,p=3``.

A spec is a name, then optionally ``:`` and overrides ``field=value`` between commas; elements of
a tuple stand between ``+`` (``scales=1+0.5``). To add a method, write its module and add its line
to ``METHODS``, or to ``FURTHER`` where it needs files that others published. Its class takes
``(config)``, or ``(config, weights)`` where it sets ``uses_weights = True``; ``config`` is
annotated with the method's frozen dataclass.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from typing import cast

from data import specs
from data.specs import Methods
from extractors.base import Card, Extractor

# Cheapest first. Modules are imported at the first use: hog and bovw work without torch.
METHODS: dict[str, str] = {
    "hog": "extractors.hog:Hog",
    "gem-siamese": "extractors.gem_siamese:GemSiamese",
    "resnet50": "extractors.resnet50:ResNet50",
    "delf": "extractors.delf:Delf",
    "bovw": "extractors.bovw:Bovw",
    "vgg16": "extractors.vgg16:Vgg16",
}
# By name only, not in "all": published networks, whose checkpoints are downloaded or imported, and
# others' vectors after a learned whitening.
FURTHER: dict[str, str] = {
    "neural-codes": "extractors.neural_codes:NeuralCodes",
    "gem-vgg16": "extractors.cirtorch:GemVgg16",
    "gem-resnet101": "extractors.cirtorch:GemResNet101",
    "gem-tl-resnet50": "extractors.cirtorch:GemTlResNet50",
    "gem-tl-resnet101": "extractors.cirtorch:GemTlResNet101",
    "gem-tl-resnet152": "extractors.cirtorch:GemTlResNet152",
    "solar": "extractors.solar:Solar",
    "sir": "extractors.sir:Sir",
    "megaloc": "extractors.megaloc:MegaLoc",
    "timm": "extractors.timm_model:TimmModel",
    "whitened": "extractors.whitened:Whitened",
}
# No network: descriptors that scripts.descriptors imports; in no list of methods.
IMPORTED: dict[str, str] = {"imported": "extractors.imported:Imported"}

_METHODS: Methods[Extractor] = Methods(
    "extractor",
    ChainMap(METHODS, FURTHER, IMPORTED),
    lambda: f"{', '.join(METHODS)}, or all for these; by name only: {', '.join(FURTHER)}",
)
parse_spec = _METHODS.parse
canonical = _METHODS.canonical


def names() -> list[str]:
    """The basic methods, cheapest first: what ``all`` stands for and the demo is built with."""
    return list(METHODS)


def further() -> list[str]:
    """Methods used by name only: they need files that this project does not ship."""
    return list(FURTHER)


def card(name: str) -> Card:
    """What the pages show about a method."""
    return _METHODS.type_of(name).card


def is_local(spec: str) -> bool:
    """Whether it makes many vectors per photo."""
    return _METHODS.type_of(parse_spec(spec)[0]).local


def attends(spec: str) -> bool:
    """Whether its network has an attention that can be shown (``Extractor.attention``)."""
    return _METHODS.type_of(parse_spec(spec)[0]).attends


def create(spec: str, weights: str = "auto") -> Extractor:
    """The extractor of a spec.

    Args:
        weights: where a network's weights come from (see ``extractors.weights``); methods
            without a network ignore it.
    """
    cls = _METHODS.type_of(parse_spec(spec)[0])
    config = _METHODS.config(spec)
    make = cast(Callable[..., Extractor], cls)
    return make(config, weights=weights) if getattr(cls, "uses_weights", False) else make(config)


def slug(spec: str) -> str:
    """A file name for a spec, see ``data.specs.slug``."""
    return specs.slug(canonical(spec))


def expand(text: str) -> list[str]:
    """The specs of a list between commas, see ``data.specs.split_list``; ``all``: ``names()``."""
    if text.strip() == "all":
        return names()
    listed = specs.split_list(text)
    for spec in listed:
        parse_spec(spec)
    return listed
