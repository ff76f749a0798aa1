"""The re-rankers by name, and chains of them: ``aqe:k=5+sift``.

To add one, write its module and add its line to ``RERANKERS``.
"""

from __future__ import annotations

from collections.abc import Sequence

from data import specs
from data.errors import PlaygroundError
from data.specs import Methods, Row
from extractors import registry as extractor_registry
from retrieval.rerank.base import RerankCard, Reranker

RERANKERS: dict[str, Row] = {
    "aqe": Row("retrieval.rerank.aqe:Aqe", "AQE"),
    "rocchio": Row("retrieval.rerank.rocchio:Rocchio", "Rocchio"),
    "alpha-qe": Row("retrieval.rerank.alpha_qe:AlphaQe", "α-QE"),
    "dba": Row("retrieval.rerank.dba:Dba", "DBA"),
    "diffusion": Row("retrieval.rerank.diffusion:Diffusion", "Diffusion"),
    "qge": Row("retrieval.rerank.qge:Qge", "QGE"),
    "superglobal": Row("retrieval.rerank.superglobal:SuperGlobal", "SuperGlobal"),
    "k-reciprocal": Row("retrieval.rerank.k_reciprocal:KReciprocal", "k-reciprocal"),
    "ransac": Row("retrieval.rerank.ransac:Ransac", "RANSAC"),
    "sift": Row("retrieval.rerank.sift:Sift", "SIFT"),
    "saha": Row("retrieval.rerank.saha:Saha", "SAHA"),
    "lightglue": Row("retrieval.rerank.lightglue:LightGlue", "LightGlue"),
    "loftr": Row("retrieval.rerank.loftr:Loftr", "LoFTR"),
    "asmk": Row("retrieval.rerank.asmk:Asmk", "ASMK"),
}
NONE = "none"
MOST = 4  # re-rankers in a chain

_METHODS: Methods[Reranker] = Methods(
    "re-ranker", RERANKERS, lambda: ", ".join(RERANKERS) + ", or none"
)
canonical = _METHODS.canonical


def names() -> list[str]:
    """All re-rankers, in the order in which pages show them."""
    return list(RERANKERS)


def card(name: str) -> RerankCard:
    """What the pages show about a method."""
    return _METHODS.type_of(name).card


def create(spec: str) -> Reranker:
    """The re-ranker of a spec.

    Raises:
        PlaygroundError: unknown name or field, illegal value, or a package that is not installed.
    """
    make = _METHODS.type_of(_METHODS.parse(spec)[0])
    return make(_METHODS.config(spec))


def chain(text: str | Sequence[str]) -> tuple[str, ...]:
    """The canonical specs of a chain: ``aqe:k=5+sift``, its parts, or ``none``.

    Raises:
        PlaygroundError: unknown names or values, a method twice, or more than ``MOST``.
    """
    parts = _split(text) if isinstance(text, str) else [one.strip() for one in text]
    found = tuple(canonical(part) for part in parts if part != NONE)
    for spec in found:
        create(spec)  # refuses illegal values
    kinds = [spec.partition(":")[0] for spec in found]
    if len(set(kinds)) < len(kinds) or len(found) > MOST:
        raise PlaygroundError(
            f"The chain {join(found)} is not possible. Legal: at most {MOST} re-rankers, each "
            f"method once."
        )
    return found


def join(specs_: Sequence[str]) -> str:
    """A chain as one text; what ``chain`` reads back."""
    return "+".join(specs_) or NONE


def slug(specs_: Sequence[str]) -> str:
    """A file name for a chain of canonical specs."""
    return specs.slug(join(specs_))


def legal_after(extractor: str) -> list[str]:
    """The methods that can follow an extractor."""
    local = extractor_registry.is_local(extractor)
    refused = "global" if local else "local"
    return [name for name in RERANKERS if _METHODS.type_of(name).needs != refused]


def _split(text: str) -> list[str]:
    """Parts of a chain. A '+' or ',' parts re-rankers where a known name follows.

    The elements of a tuple stand between '+' as well, and fields between ','.
    """
    parts: list[str] = []
    for piece in text.replace(",", "+,").split("+"):
        mark = piece.startswith(",")
        bare = piece.lstrip(",").strip()
        name = bare.partition(":")[0]
        continues = parts and ("=" in name or (not mark and _is_number(bare)))
        if continues:
            parts[-1] += ("," if mark else "+") + bare
        elif bare:
            parts.append(bare)
    return parts or [NONE]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
