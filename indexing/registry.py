"""The indexes by name, and the specs that people type: ``ivf:nlist=16,nprobe=4``.

A spec is a name, then optionally ``:`` and overrides ``parameter=value`` between commas. A FAISS
factory string follows its name as it is, its own search parameters behind ``;``:
``factory:OPQ16_64,IVF256,PQ16x4fs,RFlat;nprobe=8,k_factor=20``. To add an index, write its module
and add its line to ``TYPES``.
"""

from __future__ import annotations

import functools
import importlib
from typing import cast

from data import specs
from data.errors import PlaygroundError
from indexing.base import IndexCard, IndexType, Value

# Modules are imported at the first use, so that one index's missing package leaves the others.
TYPES: dict[str, str] = {
    "flat": "indexing.flat:Flat",
    "ivf": "indexing.ivf:Ivf",
    "lsh": "indexing.lsh:Lsh",
    "pq": "indexing.pq:Pq",
    "factory": "indexing.factory:Factory",
}
_FREE_TEXT = "factory"  # its spec holds a text with commas instead of overrides


def names() -> list[str]:
    """All kinds of index, the exact one first."""
    return list(TYPES)


def card(name: str) -> IndexCard:
    """What the pages show about a kind of index."""
    return index_type(name).card


@functools.cache
def index_type(name: str) -> IndexType:
    """The kind of index of a name.

    Raises:
        PlaygroundError: there is no such kind, or its Python package is not installed.
    """
    if name not in TYPES:
        raise PlaygroundError(
            f"There is no index '{name}'. Legal: {', '.join(TYPES)}; with parameters such as "
            f"ivf:nlist=16,nprobe=4 or factory:OPQ16_64,IVF256,PQ16x4fs,RFlat."
        )
    module, _, attribute = TYPES[name].partition(":")
    try:
        return cast(IndexType, getattr(importlib.import_module(module), attribute)())
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"data", "extractors", "indexing"}:  # a defect of ours
            raise
        raise PlaygroundError(
            f"The index '{name}' needs the Python package {missing}, which is not installed. "
            f"Install the project's requirements, or choose another one of {', '.join(TYPES)}."
        ) from error


def expand(text: str) -> list[str]:
    """The specs of a list between commas; ``all`` stands for every kind but factory strings.

    A part such as ``nprobe=4`` belongs to the spec before it. A factory string holds commas of
    its own, so it comes last.
    """
    before, marker, factory = text.partition(f"{_FREE_TEXT}:")
    listed: list[str] = []
    for part in filter(None, specs.split_list(before)):
        listed += [n for n in names() if n != _FREE_TEXT] if part == "all" else [part]
    if marker:
        listed.append(marker + factory)
    for spec in listed:
        parse_index_spec(spec)
    return list(dict.fromkeys(listed))


def parse_index_spec(spec: str) -> tuple[IndexType, dict[str, Value]]:
    """The kind of index and the overrides of a spec; ``IndexType.plan`` checks their values.

    Raises:
        PlaygroundError: unknown name, or not of the form above.
    """
    name, overrides = _split(spec)
    return index_type(name), dict(overrides)


def canonical(spec: str) -> str:
    """The one spelling of equal specs: no spaces, overrides sorted."""
    name, overrides = _split(spec)
    return _join(name, overrides)


def without_search(spec: str) -> str:
    """The spec of what is built: without the overrides that only steer searches."""
    name, overrides = _split(spec)
    search = index_type(name).search_names
    return _join(name, {k: v for k, v in overrides.items() if k not in search})


def slug(spec: str) -> str:
    """A file name for a spec, see ``data.specs.slug``."""
    return specs.slug(canonical(spec))


def _split(spec: str) -> tuple[str, dict[str, str]]:
    name, colon, rest = (part.strip() for part in spec.partition(":"))
    if name not in TYPES:
        index_type(name)  # raises
    overrides: dict[str, str] = {}
    if name == _FREE_TEXT:
        text, _, rest = rest.partition(";")
        overrides["factory"] = "".join(text.split())
        if not overrides["factory"]:
            raise PlaygroundError(
                f"The index '{spec}' has no factory string. Legal: factory: and a string, such as "
                f"factory:PQ16x4fs,RFlat."
            )
    for part in rest.split(",") if colon and rest.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise PlaygroundError(
                f"'{part.strip()}' in the index '{spec}' is not parameter=value. Legal: a name, or "
                f"name:parameter=value,parameter=value with a parameter of "
                f"{', '.join(card(name).parameters) or 'none'}."
            )
        if key in overrides:
            raise PlaygroundError(f"The index '{spec}' sets {key} twice. Remove one of them.")
        overrides[key] = value
    return name, overrides


def _join(name: str, overrides: dict[str, str]) -> str:
    rest = dict(overrides)
    text = rest.pop("factory", "") if name == _FREE_TEXT else ""
    fields = ",".join(f"{key}={_number(rest[key])}" for key in sorted(rest))
    if text:
        return f"{name}:{text}" + (f";{fields}" if fields else "")
    return f"{name}:{fields}" if fields else name


def _number(text: str) -> str:
    """Whole numbers without leading zeros, so that equal ones are equal texts."""
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else text
