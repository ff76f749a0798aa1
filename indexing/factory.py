"""Any FAISS index by its factory string, such as ``OPQ16_64,IVF256,PQ16x4fs,RFlat``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import psutil

from data.errors import PlaygroundError
from indexing.base import (
    Floats,
    IndexCard,
    Plan,
    SearchParameter,
    Value,
    as_int,
    check_size,
    plural,
)
from indexing.faiss_index import FaissIndex, FaissType, fill
from indexing.faiss_settings import (
    POINTS_PER_CENTROID,
    apply,
    coarse_clustering,
    faiss,
    quiet_clustering,
    reason,
    training_threads,
)
from indexing.ivf import default_probes, few_per_list
from indexing.pq import divisors

_LEGAL = re.compile(r"[A-Za-z0-9_,()+]{1,120}")
_MOST_CANDIDATES = 4_096  # of HNSW
_MOST_ROUNDS = 50  # of OPQ: FAISS's own default
_MOST_BEAM = 32
_LARGEST = 16_384  # dimension or count in a string at most, lists apart
_EXAMPLES = (
    "Flat, IVF256,Flat, PQ16x4fs,RFlat, OPQ16_64,IVF256,PQ16x4fs,RFlat, HNSW32, SQ8, "
    "RR,RaBitQfs,RFlat"
)
_GUIDE = "https://github.com/facebookresearch/faiss/wiki/The-index-factory"
# Steps that give equal bytes with any number of threads, see faiss_settings. A graph is the same
# only as long as its vectors are added one after the other.
_ANY_THREADS = {
    "IndexFlat",
    "IndexFlatL2",
    "IndexIVFFlat",
    "IndexIVFPQ",
    "IndexIVFPQFastScan",
    "IndexPQ",
    "IndexPQFastScan",
    "IndexRefine",
    "IndexRefineFlat",
    "IndexScalarQuantizer",
    "IndexIVFScalarQuantizer",
}
# What a string's kind is named after, in this order.
_PARTS = ("HNSW", "IVF", "PQ", "PRQ", "PLSQ", "RQ", "LSQ", "SQ", "RaBitQ", "EDEN")
_MARKS = re.compile(rf"OPQ|{'|'.join(sorted(_PARTS, key=len, reverse=True))}")
# The classes that read_index makes of what index_factory makes.
_READ_AS = {
    "IndexFlat": "IndexFlatL2",
    "OPQMatrix": "LinearTransform",
    "RandomRotationMatrix": "LinearTransform",
}
_MEANINGS = {
    "nprobe": "cells visited per query; more find more",
    "ef_search": "candidates kept while walking the graph; more find more",
    "k_factor": "candidates per wanted neighbour that are compared again more exactly",
}


class Factory(FaissType):
    """faiss.index_factory, with what would stop the process or fill the memory refused."""

    name = "factory"
    alone = True
    search_names = ("nprobe", "ef_search", "k_factor")
    families = _PARTS
    card = IndexCard(
        title="FAISS factory string",
        idea=(
            "FAISS combines a transformation (OPQ, PCA, random rotation), a coarse division (IVF), "
            "a code (Flat, PQ, SQ, RaBitQ) or a graph (HNSW), and an exact second look (RFlat). "
            "The string names the parts in that order."
        ),
        formula=r"x \mapsto \mathrm{code}\bigl(R\,x - \mu_{c(R\,x)}\bigr)",
        parameters={
            "factory": f"the string; examples: {_EXAMPLES}",
            "nprobe": "with IVF: cells visited per query; default nlist / 8, 4 to 64",
            "ef_construction": "with HNSW: candidates kept while building, 1 to 4096; default 40",
            "opq_iterations": "with OPQ: rounds that learn the rotation, 1 to 50; default 50",
            "beam": "with RQ: partial codes kept while encoding, 1 to 32; default 5",
            "ef_search": "with HNSW: candidates kept during the walk, 1 to 4096; default 64",
            "k_factor": "with RFlat or Refine: candidates per neighbour, 1 to 100; default 10",
        },
        paper=(
            "M. Douze et al., The Faiss library, arXiv 2024; T. Ge et al., Optimized Product "
            "Quantization, CVPR 2013; Y. Malkov, D. Yashunin, HNSW, TPAMI 2020; J. Gao, C. Long, "
            "RaBitQ, SIGMOD 2024"
        ),
        url=_GUIDE,
        cost="Depends on the string; the plan refuses what does not fit into half the memory.",
        when_to_use=(
            "To try what FAISS offers. RR,PQ128x4fs,RFlat (512 numbers) is nearly exact and tens "
            "of times faster than Flat on large collections; with Refine(SQ8) in place of RFlat it "
            "takes a quarter of the memory."
        ),
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        chosen = dict(overrides or {})
        text = str(chosen.pop("factory", "")).replace(" ", "")
        index = _parse(text, n, d)
        notes = _check_training(text, list(walk(index)), n)
        needed = _filled_bytes(index, n)
        limit = psutil.virtual_memory().total // 2
        if needed > limit:
            raise PlaygroundError(
                f"'{text}' over {n:,} vectors of {d} numbers would take about "
                f"{needed / 1e9:.1f} GB. Legal: up to half of this machine's memory, "
                f"{limit / 1e9:.1f} GB. Choose a shorter code, such as PQ or SQ8 without RFlat."
            )
        build: dict[str, Value] = {"factory": text}
        for name, most in _training(index).items():
            if name in chosen:
                build[name] = as_int(name, chosen.pop(name), 1, most)
        legal = _parameters(index)
        search = {key: entry.default for key, entry in legal.items()}
        for key, value in chosen.items():
            if key not in legal:
                raise PlaygroundError(
                    f"'{text}' has no parameter '{key}'. Legal: {', '.join(legal) or 'none'}."
                )
            search[key] = as_int(key, value, legal[key].low, legal[key].high)
        return Plan(build, search, tuple(notes))

    def factory_string(self, plan: Plan) -> str:
        return str(plan.build["factory"])

    def estimate_bytes(self, plan: Plan, n: int, d: int) -> int:
        return _filled_bytes(_parse(str(plan.build["factory"]), n, d), n)

    def family(self, overrides: Mapping[str, Value]) -> str:
        """Graph or division, code and second look: OPQ16_64,IVF256,PQ16x4fs,RFlat is
        ``ivf+pq+refine``."""
        text = str(overrides["factory"]).replace("IMI", "IVF")
        found = set(_MARKS.findall(text))
        parts = [part.lower() for part in _PARTS if part in found]
        if "RFlat" in text or "Refine" in text:
            parts.append("refine")
        return "+".join(parts) or "flat"

    def _make_index(self, vectors: Floats, plan: Plan) -> Any:
        text = str(plan.build["factory"])
        index = _parse(text, *vectors.shape)
        parts = list(walk(index))
        bits = max(1, min(8, len(vectors).bit_length() - 1))
        bits = next((int(p.pq.nbits) for p in parts if _has_pq(p)), bits)
        if "ef_construction" in plan.build:
            _core(index).hnsw.efConstruction = int(plan.build["ef_construction"])
        if "beam" in plan.build:
            _core(index).rq.max_beam_size = int(plan.build["beam"])
        for part in parts:
            if isinstance(part, faiss.OPQMatrix) and "opq_iterations" in plan.build:
                part.niter = int(plan.build["opq_iterations"])
        kept = [_prepare(part, bits) for part in parts]  # FAISS points into these as it trains
        if {type(part).__name__ for part in parts} <= _ANY_THREADS:
            apply()
            fill(index, vectors)
        else:
            with training_threads():
                fill(index, vectors)
        for part, quantizer in zip(parts, kept, strict=True):
            if quantizer is not None:
                part.pq = None
        # A string can name an index that is filled but cannot be searched.
        index.search(vectors[:1], 1, params=_search_object(index, plan.search))
        return index

    def _mismatch(self, index: Any, d: int, plan: Plan) -> str | None:
        text = str(plan.build["factory"])
        reference = _parse(text, int(index.ntotal), d)
        wanted = [_describe(part) for part in walk(reference)]
        found = [_describe(part) for part in walk(index)]
        return None if wanted == found else f"{found} instead of {wanted}"

    def _wrap(self, index: Any, plan: Plan) -> FaissIndex:
        names = {type(part).__name__ for part in walk(index)}
        legal = {
            key: SearchParameter(entry.low, entry.high, plan.search[key], entry.meaning)
            for key, entry in _parameters(index).items()
        }
        # A wider search would change the answer of a graph and of a second look.
        fixed = any("Refine" in name or "HNSW" in name for name in names)
        return FaissIndex(
            self.name,
            index,
            plan,
            code_size=code_bytes(index),
            parameters=legal,
            make=lambda values: _search_object(index, values),
            settle_ties=not fixed,
        )


def _parse(text: str, n: int, d: int) -> Any:
    """An untrained index of a string, after refusing what FAISS would not survive."""
    if not _LEGAL.fullmatch(text):
        raise PlaygroundError(
            f"'{text}' is not a FAISS factory string. Legal: 1 to 120 letters, digits, '_', ',', "
            f"'(', ')' and '+'. Examples: {_EXAMPLES}; all of them: {_GUIDE}"
        )
    for pattern, why in (
        (r"IDMap", "the ids are the row numbers already: leave IDMap out"),
        (r"LSH|ITQ", "hashing has an index of its own: choose 'lsh'"),
        (r"NSG", "building that graph may never end (seen with NSG4): choose HNSW32"),
        (r"SVS|Lattice|MinMax|_direct|Residual|RCQ", "that index cannot be searched here"),
    ):
        if re.search(pattern, text):
            raise PlaygroundError(f"'{text}' cannot be used: {why}. Examples: {_EXAMPLES}")
    for lists in re.findall(r"IVF(\d+)", text):
        as_int(f"The number of lists in '{text}': IVF", lists, 1, n)
    for links in re.findall(r"HNSW(\d+)", text):
        # HNSW0 does not raise an error: it ends the process.
        as_int(f"The number of links in '{text}': M", links, 2, 256)
    for bits in re.findall(r"PQ\d+x(\d+)", text) + re.findall(r"IMI\d+x(\d+)", text):
        as_int(f"The bits per part in '{text}': nbits", bits, 1, 12)
    for number in re.findall(r"\d+", re.sub(r"IVF\d+", "", text)):
        as_int(f"A number in '{text}'", number, 1, _LARGEST)
    for parts in re.findall(r"(?<!O)PQ(\d+)", text) if "," not in text else []:
        if d % int(parts):
            raise PlaygroundError(
                f"'{text}' cuts vectors of {d} numbers into {parts} parts. Legal numbers of parts: "
                f"{', '.join(map(str, divisors(d)))}."
            )
    try:
        index = faiss.index_factory(d, text)
    except (RuntimeError, MemoryError) as error:
        raise PlaygroundError(
            f"FAISS refuses '{text}' for vectors of {d} numbers: {reason(error)}. The divisors of "
            f"{d} are {', '.join(map(str, divisors(d)))}. Examples: {_EXAMPLES}; all: {_GUIDE}"
        ) from error
    if index.metric_type != faiss.METRIC_L2:
        raise PlaygroundError(f"'{text}' does not search by L2. Examples: {_EXAMPLES}")
    return index


def walk(index: Any) -> Iterator[Any]:
    """The index and everything inside it (transformations, quantisers, storage), outer first.

    The parts belong to the index: keep it while they are in use.
    """
    yield index
    if isinstance(index, faiss.IndexPreTransform):
        for i in range(index.chain.size()):
            yield faiss.downcast_VectorTransform(index.chain.at(i))
    for field in ("index", "base_index", "refine_index", "storage", "quantizer"):
        inner = getattr(index, field, None)
        if isinstance(inner, faiss.Index):
            yield from walk(faiss.downcast_index(inner))


def _core(index: Any) -> Any:
    """The index that holds the codes: without transformations and the second look."""
    if isinstance(index, faiss.IndexPreTransform):
        return _core(faiss.downcast_index(index.index))
    if isinstance(index, faiss.IndexRefine):
        return _core(faiss.downcast_index(index.base_index))
    return index


def _parameters(index: Any) -> dict[str, SearchParameter]:
    """The search parameters that this structure honours (checked with FAISS 1.15.1)."""
    legal: dict[str, SearchParameter] = {}
    core = _core(index)
    if isinstance(core, faiss.IndexIVF):
        nlist = int(core.nlist)
        legal["nprobe"] = SearchParameter(1, nlist, default_probes(nlist), _MEANINGS["nprobe"])
    if isinstance(core, faiss.IndexHNSW):
        legal["ef_search"] = SearchParameter(1, _MOST_CANDIDATES, 64, _MEANINGS["ef_search"])
    if any(isinstance(part, faiss.IndexRefine) for part in walk(index)):
        legal["k_factor"] = SearchParameter(1, 100, 10, _MEANINGS["k_factor"])
    return legal


def _training(index: Any) -> dict[str, int]:
    """Name and largest value of the build parameters that this structure has."""
    core, legal = _core(index), dict[str, int]()
    if isinstance(core, faiss.IndexHNSW):
        legal["ef_construction"] = _MOST_CANDIDATES
    if isinstance(core, faiss.IndexResidualQuantizer | faiss.IndexIVFResidualQuantizer):
        legal["beam"] = _MOST_BEAM
    if any(isinstance(part, faiss.OPQMatrix) for part in walk(index)):
        legal["opq_iterations"] = _MOST_ROUNDS
    return legal


def _search_object(index: Any, values: Mapping[str, int]) -> Any:
    """The faiss.SearchParameters of this structure, nested as the index is; None where none."""
    if isinstance(index, faiss.IndexRefine):
        inner = _search_object(faiss.downcast_index(index.base_index), values)
        return faiss.IndexRefineSearchParameters(
            k_factor=values["k_factor"], base_index_params=inner
        )
    if isinstance(index, faiss.IndexPreTransform):
        inner = _search_object(faiss.downcast_index(index.index), values)
        return faiss.SearchParametersPreTransform(index_params=inner) if inner else None
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(nprobe=values["nprobe"])
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=values["ef_search"])
    return None


def _centroids(part: Any) -> int:
    """How many centres k-means has to find in one part; 0 without k-means."""
    if isinstance(part, faiss.OPQMatrix):
        return 0  # trained with the code that follows, see _prepare
    if _has_pq(part):
        return 1 << int(part.pq.nbits)
    additive = _additive(part)
    if additive is None:
        return 0
    return 1 << max(faiss.vector_to_array(additive.nbits).tolist(), default=0)


def _additive(part: Any) -> Any:
    """The part's additive quantiser (RQ, LSQ and their products); None where it has none."""
    found = (getattr(part, field, None) for field in ("rq", "lsq", "prq", "plsq", "aq"))
    return next((one for one in found if hasattr(one, "nbits")), None)


