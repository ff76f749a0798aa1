"""Trained weights as files to keep: safetensors in half precision, with a card.

Networks that share a trunk store it once: a file may leave out tensors that another file has
(``shares`` in its header), and ``extractors.weights.read_state`` puts them together again.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from data.artefact import explain_os_errors, file_sha256, write_atomically
from data.errors import PlaygroundError
from extractors.weights import (
    CARD,
    SHARES,
    TRUNK_OF,
    TRUNK_SHA256,
    Weights,
    measured_tables,
    read_state,
)

MAX_HISTORY = 200  # entries kept in a card; the report of the training has all


@dataclasses.dataclass(frozen=True)
class Shared:
    """A file whose tensors need not be stored again.

    ``prefix`` comes before its names in the network that shares it (``trunk.``).
    """

    path: Path
    prefix: str


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and convolutions in fp16; vectors (biases, BatchNorm's) stay fp32.

    Vectors are few, and variances of dead channels would be lost below fp16's range.

    Raises:
        PlaygroundError: a value is not finite in the precision it is stored in.
    """
    kept = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    stored = {
        k: v.detach().cpu().to(torch.float16 if v.ndim > 1 else torch.float32).contiguous()
        for k, v in kept.items()
    }
    broken = [k for k, v in stored.items() if not bool(torch.isfinite(v).all())]
    if broken:
        raise PlaygroundError(
            f"The trained network has values that are not finite in fp16, in {broken[0]} and "
            f"{len(broken) - 1} more tensors. Train again with a lower --learning-rate."
        )
    return stored


def save_weights(
    path: Path,
    state: dict[str, Tensor],
    card: dict[str, Any],
    shared: Shared | None = None,
    kept: Weights | None = None,
) -> None:
    """Write ``path`` (.safetensors) and beside it its card as ``.json`` and ``.md``.

    Args:
        state: in the names that the extractor loads.
        card: JSON-able; see ``card_of``.
        shared: tensors equal to this file's are left out; it must lie in the same folder when
            the result is read.
        kept: weights of the trunk, where training left it as it was: ``trunk.*`` is left out, and
            the header names them.
    """
    if kept is not None:
        state = {k: v for k, v in state.items() if not k.startswith("trunk.")}
    stored = halved(state)
    header = {"format": "pt", CARD: json.dumps(card, ensure_ascii=False)}
    if kept is not None:
        header |= {TRUNK_OF: kept.network, TRUNK_SHA256: kept.sha256}
    if shared is not None:
        base = halved(read_state(shared.path))
        names = [
            name
            for name, value in base.items()
            if (own := stored.get(shared.prefix + name)) is not None and torch.equal(own, value)
        ]
        for name in names:
            del stored[shared.prefix + name]
        header[SHARES] = json.dumps(
            {
                "file": shared.path.name,
                "sha256": file_sha256(shared.path),
                "prefix": shared.prefix,
                "tensors": names,
            }
        )
    with explain_os_errors(f"Saving {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            # A copy each: safetensors refuses tensors that share memory.
            safetensors.torch.save_file(
                {k: v.clone() for k, v in stored.items()}, temporary, header
            )
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
        write_atomically(path.with_suffix(".json"), text)
        write_atomically(path.with_suffix(".md"), card_text(path.stem, card))


def card_of(
    title: str,
    recipe: dict[str, Any],
    history: list[dict[str, Any]],
    seconds: float,
    hardware: str,
    provenance: dict[str, Any],
    data: str,
) -> dict[str, Any]:
    """What there is to know about trained weights.

    Args:
        title: what was trained, in a few words.
        recipe: the checkpoint's recipe; seed and the pictures' fingerprint are in it.
        history: the training's records.
        provenance: ``command`` and ``commit``.
        data: what it learned from, in a sentence.
    """
    return {
        "title": title,
        "data": data,
        "hardware": hardware,
        "hours": round(seconds / 3600, 3),
        **provenance,
        "seed": recipe.get("seed"),
        "recipe": recipe,
        "history": thinned(history),
        "measured": [],  # rows that scripts.measure_weights --card adds
        "notes": "",  # by hand: what limits it, and what more compute would buy
    }


def thinned(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most ``MAX_HISTORY`` losses, evenly spread; all other records."""
    losses = [i for i, entry in enumerate(history) if "loss" in entry]
    if len(losses) <= MAX_HISTORY:
        return history
    step = len(losses) / MAX_HISTORY
    kept = {losses[min(len(losses) - 1, round(n * step))] for n in range(MAX_HISTORY)}
    kept.add(losses[-1])
    return [entry for i, entry in enumerate(history) if "loss" not in entry or i in kept]


def card_text(name: str, card: dict[str, Any]) -> str:
    """The card for people, in Markdown."""
    lines = [f"# {name}", "", f"{card['title']}. Learned from: {card['data']}", ""]
    facts = {
        "Command": f"`{card.get('command', '')}`",
        "Commit": card.get("commit", ""),
        "Hardware": card["hardware"],
        "Hours": card["hours"],
        "Seed": card["seed"],
    }
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    recipe = {k: v for k, v in card["recipe"].items() if not isinstance(v, dict)}
    lines += ["", "| recipe | |", "|---|---|", *(f"| {k} | {v} |" for k, v in recipe.items())]
    for rows in measured_tables(card):
        lines += ["", f"| {' | '.join(rows[0])} |", "|" + "---|" * len(rows[0])]
        lines += [f"| {' | '.join(row.values())} |" for row in rows]
    scored = [entry for entry in card["history"] if "map" in entry]
    if scored:
        first, last = scored[0], scored[-1]
        lines += ["", f"Validation mAP {first['map']:.3f} at first, {last['map']:.3f} at last."]
    if card.get("notes"):
        lines += ["", str(card["notes"])]
    return "\n".join(lines) + "\n"
