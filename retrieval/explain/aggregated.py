"""Vectors that add up local features before they are compared: VLAD, NetVLAD, Fisher vectors."""

from __future__ import annotations

from typing import NoReturn

from retrieval.explain.base import Pair, UnexplainedError


def explain(pair: Pair) -> NoReturn:
    """Says why not: normalising each centre's sum ties all features of a photo together."""
    raise UnexplainedError(
        f"{pair.view.extractor} adds up what all features of a photo differ from a few centres by, "
        f"and normalises each sum: no single feature can be said to make a part of this score. "
        f"bovw, which counts the same features, can show its words."
    )
