"""The kinds of explanation by name, and how a hit of a search gets its own.

To add one, write its module with ``explain(pair) -> Explanation`` and add its line to ``KINDS``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from retrieval.explain.base import Explanation, Pair, UnexplainedError

if TYPE_CHECKING:
    from retrieval.engine import SearchEngine
    from retrieval.ranking import Query, SearchResult

# What an extractor names in ``evidence``. Modules are imported at the first use.
KINDS: dict[str, str] = {
    "cells": "retrieval.explain.cells",
    "blocks": "retrieval.explain.blocks",
    "words": "retrieval.explain.words",
    "matches": "retrieval.explain.matches",
    "aggregated": "retrieval.explain.aggregated",
}
GEOMETRY = "matches"  # also of whatever a re-ranker matched


def pair_of(engine: SearchEngine, result: SearchResult, query: Query, photo_id: str) -> Pair:
    """The query and one hit of a result, in the collection's present state.

    Raises:
        PlaygroundError: what the search used is not there any more.
    """
    view = engine.snapshot(result.collection, result.extractor, result.index)
    row = view.loaded.members.position(photo_id)
    return Pair(view, query, row, result.matches.get(photo_id))


def explain(pair: Pair) -> Explanation:
    """What the extractor's own score is made of; made once per query, photo and descriptors.

    Raises:
        UnexplainedError: why it cannot be taken apart.
        PlaygroundError: the photo cannot be read, or was not described.
    """
    kind = pair.extractor.evidence
    if not kind:
        raise UnexplainedError(
            f"The descriptors of {pair.view.extractor} were not computed here, so that nobody can "
            f"say which part of the photo made them."
        )
    return _kept(pair, kind)


def aligned(pair: Pair) -> Explanation | None:
    """How the matches of a re-ranker move the query onto the photo; None without matches, or where
    ``explain`` says it already."""
    if pair.matches is None or pair.extractor.evidence == GEOMETRY:
        return None
    return _kept(pair, GEOMETRY)


def _kept(pair: Pair, kind: str) -> Explanation:
    given = b"" if pair.matches is None else np.ascontiguousarray(pair.matches).tobytes()
    key = ("explained", kind, pair.query.key, pair.query.box, pair.row, given)
    make: Callable[[Pair], Explanation] = importlib.import_module(KINDS[kind]).explain
    return pair.view.kept(key, lambda: make(pair))
