"""The indexes by name, and the specs that people type: ``ivf:nlist=16,nprobe=4``.

A spec is a name, then optionally ``:`` and overrides ``parameter=value`` between commas. A FAISS
factory string follows its name as it is, its own search parameters behind ``;``:
``factory:OPQ16_64,IVF256,PQ16x4fs,RFlat;nprobe=8,k_factor=20``. To add an index, write its module
and add its row to ``TYPES``: every page has it then.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from importlib.util import find_spec

from data import specs
from data.errors import PlaygroundError
from data.specs import Methods, Row
from indexing.base import IndexCard, IndexType, Value


@dataclasses.dataclass(frozen=True)
class IndexRow(Row):
    """What is known of a kind of index before its library is imported."""

    colour: str = ""  # of its points in charts; empty: a free one
    view: str = ""  # pages/inside/<view>.py draws it; empty: it cannot be looked into
    basic: bool = True  # "all" stands for it, too
    package: str = ""  # optional Python package that it needs


TYPES: dict[str, IndexRow] = {
    "flat": IndexRow("indexing.flat:Flat", "Flat", "#3b6fe0", view="flat"),
    "ivf": IndexRow("indexing.ivf:Ivf", "IVF", "#e07a1f", view="ivf"),
    "lsh": IndexRow("indexing.lsh:Lsh", "LSH", "#1a936f", view="lsh"),
    "pq": IndexRow("indexing.pq:Pq", "PQ", "#8a4fd3", view="pq"),
    "flat-l1": IndexRow("indexing.flat_l1:FlatL1", "Flat L1", view="flat", basic=False),
    "factory": IndexRow("indexing.factory:Factory", "Factory", basic=False),
    "milvus-flat": IndexRow(
        "indexing.milvus:MilvusFlat", "Milvus Flat", "#0e7c86", basic=False, package="pymilvus"
    ),
    "milvus-ivf": IndexRow(
        "indexing.milvus:MilvusIvf", "Milvus IVF", "#b8860b", basic=False, package="pymilvus"
    ),
    "milvus-hnsw": IndexRow(
        "indexing.milvus:MilvusHnsw", "Milvus HNSW", "#a23b72", basic=False, package="pymilvus"
    ),
}
FREE_TEXT = "factory"  # its spec holds a text with commas instead of overrides

_METHODS: Methods[IndexType] = Methods(
    "index",
    TYPES,
    lambda: (
        f"{', '.join(TYPES)}; with parameters such as ivf:nlist=16,nprobe=4 or "
        f"factory:OPQ16_64,IVF256,PQ16x4fs,RFlat"
    ),
)


def names() -> list[str]:
    """All kinds of index, the exact one first."""
    return list(TYPES)


def basic() -> list[str]:
    """The kinds that need nothing but their name: what ``all`` stands for."""
    return [name for name, row in TYPES.items() if row.basic]


def offered() -> list[str]:
    """The kinds that a build form offers: the basic ones, and those whose package is here."""
    further = [name for name, row in TYPES.items() if row.package and find_spec(row.package)]
    return [*basic(), *further]


def card(name: str) -> IndexCard:
    """What the pages show about a kind of index."""
    return index_type(name).card


def index_type(name: str) -> IndexType:
    """The kind of index of a name.

    Raises:
        PlaygroundError: there is no such kind, or its Python package is not installed.
    """
    _METHODS.check(name)
    return _made(_METHODS.type_of(name))


@functools.cache
def _made(cls: type[IndexType]) -> IndexType:
    return cls()


def family_title(text: str) -> str:
    """``ivf+pq+refine`` as IVF + PQ + refine."""
    titles = {part.lower(): part for part in index_type(FREE_TEXT).families}
    titles |= {name: row.title for name, row in TYPES.items()}
    return " + ".join(titles.get(part, part) for part in text.split("+"))


def expand(text: str) -> list[str]:
    """The specs of a list between commas; ``all`` stands for ``basic()``.

    A part such as ``nprobe=4`` belongs to the spec before it. A factory string holds commas of
    its own, so it comes last.
    """
    before, marker, factory = text.partition(f"{FREE_TEXT}:")
    listed: list[str] = []
    for part in filter(None, specs.split_list(before)):
        listed += basic() if part == "all" else [part]
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


def with_search(spec: str, values: Mapping[str, int]) -> str:
    """The spec with search parameters, as the Search page would be given it."""
    name, overrides = _split(spec)
    return _join(name, overrides | {key: str(value) for key, value in values.items()})


def slug(spec: str) -> str:
    """A file name for a spec, see ``data.specs.slug``."""
    return specs.slug(canonical(spec))


def _split(spec: str) -> tuple[str, dict[str, str]]:
    name, _, rest = (part.strip() for part in spec.partition(":"))
    _METHODS.check(name)
    overrides: dict[str, str] = {}
    if name == FREE_TEXT:
        text, _, rest = rest.partition(";")
        overrides["factory"] = "".join(text.split())
        if not overrides["factory"]:
            raise PlaygroundError(
                f"The index '{spec}' has no factory string. Legal: factory: and a string, such as "
                f"factory:PQ16x4fs,RFlat."
            )
    if rest.strip():
        what = f"index '{spec}'"
        overrides |= specs.overrides_of(rest, what, lambda: ", ".join(card(name).parameters))
        if "" in overrides.values():
            raise PlaygroundError(f"The {what} has an empty value. Legal: parameter=number.")
    return name, overrides


def _join(name: str, overrides: dict[str, str]) -> str:
    rest = dict(overrides)
    text = rest.pop("factory", "") if name == FREE_TEXT else ""
    fields = ",".join(f"{key}={_number(rest[key])}" for key in sorted(rest))
    if text:
        return f"{name}:{text}" + (f";{fields}" if fields else "")
    return f"{name}:{fields}" if fields else name


def _number(text: str) -> str:
    """Whole numbers without leading zeros, so that equal ones are equal texts."""
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else text
