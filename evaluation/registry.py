"""The protocols by name, and the one that a collection was made for.

To add a protocol, write its module and add its line to ``PROTOCOLS``.
"""

from __future__ import annotations

import functools
import importlib
from typing import cast

from data.errors import PlaygroundError
from data.store import Collection
from evaluation.base import Protocol

PROTOCOLS: dict[str, str] = {
    "labels": "evaluation.labels:Labels",
    "revisited": "evaluation.revisited:Revisited",
    "classic": "evaluation.classic:Classic",
    "gldv2": "evaluation.gldv2:Gldv2",
    "holidays": "evaluation.holidays:Holidays",
    "ukbench": "evaluation.ukbench:UkBench",
    "flickrlogos": "evaluation.flickrlogos:FlickrLogos",
}
DEFAULT = "labels"


def names() -> list[str]:
    """All protocols, the one that fits every labelled collection first."""
    return list(PROTOCOLS)


@functools.cache
def protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        PlaygroundError: there is none.
    """
    if name not in PROTOCOLS:
        raise PlaygroundError(
            f"There is no protocol '{name}'. Legal: auto (the one of the collection), "
            f"{', '.join(PROTOCOLS)}."
        )
    module, _, attribute = PROTOCOLS[name].partition(":")
    return cast(Protocol, getattr(importlib.import_module(module), attribute)())


def of_collection(collection: Collection) -> str:
    """The name of the protocol that the collection's first source with one asks for."""
    asked = (source.get("protocol") for source in collection.sources)
    return next((str(name) for name in asked if name), DEFAULT)


def choose(name: str, collection: Collection) -> Protocol:
    """The protocol of a name; ``auto`` stands for the collection's own."""
    return protocol(of_collection(collection) if name == "auto" else name)
