"""Choosing a batch from a pool with a model and expected hypervolume improvement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._context import Context
from search._pareto import dominance_numbers
from search.bayes._ehvi import expected_improvement, improvement_grid
from search.bayes._pool import Pool
from search.models import CheapInformed, Fitted, Inputs, LogTarget, Model, Posterior, fit_target

__all__ = ["Contains", "greedy_batch"]

Contains = Callable[[IntArray], BoolArray]

_CERTAIN = 1e-6
_TRAIN_LIMIT = 500


def greedy_batch(
    context: Context,
    model: Model,
    pool: Pool,
    n: int,
    contains: Contains | None = None,
    confined: int = 0,
) -> IntArray:
    """A batch of codes (k, d), k <= n, chosen one after the other.

    After each choice the archive gains the chosen candidate at its predicted value and the model is
    conditioned on it, so that the next one improves on both (the "Kriging believer" of Ginsbourger et al.).

    Args:
        context: The study's view; its problem has at most one expensive objective.
        model: Model of that objective.
        pool: The candidates (p rows).
        n: Size of the batch.
        contains: The region that the first `confined` choices are made in.
        confined: Number of these choices.
    """
    acquisition = _prepare(context, model, pool)
    inside = contains(pool.codes) if contains is not None else np.ones(len(pool.codes), dtype=bool)
    posterior = acquisition.posterior(pool)
    archive = context.points[context.archive]
    free = np.ones(len(pool.codes), dtype=bool)
    chosen: list[int] = []
    for slot in range(min(n, len(pool.codes))):
        gain = acquisition.gain(pool, posterior, archive)
        allowed = free & inside if slot < confined else free
        best = _argmax(gain, posterior.mean, allowed if allowed.any() else free)
        chosen.append(best)
        free[best] = False
        archive = np.concatenate([archive, acquisition.believed(pool, posterior, best)])
        posterior.condition(best)
    return pool.codes[np.array(chosen, dtype=np.int64)]


@dataclass(frozen=True)
class _Acquisition:
    """Expected hypervolume improvement with one objective learned (or, with `model` absent, none)."""

    learned: int
    reference: FloatArray
    target: LogTarget
    model: Fitted | None

    def posterior(self, pool: Pool) -> Posterior:
        if self.model is None:
            return _Exact(self.target.transform(pool.known[:, self.learned]))
        return self.model.posterior(pool.inputs)

    def gain(self, pool: Pool, posterior: Posterior, archive: FloatArray) -> FloatArray:
        grid = improvement_grid(archive, self.reference, self.learned)
        known = np.delete(pool.known, self.learned, axis=1)
        return expected_improvement(grid, known, posterior.mean, posterior.std, self.target)

    def believed(self, pool: Pool, posterior: Posterior, chosen: int) -> FloatArray:
        """The point (1, m) that a candidate is believed to be."""
        point = pool.known[chosen : chosen + 1].copy()
        point[:, self.learned] = self.target.inverse(posterior.mean[chosen : chosen + 1])
        return point


class _Exact:
    """The posterior of an objective that is known after all."""

    def __init__(self, mean: FloatArray) -> None:
        self.mean = mean
        self.std = np.full(len(mean), _CERTAIN)

    def condition(self, chosen: int) -> None:
        """Nothing is learned."""


def _prepare(context: Context, model: Model, pool: Pool) -> _Acquisition:
    expensive = context.problem.expensive
    learned = expensive[0] if expensive else 0
    values = context.points[:, learned]
    reference, cap = float(context.reference[learned]), context.normaliser.cap(learned)
    if not expensive:
        target = fit_target(np.append(values, pool.known[:, learned]), reference, cap)
        return _Acquisition(learned, context.reference, target, None)
    target = fit_target(values, reference, cap)
    kept = _informative(context)
    train = Inputs(context.encodings[kept], context.problem.domain.one_hot(context.codes[kept]))
    fitted = _informed(context, model, learned).fit(train, target.transform(values[kept]))
    return _Acquisition(learned, context.reference, target, fitted)


def _informed(context: Context, model: Model, learned: int) -> Model:
    """The model, listening to the cheap trials where there are some."""
    trials = context.cheap_trials
    if not trials:
        return model
    domain = context.problem.domain
    codes = np.array([trial.codes for trial in trials], dtype=np.int64)
    objective = context.problem.objectives[learned]
    values = objective.sign * np.array([trial.values[objective.name] for trial in trials])
    target = fit_target(values, float(values.min()))  # a scale of its own: it may be a score that is no accuracy
    return CheapInformed(model, Inputs(domain.encode(codes), domain.one_hot(codes)), target.transform(values))


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
