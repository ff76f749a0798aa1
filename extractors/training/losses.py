"""The losses of siamese training, from pytorch-metric-learning with the field's definitions.

All work on *tuples* of descriptors: a query, a positive of the same landmark, and negatives of
other landmarks; the supervised contrastive loss takes photos of one landmark for a tuple, and the
batch's other tuples for negatives. Vectors have unit length. Losses are summed over a tuple
(Radenovic et al.) and averaged over the tuples of a batch, so that the batch size does not change
the step.
"""

from __future__ import annotations

import abc
from typing import Any

import torch
from pytorch_metric_learning.distances import DotProductSimilarity, LpDistance
from pytorch_metric_learning.losses import (
    ContrastiveLoss,
    NPairsLoss,
    SupConLoss,
    TripletMarginLoss,
)
from pytorch_metric_learning.reducers import SumReducer
from torch import Tensor

from data.errors import PlaygroundError

# For networks that end in a whitening layer, as ours do (cirtorch, README): 0.5 for triplets, and
# for pairs about twice the 0.7 of networks without one. Unrelated whitened vectors are some 1.41
# apart. (The published ResNet101, whitened afterwards, was trained with 0.85.)
MARGINS = {
    "contrastive": 1.4,
    "triplet": 0.5,
    "n-pair": 0.0,
    "second-order": 1.25,
    "supervised-contrastive": 0.0,
}
SECOND_ORDER = 10.0  # weight of the second-order term beside the triplets (SOLAR)
TEMPERATURE = 0.07  # of the supervised contrastive loss (Khosla et al.)
N_PAIR_SCALE = 16.0  # largest dot product; unit vectors alone give a softmax that hardly differs


class SquaredContrastiveLoss(ContrastiveLoss):
    """1/2 D^2 for pairs of one landmark, 1/2 max(0, m - D)^2 for others (Hadsell et al., 2006).

    pytorch-metric-learning's own takes D and m - D without the square.
    """

    def pos_calc(self, pos_pair_dist: Tensor, margin: float) -> Tensor:
        return 0.5 * super().pos_calc(pos_pair_dist, margin).square()

    def neg_calc(self, neg_pair_dist: Tensor, margin: float) -> Tensor:
        return 0.5 * super().neg_calc(neg_pair_dist, margin).square()


class TupleLoss(abc.ABC):
    """A loss of tuples.

    Attributes:
        pairs: negatives come as pairs of their landmark.
        grouped: a tuple holds photos of one landmark, and no two tuples of a batch the same one.
    """

    pairs = False
    grouped = False

    def __init__(self, margin: float) -> None:
        self.margin = margin

    @abc.abstractmethod
    def __call__(self, vectors: Tensor) -> Tensor:
        """(T, M, D) -> a number; query first, then positive, then negatives, unless ``grouped``."""


class Contrastive(TupleLoss):
    def __init__(self, margin: float) -> None:
        super().__init__(margin)
        distance: Any = LpDistance(normalize_embeddings=False, p=2, power=1)
        self._loss = SquaredContrastiveLoss(
            pos_margin=0, neg_margin=margin, distance=distance, reducer=SumReducer()
        )

    def __call__(self, vectors: Tensor) -> Tensor:
        query, positive, negatives = _places(vectors)
        anchors = query.repeat_interleave(negatives.shape[1])
        pairs = (query, positive, anchors, negatives.flatten())
        loss: Tensor = self._loss(vectors.flatten(0, 1), indices_tuple=pairs)
        return loss / len(vectors)


class Triplet(TupleLoss):
    """max(0, |q - p|^2 - |q - n|^2 + m), on squared distances."""

    def __init__(self, margin: float) -> None:
        super().__init__(margin)
        distance: Any = LpDistance(normalize_embeddings=False, p=2, power=2)
        self._loss = TripletMarginLoss(margin=margin, distance=distance, reducer=SumReducer())

    def __call__(self, vectors: Tensor) -> Tensor:
        query, positive, negatives = _places(vectors)
        count = negatives.shape[1]
        triplets = (
            query.repeat_interleave(count),
            positive.repeat_interleave(count),
            negatives.flatten(),
        )
        loss: Tensor = self._loss(vectors.flatten(0, 1), indices_tuple=triplets)
        return loss / len(vectors)


