"""Experiments: what compresses well, and what breaks an index, a tab each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from data import permission
from pages.parts import backend, plots
from pages.parts.text import plain
from pages.tradeoffs import run

if TYPE_CHECKING:
    from evaluation.lab.base import Experiment
    from evaluation.lab.run import Kept

_HEIGHT = 460  # px
_APART = 1.5  # times a tick's value to the next one
_DASHES = ("solid", "dash", "dot", "dashdot")


def show(name: str, extractor: str) -> None:
    """A tab per experiment: question, figure, what it teaches, and the rows behind it."""
    from evaluation.lab import registry

    st.header("What breaks an index", anchor=False)
    made = list(registry.EXPERIMENTS.values())
    for tab, one in zip(st.tabs([one.title for one in made]), made, strict=True):
        with tab, backend.guard("show this experiment"):
            _one(name, extractor, one)


def _one(name: str, extractor: str, experiment: Experiment) -> None:
    from evaluation.lab.run import load

    st.markdown(experiment.question)
    kept = load(name, extractor, experiment.name)
    if kept is not None and kept.stale:
        st.warning(plain(kept.stale))
        kept = None
    if kept is None:
        _offer(name, extractor, experiment)
        return
    _figure(kept, experiment)
    st.info(plain(experiment.lesson(kept.rows)), icon=":material/school:")
    simulated = f", {kept.simulated:,} of them simulated" if kept.simulated else ""
    st.caption(
        plain(
            f"{kept.n:,} vectors of {backend.label(extractor)}{simulated}; measured "
            f"{kept.date[:10]} on {kept.machine.get('cpu', '')}, load "
            f"{kept.machine.get('load', 'unknown')}."
        )
    )
    with st.expander("Measured rows"):
        st.dataframe(table(kept, experiment), hide_index=True, width="stretch")


def _offer(name: str, extractor: str, experiment: Experiment) -> None:
    from evaluation.lab.run import command

    if run.running(name):
        st.caption("A measurement is running; this one can be started when it has ended.")
        return
    if st.button("Make the experiment", key=f"lab-{experiment.name}"):
        arguments = ["--collection", name, "--extractor", extractor]
        arguments += ["--experiments", experiment.name]
        with backend.guard("start the experiment"):
            backend.start_tradeoffs(run.PREFIX + name, arguments, "lab")
            st.rerun()
    words = "Not made yet. In a process of its own, over 10,000 vectors"
    if not permission.allowed():
        st.caption(f"{words}. {run.FOR_ALL}")
        return
    st.caption(f"{words}; or by:")
    st.code(command(name, extractor, experiment.name), language="bash", wrap_lines=True)


def _figure(kept: Kept, experiment: Experiment) -> None:
    made = plots.figure(experiment.x_title, "recall@10", log_x=experiment.log_x)
    if experiment.log_x:
        ticks = _ticks([float(row.x) for row in kept.rows])
        made.update_xaxes(tickvals=ticks, ticktext=[f"{one:g}" for one in ticks])
    # A variant of an index ("PQ, built again", "PQ + second look") has its colour, and a line of
    # its own.
    kinds = list(dict.fromkeys(_kind(row.series) for row in kept.rows))
    seen: list[str] = []
    for series in dict.fromkeys(row.series for row in kept.rows):
        kind = _kind(series) if not experiment.words else series
        number = kinds.index(kind) if kind in kinds else len(seen)
        dash = _DASHES[seen.count(kind) % len(_DASHES)]
        seen.append(kind)
        rows = [row for row in kept.rows if row.series == series]
        values = {
            "x": [row.x for row in rows],
            "y": [row.recall for row in rows],
            "name": plots.safe(series),
            "customdata": [[row.latency_ms] for row in rows],
            "hovertemplate": "%{x}: recall %{y:.3f}, %{customdata[0]:.2g} ms",
        }
        colour = plots.COLOURS[number % len(plots.COLOURS)]
        if experiment.words:
            made.add_bar(**values, marker={"color": colour})
        else:
            line = {"color": colour, "dash": dash}
            made.add_scatter(**values, mode="lines+markers", line=line)
    made.update_yaxes(range=[0, 1.05])
    # Many series: above the chart, their names would cover the best of them.
    made.update_layout(height=_HEIGHT, legend_y=-0.22, legend_yanchor="top")
    plots.figure_with_downloads(
        made,
        table(kept, experiment),
        f"{kept.experiment}",
        key=f"lab_chart-{experiment.name}",
        alt=f"{experiment.title}: recall@10 by {experiment.x_title}",
    )


def _ticks(values: Iterable[float]) -> list[float]:
    """Those that were measured, where their names have room on a logarithmic axis."""
    chosen: list[float] = []
    for one in sorted(set(values)):
        if not chosen or one >= _APART * chosen[-1]:
            chosen.append(one)
    return chosen


def _kind(series: str) -> str:
    return series.partition(",")[0].partition(" +")[0]


def table(kept: Kept, experiment: Experiment) -> pd.DataFrame:
    """The rows, with the figure's words as headings."""
    return pd.DataFrame(
        [
            {
                "series": row.series,
                experiment.x_title: row.x,
                "recall@10": round(row.recall, 4),
                "p50 ms": float(f"{row.latency_ms:.3g}"),
                **row.more,
            }
            for row in kept.rows
        ]
    )
