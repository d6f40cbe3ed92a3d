"""Choosing a batch from a pool with a model and expected hypervolume improvement."""

from __future__ import annotations

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._context import Context
from search._pareto import dominance_numbers
from search.bayes._ehvi import expected_improvement, improvement_grid
from search.bayes._pool import Pool
from search.models import Inputs, LogTarget, Model, Posterior, fit_target

__all__ = ["greedy_batch"]

_CERTAIN = 1e-6
_TRAIN_LIMIT = 500


class _Exact:
    """The posterior of an objective that is known after all."""

    def __init__(self, mean: FloatArray) -> None:
        self.mean = mean
        self.std = np.full(len(mean), _CERTAIN)

    def condition(self, chosen: int) -> None:
        """Nothing is learned."""


def greedy_batch(
    context: Context, model: Model, pool: Pool, n: int, inside: BoolArray | None = None, confined: int = 0
) -> IntArray:
    """Indices (k,), k <= n, of a batch, chosen one after the other.

    After each choice the archive gains the chosen candidate at its predicted value and the model is
    conditioned on it, so that the next one improves on both (the "Kriging believer" of Ginsbourger et al.).

    Args:
        context: The study's view; its problem has at most one expensive objective.
        model: Model of that objective.
        pool: The candidates (p rows).
        n: Size of the batch.
        inside: Which candidates (p,) the first `confined` choices are made among.
        confined: Number of these choices.
    """
    learned = context.problem.expensive[0] if context.problem.expensive else 0
    others = [k for k in range(pool.known.shape[1]) if k != learned]
    target, posterior = _fit(context, model, pool, learned)
    archive = context.points[context.archive]
    free = np.ones(len(pool.codes), dtype=bool)
    chosen: list[int] = []
    for slot in range(min(n, len(pool.codes))):
        grid = improvement_grid(archive, context.reference, learned)
        gain = expected_improvement(grid, pool.known[:, others], posterior.mean, posterior.std, target)
        allowed = free & inside if inside is not None and slot < confined else free
        best = _argmax(gain, posterior.mean, allowed if allowed.any() else free)
        chosen.append(best)
        free[best] = False
        believed = pool.known[best].copy()
        believed[learned] = float(target.inverse(posterior.mean[best : best + 1])[0])
        archive = np.concatenate([archive, believed[None, :]])
        posterior.condition(best)
    return np.array(chosen, dtype=np.int64)


def _fit(context: Context, model: Model, pool: Pool, learned: int) -> tuple[LogTarget, Posterior]:
    values = context.points[:, learned]
    reference = float(context.reference[learned])
    cap = context.normaliser.cap(learned)
    if not context.problem.expensive:
        exact = pool.known[:, learned]
        target = fit_target(np.append(values, exact), reference, cap)
        return target, _Exact(target.transform(exact))
    target = fit_target(values, reference, cap)
    kept = _informative(context)
    train = Inputs(context.encodings[kept], context.problem.domain.one_hot(context.codes[kept]))
    return target, model.posterior(train, target.transform(values[kept]), pool.inputs)


def _informative(context: Context) -> IntArray:
    """The trials that the model is fitted to (k,), in their order: at most 500, the least dominated."""
    if len(context.points) <= _TRAIN_LIMIT:
        return np.arange(len(context.points))
    best = np.argsort(dominance_numbers(context.points), kind="stable")[:_TRAIN_LIMIT]
    return np.sort(best)


def _argmax(gain: FloatArray, mean: FloatArray, allowed: BoolArray) -> int:
    """The allowed candidate with the largest gain; with the largest mean where no gain is positive."""
    best = int(np.argmax(np.where(allowed, gain, -np.inf)))
    return best if gain[best] > 0 else int(np.argmax(np.where(allowed, mean, -np.inf)))
