"""Aggregated selective match kernel over an extractor's local features."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data.errors import PlaygroundError
from extractors.base import Floats, l2_normalise
from extractors.kmeans import MAX_POINTS_PER_WORD, draw, k_means, vocabulary_size
from indexing.base import Ints
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import Progress, RerankCard, Reranker, View

FILE = "codebook.npy"


@dataclasses.dataclass(frozen=True)
class AsmkConfig:
    depth: int = 100  # photos that are compared
    words: int = 4096  # of the codebook; fewer where the collection has few descriptors
    assigned: int = 5  # words of each descriptor of the query; a photo's have one
    alpha: float = 3.0  # selectivity: the power of a word's similarity
    tau: float = 0.0  # similarities up to this count as none
    iterations: int = 10  # of k-means
    seed: int = 0  # of k-means and of its sample


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """One photo: for each of its words the direction in which its descriptors miss the word."""

    words: Ints  # (w,) ascending
    residuals: Floats  # (w, D) unit length


class Asmk(Reranker):
    """Similarity of aggregated residuals, word by word, with a selective power."""

    name = "asmk"
    needs = "local"
    offline = "needed"
    legal: ClassVar[dict[str, tuple[float, float]]] = {
        "depth": (1, 10_000),
        "words": (2, 65_536),
        "assigned": (1, 100),
        "alpha": (0.0, 100.0),
        "tau": (-1.0, 1.0),
        "iterations": (1, 1000),
        "seed": (0, 2**31 - 1),
    }
    card = RerankCard(
        title="ASMK",
        paper="G. Tolias, Y. Avrithis, H. Jégou, Image Search with Selective Match Kernels: "
        "Aggregation Across Single and Multiple Images, IJCV 2016; with learned features: "
        "G. Tolias, T. Jenicek, O. Chum, HOW, ECCV 2020",
        url="https://link.springer.com/article/10.1007/s11263-015-0810-4",
        idea="A codebook divides the space of local descriptors into words. What a photo has of a "
        "word is summed up as one direction from the word's centre, so that repeated windows "
        "count once. Two photos are compared word by word, and the power lets a few good "
        "agreements weigh more than many weak ones.",
        formula=r"s = \frac{\sum_{c} \sigma\!\left(\hat V_c(q)^\top \hat V_c(x)\right)}"
        r"{\sqrt{|C_q|\,|C_x|}}, \quad V_c(x) = \sum_{d \in x_c} (d - c), \quad "
        r"\sigma(u) = \begin{cases} \mathrm{sign}(u)\,|u|^\alpha & u > \tau \\ 0 & "
        r"\text{else} \end{cases}",
        parameters={
            "depth": "photos of the shortlist that are compared",
            "words": "words of the codebook, at least 39 descriptors of the collection each",
            "assigned": "nearest words of each descriptor of the query",
            "alpha": "power; 1: none, larger ones favour the best agreements",
            "tau": "least similarity of a word, -1 to 1",
            "iterations": "rounds of k-means",
            "seed": "seed of k-means",
        },
        score="the kernel's similarity, 0 to 1 for one assigned word",
        cost="a few milliseconds per photo once, then hardly any; k-means over the collection's "
        "descriptors before the first search",
        hurts="after features that were not trained for it: with the project's own DELF the votes "
        "are better, and alpha=1 loses less than 3; it checks no geometry",
    )

    def __init__(self, config: AsmkConfig) -> None:
        super().__init__(config)

    def prepare(self, view: View, progress: Progress | None = None) -> None:
        self._codebook(view)

    def estimate_bytes(self, view: View) -> int:
        """Bytes on disk of the codebook."""
        vectors = view.vectors().vectors
        return vocabulary_size(self.config.words, len(vectors)) * vectors.shape[1] * 4

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        codebook = self._codebook(view)
        asked = aggregate(view.features(query).vectors, codebook, self.config.assigned)
        count = min(self.depth, len(ranking))
        vectors = view.vectors()
        assert vectors.offsets is not None
        offsets = vectors.offsets

        def of(row: int) -> Aggregate:
            first, last = offsets[row], offsets[row + 1]
            return aggregate(np.asarray(vectors.vectors[first:last]), codebook, 1)

        scores = np.zeros(count)
        for place, row in enumerate(ranking.rows[:count].tolist()):
            found = view.kept(("asmk", self._key_text, row), lambda row=row: of(row))  # type: ignore[misc]
            scores[place] = similarity(asked, found, self.config.alpha, self.config.tau)
        return ranking.reordered(scores, asmk=scores)

    @property
    def _key(self) -> dict[str, Any]:
        config = self.config
        return {
            "rerank": self.name,
            "version": self.version,
            "words": config.words,
            "iterations": config.iterations,
            "seed": config.seed,
        }

    @property
    def _key_text(self) -> str:
        return str(sorted(self._key.items()))

    def _codebook(self, view: View) -> Floats:
        """(k, D), learned where it is not there yet."""

        def load() -> Floats:
            path = view.artefact(FILE, self._key, lambda path: self._learn(view, path))
            assert path is not None
            return np.asarray(np.load(path, allow_pickle=False), np.float32)

        return view.kept(("asmk codebook", self._key_text), load)

    def _learn(self, view: View, path: Path) -> None:
        vectors = view.vectors().vectors
        if len(vectors) < 2:
            raise PlaygroundError(
                f"asmk needs 2 or more local descriptors to learn words from, and {view.name} has "
                f"{len(vectors)} of {view.extractor}. Add photos to the collection."
            )
        words = vocabulary_size(self.config.words, len(vectors))
        config = self.config
        most = words * MAX_POINTS_PER_WORD
        sample = draw([vectors], [len(vectors)], most, config.seed)
        codebook = k_means(sample, words, config.seed, config.iterations)
        with open(path, "wb") as handle:  # a name without .npy would get one
            np.save(handle, codebook, allow_pickle=False)


def aggregate(descriptors: Floats, codebook: Floats, assigned: int) -> Aggregate:
    """Sum of residuals for each word, to unit length.

    Args:
        descriptors: (n, D).
        codebook: (k, D).
        assigned: nearest words of each descriptor.
    """
    count = min(assigned, len(codebook))
    if not len(descriptors):
        return Aggregate(np.empty(0, np.int64), np.empty((0, codebook.shape[1]), np.float32))
    # The largest d.c - |c|^2 / 2 is the smallest |d - c|^2.
    closeness = descriptors @ codebook.T - np.einsum("ij,ij->i", codebook, codebook) / 2
    if count == 1:
        nearest = closeness.argmax(axis=1)[:, None]
    else:
        nearest = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
    word = nearest.ravel()
    residuals = np.repeat(descriptors, count, axis=0) - codebook[word]
    order = np.argsort(word, kind="stable")
    words, starts = np.unique(word[order], return_index=True)
    sums = np.add.reduceat(residuals[order], starts, axis=0)
    return Aggregate(words.astype(np.int64), l2_normalise(sums.astype(np.float32), eps=1e-12))


def similarity(asked: Aggregate, found: Aggregate, alpha: float, tau: float) -> float:
    """The kernel of two photos; 0 where they share no word."""
    _, one, other = np.intersect1d(
        asked.words, found.words, assume_unique=True, return_indices=True
    )
    if not len(one):
        return 0.0
    u = np.einsum("ij,ij->i", asked.residuals[one], found.residuals[other]).astype(np.float64)
    selected = np.where(u > tau, np.sign(u) * np.abs(u) ** alpha, 0.0)
    return float(selected.sum() / np.sqrt(len(asked.words) * len(found.words)))
