"""Kinds of landmark: one module each, named as in `plan.KINDS`, with a function

    build(k: Kit, g: Rng) -> str

that builds one landmark in a kit from its own generator and returns a note for its title.
Lengths are metres; the front faces -y and the building stands on z = 0. The engine scales all
landmarks to one size class, so that how far the camera stands does not give a landmark away.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np

from .. import plan
from ..kit import Kit

NAMES = {
    "arch": "Triumphal arch",
    "bridge": "Stone bridge",
    "campanile": "Bell tower",
    "citygate": "City gate",
    "clocktower": "Clock tower",
    "deco": "Art deco tower",
    "guildhall": "Guild houses",
    "opera": "Opera house",
    "orthodox": "Onion-domed church",
    "pyramid": "Stepped pyramid",
    "stave": "Stave church",
    "tenshu": "Castle keep",
}


def builder(kind: str) -> Callable[[Kit, np.random.Generator], str]:
    """Return the function that builds a landmark of a kind."""
    if kind not in plan.KINDS:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(plan.KINDS)}")
    return importlib.import_module(f".{kind}", __name__).build


def title(label: str, note: str) -> str:
    """Return a landmark's human name, such as 'Cathedral 1 (twin towers, battlements)'."""
    kind, number = label.rsplit("-", 1)
    name = NAMES.get(kind, kind.capitalize())
    return f"{name} {int(number)} ({note})"
