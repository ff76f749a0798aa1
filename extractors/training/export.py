"""Trained weights as files to keep: safetensors in half precision or int8, with a card.

Networks that share a trunk store it once: a file may leave out tensors that another file has
(``shares`` in its header), and ``extractors.weights.read_state`` puts them together again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from data.artefact import explain_os_errors, file_sha256, write_atomically
from data.errors import PlaygroundError
from extractors.trunks import trunk
from extractors.weights import (
    CARD,
    INT8,
    SCALE,
    SHARES,
    TRUNK_OF,
    TRUNK_SHA256,
    Weights,
    measured_tables,
    read_state,
)
from extractors.weights import header as header_of

_SMALLEST = 2.0**-24  # above 0 in fp16
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


def quantised(stored: dict[str, Tensor], names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Matrices and convolutions as int8 with one fp16 scale per output channel; the rest as it is.

    Args:
        names: which of them; None = all.

    A scale is the channel's largest value / 127, rounded up to fp16, so that no value has to be cut
    off: what is read again differs by half a scale at most.

    Returns:
        Besides each int8 tensor its scales, (channels,), under its name and ``SCALE``.
    """
    result: dict[str, Tensor] = {}
    for name, value in stored.items():
        if value.ndim < 2 or (names is not None and name not in names):
            result[name] = value
            continue
        exact = value.float()
        wanted = exact.abs().amax(dim=tuple(range(1, exact.ndim))) / 127
        scale = wanted.half()
        short = scale.float() < wanted
        scale[short] = torch.nextafter(scale[short], torch.tensor(torch.inf, dtype=torch.half))
        scale = scale.clamp(min=_SMALLEST)  # of a channel of zeros
        steps = exact / scale.float().reshape(-1, *[1] * (exact.ndim - 1))
        result[name] = steps.round().to(torch.int8)
        result[f"{name}{SCALE}"] = scale
    return result


def save_weights(
    path: Path,
    state: dict[str, Tensor],
    card: dict[str, Any],
    shared: Shared | None = None,
    kept: Weights | None = None,
    int8: bool = False,
) -> None:
    """Write ``path`` (.safetensors) and beside it its card as ``.json`` and ``.md``.

    Args:
        state: in the names that the extractor loads.
        card: JSON-able; see ``card_of``.
        shared: tensors equal to this file's are left out; it must lie in the same folder when
            the result is read.
        kept: weights of the trunk, where training left all or most of it as it was: of ``trunk.*``
            what equals them is left out, and the header names them.
        int8: a quarter of fp32's size instead of half of it (``quantised``).
    """
    if kept is not None:
        same = trunk(kept.network, kept).state_dict()
        state = {
            k: v
            for k, v in state.items()
            if (own := same.get(k.removeprefix("trunk."))) is None or not torch.equal(v.cpu(), own)
        }
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
    if int8:
        names = [name for name, value in stored.items() if value.ndim > 1]
        header[INT8] = json.dumps(names)
        stored = quantised(stored)
    with explain_os_errors(f"Saving {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, stored, header)
        text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
        write_atomically(path.with_suffix(".json"), text)
        write_atomically(path.with_suffix(".md"), card_text(path.stem, card))


def _write(path: Path, tensors: dict[str, Tensor], texts: dict[str, str]) -> None:
    """A safetensors file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # A copy each: safetensors refuses tensors that share memory.
        safetensors.torch.save_file({k: v.clone() for k, v in tensors.items()}, temporary, texts)
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def quantise_file(path: Path, keep: str = "") -> None:
    """Rewrite a file of ours as int8. Files beside it that share its tensors get its new SHA-256.

    Args:
        keep: tensors in whose names this regular expression is found stay as they are.

    Raises:
        PlaygroundError: it is int8 already, or leaves tensors to another file.
    """
    texts, before = header_of(path), file_sha256(path)
    if INT8 in texts or SHARES in texts or CARD not in texts:
        raise PlaygroundError(
            f"{path} cannot be made int8: it is so already, shares another file's tensors or is "
            f"none of ours. Legal: a network saved by a training of this project."
        )
    stored = halved(read_state(path))
    names = [name for name, value in stored.items() if value.ndim > 1]
    names = [name for name in names if not (keep and re.search(keep, name))]
    with explain_os_errors(f"Saving {path}"):
        _write(path, quantised(stored, names), {**texts, INT8: json.dumps(names)})
        after = file_sha256(path)
        for other in sorted(path.parent.glob("*.safetensors")):
            own = header_of(other)
            shares = json.loads(own.get(SHARES, "{}"))
            if shares.get("sha256") == before:
                own[SHARES] = json.dumps({**shares, "sha256": after})
                _write(other, safetensors.torch.load_file(other), own)


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
