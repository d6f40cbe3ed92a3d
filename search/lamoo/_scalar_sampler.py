"""The leaf sampler that models one random trade-off between the objectives at a time."""

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
    """Maximises the expected improvement of a randomly weighted Chebyshev distance.

    This is ParEGO (Knowles 2006, doi 10.1109/TEVC.2005.851274). Each call draws weights, models the
    distance of the samples to the best value seen in every objective, and proposes candidates that are expected to
    shorten it. Each call has one model for any number of objectives, and its inputs are the domain's features.

    Args:
        model: Model of the distance.
        hedge: Probability that a call proposes from the whole space instead of the region.
    """

    name = "scalar"

    def __init__(self, model: Model, hedge: float = 0.0) -> None:
        self.model, self.hedge = model, hedge

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Choose the greedy batch under one draw of weights; see `LeafSampler.sample`."""
        weights = rng.dirichlet(np.ones(context.points.shape[1]))
        codes = whole_pool(context, rng)[0] if rng.random() < self.hedge else region.pool
        problem = Problem(context.problem.domain, (Objective("value", "max"),))
        values = _chebyshev(context.points, weights).tolist()
        rows = zip(context.codes.tolist(), values, strict=True)
        trials = [Trial(i, tuple(row), {"value": value}) for i, (row, value) in enumerate(rows)]
        scalar = Context(Candidates(problem, limit=0), trials, context.batches.tolist())
        return greedy_batch(scalar, self.model, make_pool(scalar, codes, None), n)


def _chebyshev(points: FloatArray, weights: FloatArray) -> FloatArray:
    """Compute minus the augmented Chebyshev distance ``(n,)`` of maximised points ``(n, m)`` to their best values."""
    # max_k g_k + 0.05 sum_k g_k for the weighted gaps g_k = w_k (best_k - y_k).
    gaps: FloatArray = weights * (points.max(axis=0) - points)
    distances: FloatArray = gaps.max(axis=1) + _SUM_SHARE * gaps.sum(axis=1)
    return -distances