class NPair(TupleLoss):
    """Each positive against the others' positives (Sohn, NIPS 2016), with mined landmarks.

    A tuple holds pairs: of the query's landmark, then of each negative's. Sohn bounds the length
    of the vectors; here it is fixed, and ``N_PAIR_SCALE`` takes its place.
    """

    pairs = True

    def __init__(self, margin: float = 0.0) -> None:
        super().__init__(margin)
        distance: Any = DotProductSimilarity(normalize_embeddings=False)
        self._loss = NPairsLoss(distance=distance, reducer=SumReducer())

    def __call__(self, vectors: Tensor) -> Tensor:
        scaled = vectors * N_PAIR_SCALE**0.5
        labels = torch.arange(vectors.shape[1] // 2, device=vectors.device).repeat_interleave(2)
        return torch.stack([self._loss(one, labels) for one in scaled]).mean()


class SecondOrder(Triplet):
    """Triplets, and distances to a negative that are the same from query and positive.

    Ng et al.: SOLAR, ECCV 2020: triplet + 10 sqrt(sum (|q - n|^2 - |p - n|^2)^2) / T, the sum over
    all negatives of the T tuples (their ``layers/functional.py``).
    """

    def __call__(self, vectors: Tensor) -> Tensor:
        query, positive, negatives = vectors[:, :1], vectors[:, 1:2], vectors[:, 2:]
        gaps = (query - negatives).square().sum(dim=2) - (positive - negatives).square().sum(dim=2)
        # The root has no slope at 0: nothing is to be learned where all gaps are.
        second = gaps.square().sum().clamp(min=1e-12).sqrt() / len(vectors)
        return super().__call__(vectors) + SECOND_ORDER * second


class SupervisedContrastive(TupleLoss):
    """Of all pictures of a batch, those of one's own landmark shall be the likeliest.

    Khosla et al.: Supervised contrastive learning, NeurIPS 2020: the mean over a picture's
    positives of -log softmax of cosine / ``TEMPERATURE``. Each picture has the whole batch for
    negatives, where a tuple of mined ones has five: many times as much is learned of a step.
    """

    grouped = True

    def __init__(self, margin: float = 0.0) -> None:
        super().__init__(margin)
        distance: Any = DotProductSimilarity(normalize_embeddings=False)
        self._loss = SupConLoss(temperature=TEMPERATURE, distance=distance)

    def __call__(self, vectors: Tensor) -> Tensor:
        landmarks = torch.arange(len(vectors), device=vectors.device)
        labels = landmarks.repeat_interleave(vectors.shape[1])
        loss: Tensor = self._loss(vectors.flatten(0, 1), labels)
        return loss


LOSSES: dict[str, type[TupleLoss]] = {
    "contrastive": Contrastive,
    "triplet": Triplet,
    "n-pair": NPair,
    "second-order": SecondOrder,
    "supervised-contrastive": SupervisedContrastive,
}


def tuple_loss(name: str, margin: float | None = None) -> TupleLoss:
    """A loss by name; ``margin`` None takes the one of ``MARGINS``."""
    if name not in LOSSES:
        raise PlaygroundError(f"There is no loss '{name}'. Legal: {', '.join(LOSSES)}.")
    chosen = MARGINS[name] if margin is None else margin
    if chosen < 0:
        raise PlaygroundError(f"--margin {chosen} is not possible. Legal: 0 or more.")
    return LOSSES[name](chosen)


def _places(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the flattened tuples: queries (T,), positives (T,), negatives (T, M - 2)."""
    place = torch.arange(vectors.shape[0] * vectors.shape[1], device=vectors.device)
    place = place.reshape(vectors.shape[:2])
    return place[:, 0], place[:, 1], place[:, 2:]
