"""Evaluated rows as several pages name and choose them. No Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.rows import Row


def one_per_recipe(rows: Sequence[Row]) -> list[Row]:
    """One row per recipe: that of the usual ``k``, else the first; current ones first.

    ``k`` decides recall and times alone, so rows of several are the same in accuracy.
    """
    from evaluation.run import K

    found: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (bool(row.stale), row.k != K)):
        found.setdefault(row.name, row)
    return [row for row in rows if found[row.name] is row]


def score(row: Row, setting: str) -> float:
    """The mean that the protocol compares methods by, in a setting."""
    return row.means[setting][row.judged_by.headline]


def mean_name(measure: str) -> str:
    """``ap@100`` to ``mAP@100``; N-S is a mean already."""
    return "N-S" if measure == "n-s" else f"m{measure.upper()}"
