"""The experiments by name; a new one is its file and its row here."""

from __future__ import annotations

from data.errors import NotFound
from evaluation.lab.base import Experiment
from evaluation.lab.codes import Codes
from evaluation.lab.filters import Filters
from evaluation.lab.shift import Shift
from evaluation.lab.stream import Stream
from evaluation.lab.structure import Structure

EXPERIMENTS: dict[str, Experiment] = {
    one.name: one for one in (Codes(), Shift(), Structure(), Filters(), Stream())
}


def experiment(name: str) -> Experiment:
    """The experiment of a name.

    Raises:
        NotFound: there is none.
    """
    if name not in EXPERIMENTS:
        raise NotFound(f"There is no experiment '{name}'. Legal: {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]
