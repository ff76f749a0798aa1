"""Spatial verification by the extractor's own local features, as DELF does it."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from data.base import Photo
from indexing.base import Floats
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import RerankCard, Reranker, View
from retrieval.verification import RESIDUAL_PX, verify


@dataclasses.dataclass(frozen=True)
class RansacConfig:
    depth: int = 100  # photos that are verified


class Ransac(Reranker):
    """Votes and inliers together, for the first ``depth`` photos."""

    name = "ransac"
    needs = "local"
    card = RerankCard(
        title="RANSAC",
        paper="Fischler, Bolles: Random Sample Consensus, CACM 1981; MAGSAC++: Barath et al., "
        "CVPR 2020; for retrieval: Philbin et al., CVPR 2007; DELF: Noh et al., ICCV 2017",
        url="https://arxiv.org/abs/1612.06321",
        idea="Local features of the query are matched with those of each photo of the shortlist. "
        "RANSAC looks for one affine map that moves many matches together: on the same building "
        "there is one, between look-alikes there is not. The matches that obey it are the inliers.",
        formula=r"s = \text{votes} + \left|\{(p, q) : \|A p + t - q\| \le r\}\right|",
        parameters={"depth": "photos of the shortlist that are verified"},
        score="votes and inliers together",
        cost="some milliseconds per photo of the shortlist, by the number of features squared",
        hurts="where features are few or coarse: any three matches fit some affine map",
    )

    def __init__(self, config: RansacConfig) -> None:
        super().__init__(config)

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        vectors, asked = view.vectors(), view.features(query)
        assert vectors.offsets is not None and vectors.geometry is not None
        assert asked.geometry is not None
        count = min(self.depth, len(ranking))
        inliers = np.zeros(count, np.int64)
        matches: dict[int, Floats] = {}
        memo = {} if query.verified is None else query.verified
        spared = 0.0
        for place, row in enumerate(ranking.rows[:count]):
            first, last = vectors.offsets[row], vectors.offsets[row + 1]
            geometry = np.asarray(vectors.geometry[first:last])
            key = (view.name, vectors.version, int(row))
            if key in memo:
                found, ms = memo[key]
                spared += ms
            else:
                start = time.perf_counter()
                found = verify(
                    asked.geometry[:, :2],
                    asked.vectors,
                    geometry[:, :2],
                    np.asarray(vectors.vectors[first:last]),
                    residual_px=_residual(view.photos[row], view.image_size),
                )
                memo[key] = found, 1e3 * (time.perf_counter() - start)
            inliers[place] = found.inliers
            if found.inliers:
                pair = (
                    asked.geometry[found.matches[:, 0], :2],
                    geometry[found.matches[:, 1], :2],
                )
                matches[int(row)] = np.hstack(pair)
        # Beside the votes, not before them: cells of a coarse map fit some affine map by chance.
        # The order is over all photos, as one with many votes may lie beyond the verified ones.
        votes = np.asarray(ranking.columns["votes"])
        total = votes + np.concatenate([inliers, np.zeros(len(ranking) - count, np.int64)])
        checked = np.full(len(ranking), np.nan)
        checked[:count] = inliers
        new = ranking.reordered(total, inliers=checked)
        return dataclasses.replace(
            new, matches={**ranking.matches, **matches}, spared_ms=ranking.spared_ms + spared
        )


def _residual(photo: Photo, image_size: int | None) -> float:
    """The allowed residual in px of the photo: DELF's 10 px, at the size of extraction.

    Cells are a stride apart at that size, so a photo that was shrunk more has coarser places.
    """
    longer = max(photo.width, photo.height)
    return RESIDUAL_PX * longer / min(longer, image_size or longer)