def _check_training(text: str, parts: list[Any], n: int) -> list[str]:
    """Refuse strings that n vectors cannot train; sentences for those they train badly."""
    notes: list[str] = []
    for part in parts:
        if isinstance(part, faiss.IndexIVF):
            few = few_per_list(n, int(part.nlist))
            if few:
                notes.append(few)
        wanted = _centroids(part)
        if wanted > n:
            raise PlaygroundError(
                f"'{text}' learns {wanted} centres per part, and there are only "
                f"{plural(n, 'vector')}. Legal: codes of at most {n.bit_length() - 1} bits per "
                f"part, such as PQ8x4 from 16 vectors on; or choose 'pq', which adapts itself."
            )
        if wanted and n < POINTS_PER_CENTROID * wanted:
            notes.append(
                f"{plural(n, 'vector')} for {wanted} centres per part are fewer than the "
                f"{POINTS_PER_CENTROID} per centre that FAISS advises: distances will be rough."
            )
        if isinstance(part, faiss.OPQMatrix) and part.d_out > n:
            # FAISS writes d_out columns into room for n: the process dies, or its memory is wrong.
            raise PlaygroundError(
                f"'{text}' learns a rotation to {part.d_out} numbers from at least as many "
                f"vectors; here: only {plural(n, 'vector')}. Legal: OPQ to at most {n} numbers, as "
                f"OPQ1_{n}; or leave OPQ out, or add photos."
            )
        if isinstance(part, faiss.PCAMatrix) and part.d_out > min(n, part.d_in):
            raise PlaygroundError(
                f"'{text}' keeps {part.d_out} principal components of {plural(n, 'vector')} of "
                f"{part.d_in} numbers. Legal: PCA1 to PCA{min(n, int(part.d_in))}."
            )
    return list(dict.fromkeys(notes))


