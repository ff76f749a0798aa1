"""The comparison table above the results, and its downloads."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.parts import backend, compare, saving
from pages.parts.compare import Row
from pages.search.timing import MEASURE, bars


@dataclasses.dataclass(frozen=True)
class Judged:
    """The AP of the shown query as it was evaluated: by a protocol, over the whole ranking.

    ``values`` are by extractor and index; what was not evaluated is absent.
    """

    protocol: str
    title: str
    values: Mapping[tuple[str, str, str], float]


def frame(rows: Sequence[Row], k: int, judged: Judged | None = None) -> pd.DataFrame:
    """The table as a frame, columns as in ``compare.record``, with ``AP_<protocol>`` if known."""
    found = pd.DataFrame(compare.records(rows, k))
    if judged is not None:
        values = [judged.values.get((row.extractor, row.index, row.chain)) for row in rows]
        place = list(found.columns).index(f"AP@{k}") + 1
        found.insert(place, f"AP_{judged.protocol}", pd.Series(values, dtype="float64"))
    return found


def csv(rows: Sequence[Row], k: int, judged: Judged | None = None) -> str:
    """The table for a spreadsheet."""
    return str(frame(rows, k, judged).to_csv(index=False))


def as_json(rows: Sequence[Row], k: int, settings: dict[str, Any]) -> str:
    """Settings, table and every hit."""
    return json.dumps(
        {
            "settings": settings,
            "table": compare.records(rows, k),
            "results": [row.result.to_json() for row in rows],
        },
        ensure_ascii=False,
        indent=1,
        default=str,
    )


def show(
    rows: Sequence[Row],
    k: int,
    settings: dict[str, Any],
    report: Callable[[], str],
    judged: Judged | None = None,
) -> None:
    """Draw the table and the download buttons; ``report`` makes the HTML when it is asked for."""
    from extractors.weights import source_words

    shown = frame(rows, k, judged)
    shown["extractor"] = [backend.title(name) for name in shown["extractor"]]
    shown["index"] = [backend.title(name) for name in shown["index"]]
    shown["weights"] = [source_words(source) for source in shown["weights"]]
    known = any(row.truth is not None for row in rows)
    chained = any(row.result.recipe.rerank for row in rows)
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(shown), 38 + 35 * 12) + 2,
        row_height=35,
        placeholder="–",
        column_config=_columns(k, judged),
        column_order=[
            name
            for name in shown.columns
            if (name != "load_ms" or shown["load_ms"].notna().any())
            and name not in (f"precision@{k}", "bytes_per_vector")
            and (known or name not in ("found", f"AP@{k}"))
            and (chained or name not in ("rerank", "rerank_ms", "gain"))
            and (name != "gain" or shown["gain"].notna().any())
        ],
        key="comparison",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        saving.button(
            "CSV",
            functools.partial(csv, rows, k, judged),
            "comparison.csv",
            "The table, with all stages",
        )
        saving.button(
            "JSON",
            functools.partial(as_json, rows, k, settings),
            "comparison.json",
            "The table and every hit",
        )
        saving.button(
            "Report HTML",
            report,
            "comparison.html",
            "Settings, query, results side by side and times in one file that opens offline",
        )
        for row in rows:
            if row.result.matches:
                saving.button(
                    f"{backend.label(row.extractor)} matches NPZ",
                    functools.partial(_matches, row),
                    "matches.npz",
                    "Places that match, x and y in the query's photo and in the found ones",
                    key=f"matches-{row.id}",
                )
        if st.button(
            "Measure",
            help="Describe and search several times, all rows in turn: warm medians",
        ):
            st.session_state[MEASURE] = True
            st.rerun()
    names = [backend.row_title(row.extractor, row.index, row.chain) for row in rows]
    bars(rows, names)
    missing = [] if known else ["Precision and AP need a query whose landmark is known."]
    if any(row.flat_ids is None for row in rows):
        missing.append("Agreement with exact search needs the Flat index of the same extractor.")
    if missing:
        st.caption(" ".join(missing))


def _matches(row: Row) -> bytes:
    from retrieval.export import matches_npz

    return matches_npz(row.result)


def _columns(k: int, judged: Judged | None = None) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    bar = st.column_config.ProgressColumn

    def ms(label: str, what: str) -> Any:
        return number(label, format="%.1f", help=what, width=84)

    columns = {
        "extractor": st.column_config.TextColumn("Extractor", width=110, pinned=True),
        "index": st.column_config.TextColumn("Index", width=84),
        "total_ms": ms("Total ms", "All stages together, from the file to the hits"),
        "decode_ms": ms("Decode ms", "From the file to pixels"),
        "crop_ms": ms("Crop ms", "Cutting out the region"),
        "preprocess_ms": ms("Prepare ms", "Resizing the crop to what the extractor wants"),
        "extract_ms": ms("Extract ms", "From pixels to the descriptor"),
        "search_ms": ms("Search ms", "FAISS alone"),
        "rerank": st.column_config.TextColumn("Re-rank", width=90),
        "rerank_ms": ms("Re-rank ms", "All re-ranking stages; 0 without one"),
        "load_ms": ms("Load ms", "Loading the model; not part of the total"),
        "times": st.column_config.TextColumn(
            "Times",
            width=110,
            help="once: a single search, a hint. Measure gives the median of several. described "
            "earlier: this crop was described for somebody before, and is not timed again",
        ),
        f"AP@{k}": bar(
            f"AP@{k}",
            min_value=0,
            max_value=1,
            format="%.2f",
            width=100,
            help="Average precision: right ones early count more",
        ),
        f"overlap@{k}": bar(
            "Agrees with exact",
            min_value=0,
            max_value=1,
            format="%.2f",
            width=110,
            help=f"Share of the first {k} that exact search (Flat) returns too",
        ),
        "gain": number(
            "Gain",
            format="%+.2f",
            width=70,
            help=f"AP@{k} against the same row without this re-ranking",
        ),
        "found": st.column_config.TextColumn(
            "Found",
            width=76,
            help=f"Right photos among the first {k}, of as many as there could be",
        ),
        "bytes_per_photo": number(
            "Bytes / photo",
            format="%.0f",
            width=100,
            help="Of the index; local features take many vectors per photo",
        ),
        "build_s": number("Build s", format="%.2f", width=76, help="Building the index"),
        "weights": st.column_config.TextColumn("Weights", width=150),
    }
    if judged is not None:
        columns[f"AP_{judged.protocol}"] = bar(
            "AP",
            min_value=0,
            max_value=1,
            format="%.2f",
            width=100,
            help=f"Over the whole ranking, as evaluated on the Accuracy page: {judged.title}",
        )
    return columns
