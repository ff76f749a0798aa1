"""The table of the Accuracy page, its downloads, and what its numbers mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from pages.accuracy import words
from pages.parts import backend, evaluated, saving
from pages.parts.compare import UNTRAINED
from pages.parts.text import plain

if TYPE_CHECKING:
    from data.store import Collection
    from evaluation.rows import Row
    from evaluation.statistics import Comparison

_TESTED = 20_000_000  # draws of all queries of all tests together, to bound the time


def compare(first: Row, second: Row, setting: str, draws: int | None = None) -> Comparison:
    """The paired test of two rows, kept while the rows are the same."""
    key = tuple(
        (row.collection, row.protocol, row.name, row.k, row.date) for row in (first, second)
    )
    return _compare(key, setting, draws, first, second)


@st.cache_data(max_entries=2000, show_spinner=False)
def _compare(
    key: tuple[Any, ...], setting: str, draws: int | None, _first: Row, _second: Row
) -> Comparison:
    from evaluation import statistics

    del key  # stands for the two rows
    values = _first.values(setting), _second.values(setting)
    return statistics.compare(*values, draws=draws or statistics.DRAWS)


def frame(rows: Sequence[Row], setting: str) -> pd.DataFrame:
    """The table as it is shown, best first; out-of-date rows last and without a test."""
    listed = words.ordered([row for row in rows if not row.stale], setting)
    work = max(1, len(listed) - 1) * max((len(row.queries) for row in listed), default=1)
    draws = max(1_000, min(10_000, _TESTED // max(1, work)))
    lines = [
        words.record(
            row,
            setting,
            compare(row, listed[0], setting, draws) if row is not listed[0] else None,
            backend.title,
        )
        for row in listed
    ]
    stale = words.ordered([row for row in rows if row.stale], setting)
    lines += [words.record(row, setting, None, backend.title) for row in stale]
    return pd.DataFrame(lines)


def report_of(collection: Collection, rows: Sequence[Row]) -> str:
    """The HTML report of the rows that are up to date (of all, where none is)."""
    from evaluation import report

    return report.render([row for row in rows if not row.stale] or list(rows), collection)


def show(collection: Collection, rows: Sequence[Row], setting: str) -> None:
    """Draw the table, its downloads and what must be known about it."""
    shown = frame(rows, setting)
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(shown), 38 + 35 * 14) + 2,
        row_height=35,
        placeholder="–",
        column_config=_columns(rows, shown),
        column_order=[
            name
            for name in shown.columns
            if not (name == "rerank" and not any(shown["rerank"]))
            and not (name == "state" and not any(shown["state"]))
            and not (name in ("difference", "p") and len(shown) == 1)
        ],
        key="accuracy_table",
    )
    protocol = rows[0].judged_by
    name = f"accuracy-{rows[0].collection}-{protocol.name}"
    with st.container(horizontal=True, vertical_alignment="center"):
        saving.button(
            "CSV",
            str(pd.DataFrame([words.flat(row) for row in rows]).to_csv(index=False)),
            f"{name}.csv",
            "Every row with all settings, measures and intervals",
        )
        saving.button(
            "JSON",
            words.as_json(rows),
            f"{name}.json",
            "The rows as python -m scripts.evaluate --json writes them",
        )
        saving.button(
            "Report HTML",
            lambda: report_of(collection, rows),
            f"{name}.html",
            "Tables, curves and the worst failures in one file that opens offline",
        )
        st.caption("Best first; a click on a column's name sorts by it.")
    _notes(rows, setting)


def _notes(rows: Sequence[Row], setting: str) -> None:
    measured = words.times(rows)
    if measured:
        st.caption(f"Times were measured {plain(measured)}, when the rows were evaluated.")
    if any(row.partial for row in rows):
        st.warning(
            "Partial data set: photos of it were missing when it was imported. These numbers "
            "cannot be compared with published ones."
        )
    random = dict.fromkeys(backend.label(row.extractor) for row in rows if words.untrained(row))
    if random:
        st.warning(f"{', '.join(random)}: untrained, {UNTRAINED}.")
    first = rows[0].values(setting)
    without = sum(math.isnan(value) for value in first.values())
    if without:
        they = "query has" if without == 1 else "queries have"
        st.caption(
            f"{without:,} of {len(first):,} {they} no right photo here; the means leave them out."
        )
    for reason in dict.fromkeys(row.stale for row in rows if row.stale):
        names = ", ".join(
            backend.row_title(row.extractor, row.index, row.rerank)
            for row in rows
            if row.stale == reason
        )
        st.caption(f"Out of date: {plain(names)}. {plain(reason)}")


def _columns(rows: Sequence[Row], shown: pd.DataFrame) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    text = st.column_config.TextColumn
    protocol, k = rows[0].judged_by, rows[0].k
    columns: dict[str, Any] = {
        "extractor": text("Extractor", width=110, pinned=True),
        "index": text("Index", width=76, pinned=True),
        "rerank": text("Re-rank", width=130, help="What follows the index; empty: nothing"),
        "weights": text("Weights", width=150, help="untrained: random, a baseline only"),
        "difference": number(
            "Difference", format="%+.3f", width=88, help="Against the best row, same queries"
        ),
        "p": number(
            "p", format="%.4f", width=70, help="Paired permutation test against the best row"
        ),
        "recall": number(
            "Agrees with exact",
            format="%.3f",
            width=128,
            help=f"Share of the {k} nearest that exact search (Flat) finds too: recall@{k}",
        ),
        "extract_ms": number("Extract ms", format="%.1f", width=84, help="Median, warm"),
        "search_ms": number("Search ms", format="%.2f", width=84, help="Median, the index alone"),
        "rerank_ms": number("Re-rank ms", format="%.1f", width=92, help="Median"),
        "bytes_per_photo": number(
            "Bytes / photo",
            format="%.0f",
            width=100,
            help="What each photo adds to the index; what all share (centroids, codebooks, a "
            "rotation) is apart",
        ),
        "build_s": number("Build s", format="%.2f", width=76, help="Building the index"),
        "queries": number("Queries", format="%d", width=70),
        "state": text("State", width=120),
    }
    top = 4.0 if protocol.headline == "n-s" else 1.0
    for name in shown.columns:
        if name.startswith(evaluated.mean_name(protocol.headline)) and "@" not in name:
            columns[name] = st.column_config.ProgressColumn(
                min_value=0, max_value=top, format="%.3f", width=120
            )
        elif name.startswith("95 %"):
            columns[name] = text(width=110, help="95 % bootstrap interval of the mean")
        elif name not in columns:
            columns[name] = number(format="%.3f", width=74)
    for measure, means in protocol.measures.items():
        name = evaluated.mean_name(measure)
        if name in columns and measure != protocol.headline:
            columns[name] = number(format="%.3f", width=78, help=means)
    return columns


def meaning(row: Row) -> None:
    """What each number means, folded away."""
    protocol = row.judged_by
    with st.expander("What the numbers mean"):
        st.markdown(plain(protocol.meaning))
        lines = [
            f"- **{plain(name)}** {plain(says)}" for name, says in words.glossary(protocol, row.k)
        ]
        st.markdown("\n".join(lines))
        st.caption(f"{plain(protocol.paper)}. <{protocol.url}>")
