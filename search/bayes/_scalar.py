"""Choosing a batch by a model of one distance that combines all objectives."""

from __future__ import annotations

from search._arrays import FloatArray, IntArray
from search._candidates import Candidates
from search._context import Context
from search._problem import Objective, Problem
from search._trial import Trial
from search.bayes._chebyshev import chebyshev_distances
from search.bayes._pool import make_pool
from search.bayes._select import greedy_batch
from search.models import Model

__all__ = ["scalar_batch"]


def scalar_batch(context: Context, model: Model, codes: IntArray, weights: FloatArray, n: int) -> IntArray:
    """Choose the greedy batch of a search whose only objective is minus the augmented Chebyshev distance.

    The distance is to the best value seen in every objective.

    Args:
        context: The study's view.
        model: Model of the distance.
        codes: Untried candidates ``(p, d)``.
        weights: Weights ``(m,)`` of the normalised objectives.
        n: Size of the batch.

    Returns:
        Codes ``(k, d)``, k <= n.
    """
    problem = Problem(context.problem.domain, (Objective("value", "max"),))
    values = (-chebyshev_distances(context.points, weights, context.points.max(axis=0))).tolist()
    rows = zip(context.codes.tolist(), values, strict=True)
    trials = [Trial(i, tuple(row), {"value": value}) for i, (row, value) in enumerate(rows)]
    scalar = Context(Candidates(problem, limit=0), trials, context.batches.tolist())
    return greedy_batch(scalar, model, make_pool(scalar, codes, None), n)
