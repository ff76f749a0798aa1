"""Where the time goes: a stacked bar per row, once it was measured."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from pages.parts.compare import Row, milliseconds

MEASURE = "measure_now"  # in the session: the button was pressed
_WORDS = {"preprocess": "prepare"}
_COLOURS = ["#9aa5b8", "#c3ccdb", "#7fb2ff", "#2457d6", "#1a936f", "#8a4fd3", "#e07a1f", "#c2314b"]


def bars(rows: Sequence[Row], names: Sequence[str]) -> None:
    """Draw the measured rows; nothing where none is.

    Args:
        names: what each row is called.
    """
    lines, stages = [], dict[str, None]()
    for row, name in zip(rows, names, strict=True):
        if row.measured is None:
            continue
        for order, (stage, timing) in enumerate(row.measured.stages.items()):
            word = _WORDS.get(stage, stage)
            stages[word] = None
            spread = f"{milliseconds(timing.low)} to {milliseconds(timing.high)}"
            lines.append(
                {"row": name, "stage": word, "ms": timing.median, "spread": spread, "order": order}
            )
    if not lines:
        return
    scale = alt.Scale(
        domain=list(stages), range=[_COLOURS[i % len(_COLOURS)] for i in range(len(stages))]
    )
    chart = (
        alt.Chart(pd.DataFrame(lines), height=110 + 30 * len({one["row"] for one in lines}))
        .mark_bar()
        .encode(
            y=alt.Y(
                "row:N", sort=None, title=None, axis=alt.Axis(labelLimit=240, labelOverlap=False)
            ),
            x=alt.X("ms:Q", stack=True, title="ms, median of the runs; stages add up to the total"),
            color=alt.Color(
                "stage:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=8)
            ),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("row:N", title="Row"),
                alt.Tooltip("stage:N", title="Stage"),
                alt.Tooltip("ms:Q", title="ms", format=".2f"),
                alt.Tooltip("spread:N", title="Middle half of the runs"),
            ],
        )
    )
    st.altair_chart(chart, width="stretch", alt="Time of each stage per row", key="stage_bars")