def _has_pq(part: Any) -> bool:
    quantizer = getattr(part, "pq", None)
    return isinstance(quantizer, faiss.ProductQuantizer) and not isinstance(part, faiss.OPQMatrix)


def _prepare(part: Any, bits: int) -> Any:
    """Seeds and quiet training for one component; returns what must live until it is trained.

    Args:
        bits: per part of the code that follows an OPQ rotation.
    """
    if isinstance(part, faiss.OPQMatrix):
        # By itself OPQ trains 256 centres per part whatever the code, and prints 400 warnings.
        quantizer = faiss.ProductQuantizer(part.d_out, part.M, bits)
        quiet_clustering(quantizer.cp)
        part.pq = quantizer
        return quantizer
    if hasattr(part, "do_polysemous_training"):
        part.do_polysemous_training = False
        if hasattr(part, "polysemous_ht"):
            part.polysemous_ht = 0
    if isinstance(part, faiss.IndexPQ):
        part.search_type = faiss.IndexPQ.ST_PQ
    if isinstance(part, faiss.IndexIVF):
        coarse_clustering(part.cp, int(part.nlist))
    for field in ("pq", "refine_pq", "rq", "lsq", "prq", "plsq"):
        quantizer = getattr(part, field, None)
        if quantizer is not None and hasattr(quantizer, "cp"):
            quiet_clustering(quantizer.cp)
    return None


