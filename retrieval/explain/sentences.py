"""What a hit's score and distance are, one sentence each."""

from __future__ import annotations

import math

from extractors import registry as extractor_registry
from retrieval.explain.base import Grid
from retrieval.ranking import Hit, SearchResult
from retrieval.rerank import registry as rerank_registry

_EXACT = 5e-4  # a score this near to the cosine is the cosine


def of_score(result: SearchResult, hit: Hit, cosine: float | None = None) -> str:
    """What the score is.

    Args:
        cosine: of the two descriptors, where it is known; None for local features.
    """
    said = f"The score {hit.score:.4g} is"
    if result.recipe.rerank:
        card = rerank_registry.card(result.recipe.rerank[-1].partition(":")[0])
        text = f"{said} of {card.title}: {card.score}."
        if cosine is not None and abs(cosine - hit.score) > _EXACT:
            text += f" The cosine of the two descriptors themselves is {cosine:.4f}."
        return text
    if extractor_registry.is_local(result.extractor):
        return f"{said} the number of the query's local features that voted for this photo."
    if result.metric == "l1":
        return f"{said} 1 - d / 2 with d, the sum of the absolute differences of the descriptors."
    what = "the cosine of the angle between the two descriptors: 1 is equal, 0 has nothing shared"
    if cosine is None or abs(cosine - hit.score) <= _EXACT:
        return f"{said} {what}."
    return f"{said} the index's estimate of {cosine:.4f}, {what}."


def of_distance(result: SearchResult, hit: Hit) -> str:
    """What the distance is."""
    if math.isnan(hit.distance):
        return "It has no distance: the index did not return this photo, re-ranking found it."
    said = f"The distance {hit.distance:.4g} is"
    if result.metric == "hamming":
        return f"{said} the number of bits in which the two codes of the index differ."
    if result.metric == "l1":
        return f"{said} the sum of the absolute differences of the two descriptors; 0 is equal."
    if extractor_registry.is_local(result.extractor):
        return f"{said} the mean squared distance of the features that voted; 0 is equal, 4 most."
    return (
        f"{said} the squared distance of the two descriptors in the index, 2 - 2 cosine; 0 is "
        f"equal, 4 most."
    )


def part(value: float, score: float) -> str:
    """A part of a score, in percent where that means something."""
    text = f"{100 * value / score:.1f}\u00a0%" if score > 0.01 else f"{value:.4f}"
    return text.replace("-", "−")


def of_cells(values: list[float], grid: Grid, score: float, whose: str) -> str:
    """What the strongest cells of a picture give, and what no cell gives.

    Args:
        values: of the strongest cells.
        whose: "the query" or "this photo".
    """
    if not values:
        return f"No cell of {whose} adds to the score."
    several = f"{len(values)} of the {grid.values.size:,} cells of {whose} (outlined) make"
    if score <= 0.01:
        return f"{several} {sum(values):.4f} of the cosine {score:.4f}."
    text = f"{several} {part(sum(values), score)} of the score; "
    if abs(grid.rest) <= 1e-3:
        return f"{text}{grid.half()} make half of it."
    text += f"{grid.half()} make half of what all cells give. "
    return f"{text}{part(grid.rest, score)} has no place: it is the bias of the whitening."
