"""What is measured: builds, and the searches that each build serves.

PQ's polysemous Hamming threshold is not among the search parameters: its training is switched off
(see ``indexing.faiss_settings``), as the fast-scan codes (``x4fs``) are both faster and closer.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import psutil

from data.errors import PlaygroundError
from evaluation.tradeoffs import padding
from indexing import registry as index_registry
from indexing.base import Plan
from indexing.faiss_settings import coarse_points
from indexing.pq import divisors

FULL: dict[str, tuple[int, ...]] = {
    "nprobe": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "ef_search": (16, 32, 64, 128, 256, 512),
    "k_factor": (2, 5, 10, 20, 50),
}
QUICK: dict[str, tuple[int, ...]] = {
    "nprobe": (1, 8, 32, 128),
    "ef_search": (16, 64, 256),
    "k_factor": (5, 20),
}
DEFAULT = "default"
_SETTLED = {"k_factor": 10}  # where another parameter is swept
_MOST_ROTATED = 1_024  # numbers; a rotation costs their square, in bytes and at each query


@dataclasses.dataclass(frozen=True)
class Build:
    """An index to build, and how to search it.

    Attributes:
        spec: without search parameters.
        searches: what each search chooses; one empty dict where there is nothing to choose.
        bytes: of the filled index, estimated.
    """

    spec: str
    plan: Plan
    searches: tuple[dict[str, int], ...]
    bytes: int


def builds(
    n: int, dim: int, specs: Sequence[str] | None = None, quick: bool = False
) -> tuple[list[Build], list[str]]:
    """The builds for n vectors of dim numbers, and sentences about what was left out.

    Args:
        specs: what people asked for (see ``user_specs``); None for ``default_specs``. Their
            search parameters are measured alone where they are given, else swept. ``default``
            among them stands for the default ones.
        quick: fewer of both.

    Raises:
        PlaygroundError: one of ``specs`` is not legal for such vectors.
    """
    asked = list(specs) if specs is not None else [DEFAULT]
    found = [one_build(spec, n, dim, quick) for spec in asked if spec != DEFAULT]
    left_out: list[str] = []
    if DEFAULT in asked:
        usual: list[Build] = []
        for spec in default_specs(n, dim, quick):
            try:
                usual.append(one_build(spec, n, dim, quick))
            except PlaygroundError as error:
                left_out.append(f"{spec} is left out at {n:,} vectors: {error}")
        found = usual + found
    return _merged(found), left_out


def one_build(spec: str, n: int, dim: int, quick: bool = False) -> Build:
    """One spec, planned; its search parameters swept unless it names them."""
    kind, overrides = index_registry.parse_index_spec(spec)
    plan = kind.plan(n, dim, overrides)
    given = {name: plan.search[name] for name in plan.search if name in overrides}
    searches = (given,) if given else sweep(plan, quick)
    if given and len(given) < len(plan.search):  # the rest as planned
        searches = ({**plan.search},)
    needed = kind.estimate_bytes(plan, n, dim)
    return Build(index_registry.without_search(spec), plan, searches, needed)


def sweep(plan: Plan, quick: bool) -> tuple[dict[str, int], ...]:
    """Every value of the plan's search parameters that the grid asks for; defaults among them.

    A parameter that the grid does not know keeps its default.

    Of several parameters the first is swept and ``k_factor`` stays at 10: with a second look the
    number of lists decides.
    """
    if not plan.search:
        return ({},)
    values = QUICK if quick else FULL
    names = list(plan.search)
    swept = [name for name in names if len(names) == 1 or name not in _SETTLED]
    highest = {"nprobe": _lists(plan)}
    choices = []
    for name in names:
        if name in swept:
            most = highest.get(name) or math.inf
            wanted = {*values.get(name, ()), plan.search[name]}
            choices.append(sorted(v for v in wanted if v <= most))
        else:
            choices.append([_SETTLED[name]])
    return tuple(dict(zip(names, one, strict=True)) for one in itertools.product(*choices))


def _lists(plan: Plan) -> int:
    """The lists of an IVF, also of a factory string's; 0 without any."""
    if "nlist" in plan.build:
        return int(plan.build["nlist"])
    text = str(plan.build.get("factory", ""))
    digits = "".join(itertools.takewhile(str.isdigit, text.partition("IVF")[2]))
    return int(digits) if digits else 0


