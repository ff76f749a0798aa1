"""The extractors by name, and the specs that people type: ``resnet50:pooling=rmac,p=3``.

A spec is a name, then optionally ``:`` and overrides ``field=value`` between commas; elements of
a tuple stand between ``+`` (``scales=1+0.5``). To add a method, write its module and add its row
to ``METHODS``, or to ``FURTHER`` where it needs files that others published. Its class takes
``(config)``, or ``(config, weights)`` where it sets ``uses_weights = True``; ``config`` is
annotated with the method's frozen dataclass.
"""

from __future__ import annotations

import dataclasses
from collections import ChainMap
from collections.abc import Callable
from typing import cast

from data import specs
from data.specs import Methods, Row
from extractors.base import Card, Extractor

_USUAL = 20.0  # ms per photo, where a row does not say it


@dataclasses.dataclass(frozen=True)
class TimedRow(Row):
    """A row that says what a photo costs beside others: for remaining times only."""

    cost: float = _USUAL  # ms


# Modules are imported at the first use: hog and bovw work without torch. Costs are those of a
# build of 586 photos (2 cores of an AMD EPYC with bfloat16, 2026-11-29).
METHODS: dict[str, Row] = {
    "hog": TimedRow("extractors.hog:Hog", "HOG", 2.5),
    "gem-siamese": TimedRow("extractors.gem_siamese:GemSiamese", "GeM-Siamese", 25),
    "resnet50": TimedRow("extractors.resnet50:ResNet50", "ResNet50", 14),
    "delf": TimedRow("extractors.delf:Delf", "DELF", 38),
    "bovw": TimedRow("extractors.bovw:Bovw", "BoVW", 54),
    "vgg16": TimedRow("extractors.vgg16:Vgg16", "VGG16", 16),
}
# By name only, not in "all": published networks, whose checkpoints are downloaded or imported,
# further poolings of the trunks and of SIFT, and others' vectors after a learned whitening.
FURTHER: dict[str, Row] = {
    "neural-codes": Row("extractors.neural_codes:NeuralCodes", "Neural codes"),
    "gem-vgg16": Row("extractors.cirtorch:GemVgg16", "GeM VGG16"),
    "gem-resnet101": Row("extractors.cirtorch:GemResNet101", "GeM ResNet101"),
    "gem-tl-resnet50": Row("extractors.cirtorch:GemTlResNet50", "GeM-TL ResNet50"),
    "gem-tl-resnet101": Row("extractors.cirtorch:GemTlResNet101", "GeM-TL ResNet101"),
    "gem-tl-resnet152": Row("extractors.cirtorch:GemTlResNet152", "GeM-TL ResNet152"),
    "solar": Row("extractors.solar:Solar", "SOLAR"),
    "sir": Row("extractors.sir:Sir", "SIR"),
    "megaloc": Row("extractors.megaloc:MegaLoc", "MegaLoc"),
    "timm": Row("extractors.timm_model:TimmModel", "timm"),
    "cirtorch": Row("extractors.cirtorch_any:Cirtorch", "cirtorch"),
    "crow": Row("extractors.crow:Crow", "CroW"),
    "cam": Row("extractors.cam:Cam", "CAM"),
    "netvlad": Row("extractors.netvlad:NetVlad", "NetVLAD"),
    "vlad": Row("extractors.vlad:Vlad", "VLAD"),
    "fisher": Row("extractors.fisher:Fisher", "Fisher"),
    "whitened": Row("extractors.whitened:Whitened", "Whitened"),
}
# No network: descriptors that scripts.descriptors imports; in no list of methods.
IMPORTED: dict[str, Row] = {"imported": Row("extractors.imported:Imported", "Imported")}
ROWS = ChainMap(METHODS, FURTHER, IMPORTED)

_METHODS: Methods[Extractor] = Methods(
    "extractor",
    ROWS,
    lambda: f"{', '.join(METHODS)}, or all for these; by name only: {', '.join(FURTHER)}",
)
parse_spec = _METHODS.parse
canonical = _METHODS.canonical


def names() -> list[str]:
    """The basic methods, cheapest first: what ``all`` stands for and the demo is built with."""
    return list(METHODS)


def is_imported(spec: str) -> bool:
    """Whether the vectors come from a file: nothing describes a new photo, or makes them again."""
    return parse_spec(spec)[0] in IMPORTED


def card(name: str) -> Card:
    """What the pages show about a method."""
    return _METHODS.type_of(name).card


def cost(spec: str) -> float:
    """What describing a photo takes, beside other extractors (see ``METHODS``)."""
    row = ROWS[parse_spec(spec)[0]]
    return row.cost if isinstance(row, TimedRow) else _USUAL


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
