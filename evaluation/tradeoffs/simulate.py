"""Distractors from a model of a collection's own descriptors, where there are no real ones.

The model is a mixture in two levels, in the space of the principal components: where landmarks
lie, and how photos of one landmark differ. A simulated landmark is drawn near the means of the
collection's landmarks; its photos differ as those of one of the collection's landmarks do, by that
landmark's covariance, shrunk towards the one of all (few photos know little of it), with lengths
drawn from the real ones, whose tails are longer than a Gaussian's. So the number of landmarks
grows with the number of photos, as it does in a real collection, and neighbours stay neighbours: a
million photos of the same 24 landmarks would make every index look bad, and independent noise
every code. Three numbers (how much is shrunk, and the scale of both levels) are chosen so that
distances to nearest neighbours are closest to the real ones.

It is a model all the same. ``check`` says how far its neighbour distances are from the real ones.

L. Amsaleg et al., Estimating Local Intrinsic Dimensionality, KDD 2015 (the maximum-likelihood
estimate of E. Levina, P. Bickel, NIPS 2004).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import ks_2samp
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from data.errors import PlaygroundError
from indexing.base import Floats, Ints
from indexing.faiss_settings import faiss, search_threads, threads

VERSION = 1  # raised when equal input gives other vectors
BLOCK = 8_192  # rows drawn at a time: a block depends on the seed and its number alone
FEWEST = 8  # vectors that a model can be fitted to
_MOST_FITTED = 20_000  # vectors that a model is fitted to at most
_MOST_COMPONENTS = 256  # principal components
_GROUP = 8  # photos per k-means cluster, where there are no landmarks
_REGION = 50  # landmarks per part of the upper level of the mixture
_NEIGHBOURS = 20  # of the intrinsic dimension
_UNIT = 1e-3
_COMPARED = 2_000  # vectors of each kind that are compared at most
_TRIED = tuple(
    itertools.product((0.1, 0.3, 0.6, 1.0), (0.8, 0.9, 1.0, 1.15, 1.3), (0.7, 0.85, 1.0))
)


@dataclasses.dataclass(frozen=True)
class Model:
    """A fitted mixture: G landmarks, m vectors and r components of D numbers.

    Attributes:
        mean: (D,) float32.
        basis: (r, D) float32, orthonormal rows.
        means: (G, r) float32: the landmarks' means, those of one region behind each other.
        regions: (g + 1,) int64: where each region's means begin.
        spreads: (m, r) float32: deviations from the landmark's mean, landmark after landmark.
        offsets: (G + 1,) int64: where each landmark's deviations begin.
        pooled: (r, r) float32: a root of the covariance of all deviations.
        residual: standard deviation of each number outside of the components.
        unit: vectors are brought to length 1.
        shrinking: share of the covariance that is that of all landmarks, 0 to 1.
        within, between: scales of the two levels.
    """

    mean: Floats
    basis: Floats
    means: Floats
    regions: Ints
    spreads: Floats
    offsets: Ints
    pooled: Floats
    residual: float
    unit: bool
    seed: int
    shrinking: float = 0.3
    within: float = 1.0
    between: float = 1.0

    def block(self, number: int) -> Floats:
        """The vectors (BLOCK, D) of a block."""
        rng = np.random.default_rng([self.seed, number])
        vectors = self.reduced(rng, BLOCK) @ self.basis + self.mean
        if self.residual > 0:
            noise = rng.standard_normal((BLOCK, len(self.mean)), np.float32)
            noise -= (noise @ self.basis.T) @ self.basis  # what the components hold already
            vectors += np.float32(self.residual) * noise
        if self.unit:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        return vectors.astype(np.float32, copy=False)

    def blocks(self, count: int) -> Iterator[Floats]:
        """The first ``count`` vectors in blocks: those of fewer are the start of those of more."""
        for number in range(-(-count // BLOCK)):
            yield self.block(number)[: count - number * BLOCK]

    def reduced(self, rng: np.random.Generator, count: int) -> Floats:
        """(count, r) in the space of the components; equal landmarks lie behind each other."""
        like = rng.integers(len(self.means), size=count)  # the real landmark each is modelled on
        landmark = np.repeat(np.arange(count), np.diff(self.offsets)[like])[:count]
        landmarks = int(landmark[-1]) + 1
        drawn = self._centres(rng, landmarks)[landmark] * np.float32(self.between)
        return drawn + np.float32(self.within) * self._deviations(rng, like[landmark])

    def _centres(self, rng: np.random.Generator, count: int) -> Floats:
        """Random combinations of the means of a region: a Gaussian with their covariance."""
        sizes = np.diff(self.regions)
        region = rng.choice(len(sizes), count, p=sizes / sizes.sum())
        centres = np.empty((count, self.means.shape[1]), np.float32)
        for one in np.unique(region):
            rows = np.flatnonzero(region == one)
            means = self.means[self.regions[one] : self.regions[one + 1]]
            middle = means.mean(axis=0)
            factors = rng.standard_normal((len(rows), len(means)), np.float32)
            centres[rows] = middle + factors @ (means - middle) / np.sqrt(max(1, len(means) - 1))
        return centres

    def _deviations(self, rng: np.random.Generator, like: Ints) -> Floats:
        """(len(like), r): each as photos of that landmark deviate from its mean."""
        r = self.pooled.shape[0]
        drawn = rng.standard_normal((len(like), r), np.float32) @ self.pooled
        drawn *= np.float32(np.sqrt(self.shrinking))
        lengths = np.empty(len(like), np.float32)
        for one in np.unique(like):
            rows = np.flatnonzero(like == one)
            own = self.spreads[self.offsets[one] : self.offsets[one + 1]]
            freedom = max(1, len(own) - 1)
            factors = rng.standard_normal((len(rows), len(own)), np.float32)
            drawn[rows] += factors @ own * np.float32(np.sqrt((1 - self.shrinking) / freedom))
            # From their own mean, few photos deviate less than from the landmark's true one.
            true = np.linalg.norm(own, axis=1) * np.sqrt(len(own) / freedom)
            lengths[rows] = rng.choice(true, len(rows))
        return drawn * (lengths / np.maximum(np.linalg.norm(drawn, axis=1), 1e-12))[:, None]


def fit(vectors: Floats, labels: Sequence[str | None] | None = None, seed: int = 0) -> Model:
    """Fit the model to a collection's vectors.

    Args:
        vectors: (n, D) float32.
        labels: the landmark of each; where not all are known, k-means finds groups instead.

    Raises:
        PlaygroundError: fewer than ``FEWEST`` vectors.
    """
    n, dim = vectors.shape
    if n < FEWEST:
        raise PlaygroundError(
            f"The collection has {n} vectors, too few to simulate distractors from. Needed: "
            f"{FEWEST} or more. Add photos, or use those of another collection: "
            f"--distractors collection:NAME."
        )
    rng = np.random.default_rng(seed)
    rows = np.arange(n)
    if n > _MOST_FITTED:
        rows = np.sort(rng.choice(n, _MOST_FITTED, replace=False))
    sample = np.asarray(vectors[rows], np.float32)
    # As many components as can be told apart; with few vectors all that they span.
    pca = PCA(min(len(sample) - 1, dim, _MOST_COMPONENTS), random_state=seed).fit(sample)
    reduced = pca.transform(sample).astype(np.float32)
    chosen = None if labels is None else [labels[int(row)] for row in rows]
    means, spreads, offsets, regions = _levels(reduced, _groups(reduced, chosen, seed), seed)
    total = float(((sample - sample.mean(axis=0)) ** 2).sum(axis=1).mean())
    outside = max(0.0, total - float((reduced**2).sum(axis=1).mean()))
    missing = dim - len(pca.components_)
    scattered = missing > 0 and outside > 1e-6 * total
    lengths = np.linalg.norm(sample, axis=1)
    free = max(1, len(spreads) - len(means))
    _, scales, directions = np.linalg.svd(spreads, full_matrices=False)
    pooled = np.zeros((reduced.shape[1], reduced.shape[1]), np.float32)
    pooled[: len(scales)] = scales[:, None] * directions / np.sqrt(free)
    model = Model(
        mean=pca.mean_.astype(np.float32),
        basis=pca.components_.astype(np.float32),
        means=means,
        regions=regions,
        spreads=spreads,
        offsets=offsets,
        pooled=pooled,
        residual=float(np.sqrt(outside / missing)) if scattered else 0.0,
        unit=bool((np.abs(lengths[lengths > 0] - 1) < _UNIT).all()),
        seed=seed,
    )
    return _tuned(model, reduced, chosen)


def _groups(reduced: Floats, labels: Sequence[str | None] | None, seed: int) -> Ints:
    """(n,) group of each vector: its landmark, or its k-means cluster."""
    known = [label for label in labels or [] if label is not None]
    if labels and len(known) == len(labels) and len(set(known)) <= len(known) // 2:
        return np.unique(np.asarray(known), return_inverse=True)[1].astype(np.int64)
    clusters = max(1, len(reduced) // _GROUP)
    found = KMeans(clusters, n_init=1, max_iter=25, random_state=seed).fit_predict(reduced)
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _levels(reduced: Floats, groups: Ints, seed: int) -> tuple[Floats, Floats, Ints, Ints]:
    """Means, deviations, and where landmarks and regions begin (see ``Model``)."""
    sizes = np.bincount(groups)
    means = np.zeros((len(sizes), reduced.shape[1]), np.float64)
    np.add.at(means, groups, reduced)
    means /= sizes[:, None]
    parts = max(1, len(means) // _REGION)
    region = np.zeros(len(means), np.int64)
    if parts > 1:
        region = KMeans(parts, n_init=1, max_iter=25, random_state=seed).fit_predict(means)
    order = np.argsort(region, kind="stable")  # landmarks, region after region
    counts = np.unique(region, return_counts=True)[1]
    place = np.argsort(order)[groups]
    rows = np.argsort(place, kind="stable")
    spreads = (reduced - means[groups])[rows]
    return (
        means[order].astype(np.float32),
        spreads.astype(np.float32),
        _starts(sizes[order]),
        _starts(counts),
    )


def _starts(sizes: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _tuned(model: Model, reduced: Floats, labels: Sequence[str | None] | None) -> Model:
    """The scales whose neighbour distances are nearest to the real ones, within the components."""
    best, least = model, np.inf
    along = model.basis @ model.mean
    across = float(np.sqrt(max(0.0, float(model.mean @ model.mean) - float(along @ along))))

    def placed(rows: Floats) -> Floats:
        """As in D dimensions, length included, without the way there."""
        whole = np.column_stack([rows + along, np.full(len(rows), across, np.float32)])
        if model.unit:
            whole /= np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), 1e-6)
        return whole.astype(np.float32)

    real = _Real(placed(reduced), labels, _COMPARED // 2)
    for shrinking, within, between in _TRIED:
        tried = dataclasses.replace(model, shrinking=shrinking, within=within, between=between)
        # A block that no set of distractors begins with: they are judged on others.
        drawn = tried.reduced(np.random.default_rng([model.seed, 0, 1]), real.count)
        worst = max(real.apart(placed(drawn)))
        if worst < least:
            best, least = tried, worst
    return best


# How far the simulated vectors are from the real ones


@dataclasses.dataclass(frozen=True)
class Plausibility:
    """Neighbour statistics of real and of simulated vectors, equally many of each.

    Attributes:
        ks_nearest: Kolmogorov-Smirnov distance (0 to 1) between the distances of real vectors to
            their nearest other *real* vector and of those to the nearest *simulated* one: 0 where
            distractors come as near to a photo as other landmarks do. Photos of the same
            landmark are left out where landmarks are known.
        ks_among: the same between nearest neighbours within the real vectors and within the
            simulated ones: 0 where they cluster alike.
        ks_chance: what two samples of this size from one distribution stay below in 95 % of
            cases; not much below it can be told apart.
        lid_real, lid_simulated: local intrinsic dimension, the median over the vectors: the
            higher, the harder to search. A vector's own dimension is not it.
        compared: vectors of each kind.
    """

    ks_nearest: float
    ks_among: float
    ks_chance: float
    lid_real: float
    lid_simulated: float
    compared: int

    def sentence(self) -> str:
        """The outcome in words."""
        worst = max(self.ks_nearest, self.ks_among)
        if worst <= max(0.1, self.ks_chance):
            verdict = "close to the real ones"
        elif worst <= 0.3:
            verdict = "roughly like the real ones"
        else:
            verdict = "unlike the real ones: take the figures as a demonstration only"
        return (
            f"Distances to the nearest simulated vectors are {verdict} (Kolmogorov-Smirnov "
            f"{self.ks_nearest:.2f} to other landmarks, {self.ks_among:.2f} among themselves; "
            f"{self.ks_chance:.2f} is chance for {self.compared:,} vectors; intrinsic dimension "
            f"{self.lid_simulated:.1f} against {self.lid_real:.1f})."
        )


def check(
    vectors: Floats,
    simulated: Floats,
    labels: Sequence[str | None] | None = None,
    most: int = _COMPARED,
    seed: int = 0,
) -> Plausibility:
    """Compare neighbour distances of real vectors with those of simulated ones.

    Args:
        vectors: (n, D) float32, real.
        simulated: (m, D) float32; as many as there are real ones are compared.
        labels: landmarks of the real ones.
        most: vectors of each kind at most; of more a seeded draw of the real ones.
    """
    return _Real(vectors, labels, most, seed).compare(simulated)


class _Real:
    """The neighbour distances of real vectors, to compare simulated ones with."""

    def __init__(
        self,
        vectors: Floats,
        labels: Sequence[str | None] | None,
        most: int = _COMPARED,
        seed: int = 0,
    ) -> None:
        self.count = min(len(vectors), most)
        drawn = np.random.default_rng(seed).choice(len(vectors), self.count, replace=False)
        rows = np.sort(drawn)
        self._vectors = np.ascontiguousarray(vectors[rows], np.float32)
        names = None if labels is None else [labels[int(row)] for row in rows]
        self._others, self._share = _nearest_other(self._vectors, names)
        self._among = self._within(self._vectors)

    def apart(self, simulated: Floats) -> tuple[float, float]:
        """``ks_nearest`` and ``ks_among``, see ``Plausibility``."""
        drawn = np.ascontiguousarray(simulated[: self.count], np.float32)
        among = _distances(drawn, drawn, 2)[:, 1]
        return self._nearest(drawn), _ks(self._among[:, 0], among)

    def _nearest(self, drawn: Floats) -> float:
        # Of the real vectors only those of other landmarks were asked: ask as many simulated ones.
        asked = drawn[: max(1, round(self._share * len(drawn)))]
        return _ks(self._others, _distances(self._vectors, asked, 1)[:, 0])

    def compare(self, simulated: Floats) -> Plausibility:
        """See ``check``."""
        count = min(self.count, len(simulated))
        drawn = np.ascontiguousarray(simulated[:count], np.float32)
        among = self._within(drawn)
        return Plausibility(
            ks_nearest=self._nearest(drawn),
            ks_among=_ks(self._among[:, 0], among[:, 0]),
            ks_chance=1.358 * float(np.sqrt(2 / count)),
            lid_real=intrinsic_dimension(self._among),
            lid_simulated=intrinsic_dimension(among),
            compared=count,
        )

    def _within(self, vectors: Floats) -> Floats:
        """(n, k) distances to the nearest others."""
        k = max(1, min(_NEIGHBOURS, len(vectors) - 1))
        return _distances(vectors, vectors, k + 1)[:, 1:]


def intrinsic_dimension(distances: Floats) -> float:
    """Median over the rows of the maximum-likelihood local intrinsic dimension.

    LID = -1 / mean(log(d_i / d_k)) over the distances d_1 <= ... <= d_k of a point's neighbours.

    Args:
        distances: (n, k), each row ascending, k at least 2. Zeros are left out.

    Returns:
        NaN where no row has two different distances above 0.
    """
    found = []
    for row in np.asarray(distances, np.float64):
        near = row[row > 0]
        if len(near) > 1 and near[0] < near[-1]:
            found.append(-1 / np.mean(np.log(near / near[-1])))
    return float(np.median(found)) if found else float("nan")


def _nearest_other(real: Floats, labels: Sequence[str | None] | None) -> tuple[Floats, float]:
    """Distance of each vector to the nearest one of another landmark, and their mean share."""
    count = len(real)
    if labels is None or any(label is None for label in labels):
        return _distances(real, real, 2)[:, 1], (count - 1) / count
    landmark = np.unique(np.asarray(labels), return_inverse=True)[1]
    sizes = np.bincount(landmark)
    k = min(count, int(sizes.max()) + 1)
    distances, ids = _search(real, real, k)
    same = landmark[ids] == landmark[:, None]
    nearest = np.where(same, np.inf, distances).min(axis=1)
    known = np.isfinite(nearest)
    share = float(1 - sizes[landmark].mean() / count)
    return nearest[known], share


def _ks(first: Floats, second: Floats) -> float:
    if not len(first) or not len(second):
        return float("nan")
    return float(ks_2samp(first, second).statistic)


def _distances(queries: Floats, vectors: Floats, k: int) -> Floats:
    return _search(queries, vectors, k)[0]


def _search(queries: Floats, vectors: Floats, k: int) -> tuple[Floats, Ints]:
    """(nq, k) L2 distances, ascending, and rows."""
    # Threads cost more than they bring for a few hundred vectors.
    with threads(1) if len(queries) * len(vectors) < 10**6 else search_threads(len(queries)):
        squared, ids = faiss.knn(queries, vectors, min(k, len(vectors)))
    return np.sqrt(np.maximum(squared, 0)), ids
