"""The names of timm's models, and what timm says about their checkpoints.

timm is imported at the first use: everything else works without it, and its import takes seconds.
No function here uses the network.
"""

from __future__ import annotations

import difflib
import functools
import importlib
from typing import Any

from data.errors import PlaygroundError

PREFIX = "timm:"  # of a network's name in the weights table: "timm:convnext_tiny"
PRESETS = (
    "vit_small_patch14_dinov2",
    "vit_base_patch14_dinov2",
    "convnext_tiny",
    "tf_efficientnet_lite0",
)


@functools.cache
def library() -> Any:
    """The package timm.

    Raises:
        PlaygroundError: it is not installed.
    """
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        missing = (error.name or "timm").partition(".")[0]
        raise PlaygroundError(
            f"The extractor 'timm' needs the Python package {missing}, which is not installed. "
            f"Install the project's requirements (python -m pip install -r requirements.txt), or "
            f"choose another extractor."
        ) from error


@functools.cache
def _names() -> tuple[list[str], frozenset[str]]:
    """The architectures, and the checkpoints of them that have names: ARCHITECTURE.TAG."""
    timm = library()
    return timm.list_models(), frozenset(timm.list_pretrained())


def check_name(name: str) -> str:
    """Refuse what timm has no model for; return the name otherwise.

    Legal are an architecture (``convnext_tiny``; timm's usual checkpoint) and an architecture with
    the tag of a checkpoint (``convnext_tiny.fb_in1k``). Such a name is also a safe file name.
    """
    architectures, tagged = _names()
    if name in tagged or name in architectures:
        return name
    base = name.partition(".")[0]
    if base in architectures:
        legal = sorted(tag for tag in tagged if tag.startswith(f"{base}."))
        checkpoints = f"{base}, {', '.join(legal)}" if legal else base
        raise PlaygroundError(
            f"timm knows no checkpoint '{name}' of the model {base}. Legal: {checkpoints}."
        )
    near = difflib.get_close_matches(base, architectures, n=5, cutoff=0.5)
    hint = f"The nearest names: {', '.join(near)}." if near else "No name is like it."
    raise PlaygroundError(
        f"timm has no model '{name}'. {hint} Legal: the {len(architectures)} names that "
        f'python -c "import timm; print(timm.list_models())" prints.'
    )


def pretrained_cfg(name: str) -> Any:
    """What timm says about a model's checkpoint (its ``PretrainedCfg``); the name is checked."""
    return library().get_pretrained_cfg(check_name(name))