def _describe(part: Any) -> str:
    """Class and sizes of a component, to compare a loaded index with its string."""
    fields = ("d", "d_in", "d_out", "nlist", "code_size", "nbits", "bbs")
    sizes = [f"{f}={getattr(part, f)}" for f in fields if isinstance(getattr(part, f, None), int)]
    if _has_pq(part):
        sizes.append(f"pq={part.pq.M}x{part.pq.nbits}")
    name = type(part).__name__
    return f"{_READ_AS.get(name, name)}({', '.join(sizes)})"


def code_bytes(index: Any) -> int:
    """Bytes per vector of the codes, those of the second look included."""
    inner: tuple[Any, ...] = ()
    if isinstance(index, faiss.IndexPreTransform):
        inner = (index.index,)
    elif isinstance(index, faiss.IndexRefine):
        inner = (index.base_index, index.refine_index)
    elif isinstance(index, faiss.IndexHNSW):
        inner = (index.storage,)
    if inner:
        return sum(code_bytes(faiss.downcast_index(part)) for part in inner)
    size = getattr(index, "code_size", None)
    return int(size if isinstance(size, int) else index.sa_code_size())


def _filled_bytes(part: Any, n: int) -> int:
    """Bytes of an index that holds n vectors, with everything inside it.

    Codes, ids, lists, links, centres and matrices; checked with files of FAISS 1.15.1.
    """
    if isinstance(part, faiss.IndexPreTransform):
        chain = [faiss.downcast_VectorTransform(part.chain.at(i)) for i in range(part.chain.size())]
        return sum(map(_matrix_bytes, chain)) + _filled_bytes(faiss.downcast_index(part.index), n)
    if isinstance(part, faiss.IndexRefine):
        both = (part.base_index, part.refine_index)
        return sum(_filled_bytes(faiss.downcast_index(one), n) for one in both)
    if isinstance(part, faiss.IndexHNSW):
        # Twice M links on layer 0, some 4 bytes of links above, then level and offset.
        links = 8 * int(part.hnsw.nb_neighbors(1)) + 16
        return n * links + _filled_bytes(faiss.downcast_index(part.storage), n)
    if isinstance(part, faiss.MultiIndexQuantizer):
        return 4 * int(part.d) * int(part.pq.ksub)
    total = n * code_bytes(part) + 4 * int(part.d) * _codebook(part)
    if isinstance(part, faiss.IndexIVF):
        nlist = int(part.nlist)
        total += 8 * n + 8 * nlist + _filled_bytes(faiss.downcast_index(part.quantizer), nlist)
    return total


def _matrix_bytes(transform: Any) -> int:
    """Bytes of a trained transformation; PCA keeps all components besides those in use."""
    if not isinstance(transform, faiss.LinearTransform):
        return 0
    rows = int(transform.d_out)
    if isinstance(transform, faiss.PCAMatrix):
        rows += int(transform.d_in)
    return 4 * int(transform.d_in) * rows


def _codebook(part: Any) -> int:
    """How many vectors of full length the code's centres are together."""
    if _has_pq(part):
        return int(part.pq.ksub)
    additive = _additive(part)
    return int(additive.total_codebook_size) if additive is not None else 0