def default_specs(n: int, dim: int, quick: bool = False) -> list[str]:
    """A sensible grid for n vectors of dim numbers: every kind, few values of each.

    A kind that the grid does not know is measured as it plans itself.
    """
    lists = sorted({max(1, min(round(f * math.sqrt(n)), n // 39)) for f in (1, 4)})
    lists = lists[-1:] if quick else lists
    m16, m64, m128 = (_parts(dim, wanted) for wanted in (16, 64, 128))
    # The rotation spreads what varies over all parts: recall@10 0.99 instead of 0.95, equally fast
    # (docs/scale.md).
    rotated = f"{'RR,' if dim <= _MOST_ROTATED else ''}PQ{m128}x4fs"
    specs = ["flat"]
    specs += [f"ivf:nlist={nlist}" for nlist in lists]
    specs += [f"lsh:nbits={bits}" for bits in ((256, 1024) if quick else (256, 512, 1024, 2048))]
    specs += [f"pq:m={m}" for m in dict.fromkeys((m64,) if quick else (m16, m64, m128))]
    specs += [f"factory:PQ{m64}x4fs", f"factory:{rotated},RFlat", "factory:HNSW32"]
    if lists[-1] >= 16:
        specs.append(f"factory:IVF{lists[-1]},PQ{m64}x4fs,RFlat")
    if not quick:
        specs += ["factory:SQ8", "factory:RR,RaBitQfs,RFlat", "factory:HNSW16"]
        specs.append(f"factory:{rotated},Refine(SQ8)")
        if lists[-1] >= 16:
            specs.append(f"factory:IVF{lists[-1]},PQ{m64}")
    known = {spec.partition(":")[0] for spec in specs}
    return specs + [name for name in index_registry.basic() if name not in known]


def user_specs(text: str) -> list[str]:
    """Specs between spaces; a factory string may leave out its ``factory:``.

    Raises:
        PlaygroundError: one of them is no spec.
    """
    found = []
    for part in text.split():
        kind = part.partition(":")[0]
        if part == DEFAULT:
            found.append(part)
            continue
        spec = part if kind in index_registry.names() else f"factory:{part}"
        index_registry.parse_index_spec(spec)
        found.append(index_registry.canonical(spec))
    return found


def _parts(dim: int, wanted: int) -> int:
    """The divisor of dim nearest to a number of parts."""
    return min(divisors(dim), key=lambda m: (abs(m - wanted), m))


def _merged(found: Sequence[Build]) -> list[Build]:
    """Builds of equal specs as one, their searches together."""
    merged: dict[str, Build] = {}
    for build in found:
        before = merged.get(build.spec)
        searches = (*before.searches, *build.searches) if before else build.searches
        unique = tuple(dict(one) for one in dict.fromkeys(tuple(s.items()) for s in searches))
        merged[build.spec] = dataclasses.replace(build, searches=unique)
    return list(merged.values())


# Memory


def training_bytes(build: Build, n: int, dim: int) -> int:
    """Bytes of the sample that k-means copies while training, where it does not take all."""
    lists = _lists(build.plan)
    coded = "PQ" in build.spec or build.spec.startswith("pq")
    sample = max(lists * coarse_points(lists), 256 * 256 if coded else 0)
    return 4 * dim * sample if n > sample else 0


def check_memory(found: Sequence[Build], n: int, dim: int, photos: int, collection: str) -> None:
    """Refuse builds that do not fit into the free memory, with what would fit.

    Raises:
        PlaygroundError: at least one does not.
    """
    free = padding.free_memory()
    needs = {build.spec: build.bytes + training_bytes(build, n, dim) for build in found}
    too_large = [spec for spec, need in needs.items() if need > free]
    if not too_large:
        return
    worst = max(needs, key=lambda spec: needs[spec])
    most = padding.round_down(int(n * free / needs[worst]))
    fitting = [spec for spec in needs if spec not in too_large]
    others = f" At {n:,} these would fit: --indexes '{' '.join(fitting)}'." if fitting else ""
    raise PlaygroundError(
        f"{', '.join(too_large)} over {n:,} vectors of {dim} numbers would take up to "
        f"{needs[worst] / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB may be asked for of the "
        f"{psutil.virtual_memory().total / 1e9:.1f} GB of this machine. "
        + padding.what_fits(most, photos, collection)
        + others
    )
