"""The inner sampler for several expensive objectives at once: one random trade-off between them at a time."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray, IntArray
from search._candidates import Candidates
from search._context import Context
from search._problem import Objective, Problem
from search._trial import Trial
from search.bayes import greedy_batch, make_pool, whole_pool
from search.lamoo._region import Region
from search.models import Model

__all__ = ["ScalarSampler"]

_SUM_SHARE = 0.05


class ScalarSampler:
    """Expected improvement of a randomly weighted Chebyshev distance (ParEGO: Knowles, doi 10.1109/TEVC.2005.851274).

    Each call draws weights, models the distance of the samples to the best seen in every objective, and proposes what
    promises to shorten it. One model a call, whatever the number of objectives, and it sees the domain's features.

    Args:
        model: Model of the distance.
        hedge: Probability that a call looks at the whole space instead of the region.
    """

    name = "scalar"

    def __init__(self, model: Model, hedge: float = 0.0) -> None:
        self.model, self.hedge = model, hedge

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """The greedy batch under one draw of weights."""
        weights = rng.dirichlet(np.ones(context.points.shape[1]))
        codes = whole_pool(context, rng)[0] if rng.random() < self.hedge else region.pool
        problem = Problem(context.problem.domain, (Objective("value", "max"),))
        values = _chebyshev(context.points, weights).tolist()
        rows = zip(context.codes.tolist(), values, strict=True)
        trials = [Trial(i, tuple(row), {"value": value}) for i, (row, value) in enumerate(rows)]
        scalar = Context(Candidates(problem, limit=0), trials, context.batches.tolist())
        return greedy_batch(scalar, self.model, make_pool(scalar, codes, None), n)


def _chebyshev(points: FloatArray, weights: FloatArray) -> FloatArray:
    """Minus the augmented weighted Chebyshev distance (n,) of maximised points (n, m) to the best of all objectives."""
    gaps: FloatArray = weights * (points.max(axis=0) - points)
    distances: FloatArray = gaps.max(axis=1) + _SUM_SHARE * gaps.sum(axis=1)
    return -distances
