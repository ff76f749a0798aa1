"""Hard negatives by the field's rule (Radenovic et al.; cirtorch ``datasets/traindataset.py``).

Each epoch a query pool and a pool of photos are drawn and described with the current network.
For a query, walk down the ranking of the pool: skip its own landmark, take at most one photo of
any other landmark, until there are enough.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from extractors.training.describing import Floats
from extractors.training.photos import positions

Places = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Draw:
    """What an epoch looks at: positions of pictures. ``positives[i]`` belongs to ``queries[i]``."""

    queries: Places
    positives: Places
    pool: Places


def draw(
    labels: Sequence[str],
    where: Sequence[int],
    queries: int,
    pool: int,
    rng: np.random.Generator,
    matches: Mapping[int, Sequence[int]] | None = None,
) -> Draw:
    """Draw an epoch's queries with a positive each, and its pool of negatives.

    Args:
        labels: of all pictures.
        where: the positions that may be used; every label among them occurs at least twice.
        queries, pool: how many at most.
        matches: pictures that may be queries, and those that match each; None or empty: any two
            of one label.

    Raises:
        PlaygroundError: no picture of ``where`` has a match there.
    """
    usable = np.asarray(where, np.int64)
    if matches:
        return _draw_listed(usable, queries, pool, rng, matches)
    members = positions([labels[i] for i in usable])
    chosen = usable[rng.permutation(len(usable))[:queries]]
    positives = []
    for one in chosen:
        same = usable[members[labels[one]]]
        positives.append(rng.choice(same[same != one]))
    drawn = usable[np.sort(rng.permutation(len(usable))[:pool])]
    return Draw(chosen, np.array(positives, np.int64), drawn)


def _draw_listed(
    usable: Places,
    queries: int,
    pool: int,
    rng: np.random.Generator,
    matches: Mapping[int, Sequence[int]],
) -> Draw:
    """Pairs that a data set lists, such as retrieval-SfM: drawn as its authors draw them."""
    inside = set(usable.tolist())
    pairs = [
        (query, positive)
        for query in usable.tolist()
        for positive in matches.get(query, ())
        if positive in inside
    ]
    if not pairs:
        raise PlaygroundError(
            "None of the matching pairs of this data set is whole on this disk. Get more of its "
            "photos."
        )
    drawn = np.array(pairs, np.int64)[rng.permutation(len(pairs))[:queries]]
    others = usable[np.sort(rng.permutation(len(usable))[:pool])]
    return Draw(drawn[:, 0], drawn[:, 1], others)


def groups(
    labels: Sequence[str],
    where: Sequence[int],
    count: int,
    size: int,
    width: int,
    rng: np.random.Generator,
) -> Places:
    """Draw groups of pictures of one landmark each: (count, size), fewer where it does not divide.

    Args:
        where: the positions that may be used.
        count: groups at most.
        size: pictures of a group; a landmark with fewer gives some twice.
        width: groups of a batch, which are of different landmarks: rows 0 to width - 1, and so on.

    Raises:
        PlaygroundError: fewer landmarks than a batch needs.
    """
    members = list(positions([labels[i] for i in where]).values())
    if len(members) < width:
        raise PlaygroundError(
            f"A batch needs {width} different landmarks and there are {len(members)} to train on. "
            f"Give a --batch of at most {len(members)}, or add landmarks."
        )
    places = np.asarray(where, np.int64)
    found: list[Places] = []
    for _ in range(count // width):
        for landmark in rng.choice(len(members), width, replace=False):
            own = places[members[landmark]]
            found.append(rng.choice(own, size, replace=len(own) < size))
    return np.array(found, np.int64).reshape(-1, size)


def hardest_negatives(
    queries: Floats,
    query_labels: Sequence[str],
    pool: Floats,
    pool_labels: Sequence[str],
    count: int,
) -> Places:
    """Rows of the pool: the ``count`` hardest negatives of each query, hardest first.

    Args:
        queries: (Q, D); pool: (N, D); unit length, compared by dot product.

    Returns:
        (Q, count) int64.

    Raises:
        PlaygroundError: the pool has fewer than ``count`` other landmarks.
    """
    found = np.empty((len(queries), count), np.int64)
    similar = queries @ pool.T
    for i, row in enumerate(similar):
        seen = {query_labels[i]}
        taken: list[int] = []
        for place in np.argsort(-row, kind="stable"):
            label = pool_labels[place]
            if label not in seen:
                seen.add(label)
                taken.append(int(place))
                if len(taken) == count:
                    break
        if len(taken) < count:
            raise PlaygroundError(
                f"Mining wants {count} negatives of different landmarks per query, and the pool "
                f"of {len(pool_labels)} photos has {len(taken)} other landmarks. Use fewer "
                f"--negatives, a larger --pool, or a collection of more landmarks."
            )
        found[i] = taken
    return found


def difficulty(queries: Floats, positives: Floats, negatives: Floats) -> dict[str, float]:
    """How hard the tuples are, before the epoch trains on them.

    Args:
        queries, positives: (Q, D); negatives: (Q, K, D), hardest first.

    Returns:
        Mean similarity (cosine) of the positives and of all negatives; ``hard``: the share of
        queries whose hardest negative is closer than their positive.
    """
    right = np.einsum("qd,qd->q", queries, positives)
    wrong = np.einsum("qd,qkd->qk", queries, negatives)
    return {
        "positive_similarity": float(right.mean()),
        "negative_similarity": float(wrong.mean()),
        "hard": float((wrong[:, 0] > right).mean()),
    }
