"""The report of a training: its records as JSON, its curves as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data.artefact import write_atomically
from extractors.training.checkpoint import REPORT, Progress

CURVES: dict[str, str] = {
    "loss": "Loss",
    "map": "mAP on held-out landmarks",
    "p@1": "P@1 on held-out landmarks",
    "accuracy": "Accuracy on held-out photos",
    "unexplained": "Share of the map of the teacher that each part misses",
    "negative_similarity": "Similarity of the mined negatives",
    "positive_similarity": "Similarity of the positives",
    "hard": "Share of tuples with a negative closer than the positive",
    "p": "GeM exponent p",
    "lr": "Learning rate",
}


def write_report(folder: Path, title: str, recipe: dict[str, Any], progress: Progress) -> None:
    """Write ``report.json`` and, where matplotlib is installed, ``report.png``."""
    report = {
        "title": title,
        "recipe": recipe,
        "seconds": progress.seconds,
        "ended": progress.ended,
        "history": progress.history,
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / f"{REPORT}.json", text)
    picture = curves_png(title, progress.history)
    if picture is not None:
        write_atomically(folder / f"{REPORT}.png", picture)


def series(history: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """The steps and values of one curve."""
    points = [(e["step"], e[name]) for e in history if isinstance(e.get(name), int | float)]
    return [step for step, _ in points], [float(value) for _, value in points]


def curves_png(title: str, history: list[dict[str, Any]]) -> bytes | None:
    """The curves that have two or more points; None where there is none, or no matplotlib."""
    try:
        from matplotlib.figure import Figure  # no pyplot: nothing global, no display
    except ModuleNotFoundError:
        return None
    import io

    found = {name: series(history, name) for name in CURVES}
    found = {name: points for name, points in found.items() if len(points[0]) > 1}
    if not found:
        return None
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows), layout="constrained")
    for place, (name, (steps, values)) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.plot(steps, values, color="#2a6f97", linewidth=1.5)
        axes.set_title(CURVES[name], fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
