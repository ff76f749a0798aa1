"""Inverted file: only the lists of the nearest cells are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from indexing.base import (
    Floats,
    IndexCard,
    Plan,
    SearchParameter,
    Value,
    check_overrides,
    check_size,
    plural,
)
from indexing.faiss_index import FaissIndex, FaissType, fill, wrong_class
from indexing.faiss_settings import POINTS_PER_CENTROID, apply, coarse_clustering, faiss

_MOST_PROBES = 64  # default nprobe at most; 64 of 1,264 lists found 99.7 % of 10 neighbours


def default_probes(nlist: int) -> int:
    """An eighth of the lists, at least 4 (or all, if there are fewer), at most 64.

    Small collections need a larger share than large ones: on 10,000 vectors in 400 lists,
    nprobe 1, 8, 32, 64 found 52, 78, 93, 97 % of the 10 nearest.
    """
    return min(nlist, max(4, min(_MOST_PROBES, math.ceil(nlist / 8))))


def default_lists(n: int) -> int:
    """FAISS's guideline 4 sqrt(n), reduced to 39 vectors per list for training; at least 1."""
    return max(1, min(int(4 * math.sqrt(n)), n // POINTS_PER_CENTROID))


def few_per_list(n: int, nlist: int) -> str | None:
    """A sentence when k-means has fewer vectors per centroid than FAISS advises."""
    if n >= POINTS_PER_CENTROID * nlist or nlist == 1:
        return None
    return (
        f"{plural(n, 'vector')} in {nlist} lists are fewer than the {POINTS_PER_CENTROID} per list "
        f"that FAISS advises for training ({n // POINTS_PER_CENTROID} lists at most): some lists "
        f"may stay empty."
    )


class Ivf(FaissType):
    """IndexIVFFlat with k-means cells."""

    name = "ivf"
    search_names = ("nprobe",)
    card = IndexCard(
        title="IVF (inverted file)",
        idea=(
            "k-means divides the space into nlist cells; each photo is filed under its nearest "
            "centre. A query visits the nprobe nearest cells only and compares exactly within "
            "them, so neighbours across a cell border can be missed."
        ),
        formula=(
            r"\mathcal{C}(q) = \bigcup_{c \in \mathrm{NN}_{nprobe}(q)} L_c,\quad "
            r"L_c = \{x : c = \arg\min_{c'} \lVert x - \mu_{c'} \rVert\}"
        ),
        parameters={
            "nlist": "number of cells, 1 to n; default 4 sqrt(n), at most n / 39",
            "nprobe": "cells visited per query, 1 to nlist (= exact); default nlist / 8, 4 to 64",
        },
        paper=(
            "J. Sivic, A. Zisserman, Video Google, ICCV 2003; H. Jegou, M. Douze, C. Schmid, "
            "Product Quantization for Nearest Neighbor Search, TPAMI 2011"
        ),
        url="https://doi.org/10.1109/TPAMI.2010.57",
        cost="4 d + 8 bytes per photo and 4 d per cell; a search reads about nprobe / nlist of it.",
        when_to_use="From some 10,000 photos on, when Flat is too slow and memory is no problem.",
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        chosen = check_overrides(self.name, overrides, {"nlist": (1, n), "nprobe": (1, n)})
        nlist = chosen.get("nlist", default_lists(n))
        # Checked again: the legal range depends on nlist.
        legal = {"nlist": (1, n), "nprobe": (1, nlist)}
        nprobe = check_overrides(self.name, overrides, legal).get("nprobe", default_probes(nlist))
        notes = []
        guideline = int(4 * math.sqrt(n))
        if "nlist" not in chosen and nlist < guideline:
            notes.append(
                f"nlist is {nlist} instead of FAISS's guideline 4 sqrt(n) = {guideline}: training "
                f"needs {POINTS_PER_CENTROID} vectors per list and there are {n:,}."
            )
        few = few_per_list(n, nlist)
        if few:
            notes.append(few)
        return Plan({"nlist": nlist}, {"nprobe": nprobe}, tuple(notes))

    def estimate_bytes(self, plan: Plan, n: int, d: int) -> int:
        return n * (4 * d + 8) + 4 * d * int(plan.build["nlist"])

    def factory_string(self, plan: Plan) -> str:
        return f"IVF{plan.build['nlist']},Flat"

    def _make_index(self, vectors: Floats, plan: Plan) -> Any:
        apply()
        d = vectors.shape[1]
        quantizer = faiss.IndexFlatL2(d)
        index = faiss.IndexIVFFlat(quantizer, d, int(plan.build["nlist"]))
        coarse_clustering(index.cp, int(index.nlist))
        fill(index, vectors)
        return index

    def _mismatch(self, index: Any, d: int, plan: Plan) -> str | None:
        wrong = wrong_class(index, "IndexIVFFlat")
        if wrong:
            return wrong
        if index.nlist != plan.build["nlist"] or index.quantizer.ntotal != index.nlist:
            return f"{index.nlist} lists instead of {plan.build['nlist']}"
        if index.quantizer.d != d or index.code_size != 4 * d:
            return f"codes of {index.code_size} bytes instead of {4 * d}"
        sizes = sum(index.invlists.list_size(i) for i in range(index.nlist))
        return None if sizes == index.ntotal else f"lists of {sizes} vectors"

    def _wrap(self, index: Any, plan: Plan) -> FaissIndex:
        nlist = int(index.nlist)
        parameters = {
            "nprobe": SearchParameter(
                1, nlist, plan.search["nprobe"], "cells visited per query; all of them is exact"
            )
        }
        return FaissIndex(
            self.name,
            index,
            plan,
            code_size=int(index.code_size),
            parameters=parameters,
            make=lambda values: faiss.SearchParametersIVF(nprobe=values["nprobe"]),
            settle_ties=True,
        )
