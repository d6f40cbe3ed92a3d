"""Choosing a batch from a pool with a model and expected hypervolume improvement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._context import Context
from search.bayes._ehvi import expected_improvement, improvement_grid
from search.bayes._learn import learn
from search.bayes._pool import Pool
from search.models import LogTarget, Model, Posterior, fit_target

__all__ = ["Believer", "Contains", "choose_greedily", "greedy_batch"]

Contains = Callable[[IntArray], BoolArray]

_CERTAIN = 1e-6


def greedy_batch(
    context: Context,
    model: Model,
    pool: Pool,
    n: int,
    contains: Contains | None = None,
    confined: int = 0,
) -> IntArray:
    """Choose a batch, one candidate after the other.

    After each choice the archive gains the chosen candidate at its predicted value and the model is
    conditioned on it, so that the next one improves on both: the "Kriging believer" (Ginsbourger, Le Riche and
    Carraro 2010, doi 10.1007/978-3-642-10701-6_6).

    Args:
        context: The study's view; its problem has at most one expensive objective.
        model: Model of that objective.
        pool: The candidates (p rows).
        n: Size of the batch.
        contains: Which rows lie in the region that the first `confined` choices are made in.
        confined: Number of these choices.

    Returns:
        Codes ``(k, d)``, k <= n.
    """
    inside = contains(pool.codes) if contains is not None else np.ones(len(pool.codes), dtype=bool)
    acquisition = _prepare(context, model, pool)
    return choose_greedily(acquisition, pool, context.points[context.archive], n, inside, confined)


class Believer(Protocol):
    """An acquisition over a pool that takes its predictions of the chosen candidates for observations."""

    def gain(self, archive: FloatArray) -> FloatArray:
        """Compute the expected gain ``(p,)`` of each candidate over an archive ``(k, m)``."""
        ...

    def pick(self, gain: FloatArray, allowed: BoolArray) -> int:
        """Pick the best candidate among the allowed ones ``(p,)``, given the gains ``(p,)``."""
        ...

    def believe(self, chosen: int) -> FloatArray:
        """Condition the models on candidate `chosen`; return the point ``(1, m)`` that they predict for it."""
        ...


def choose_greedily(
    acquisition: Believer,
    pool: Pool,
    archive: FloatArray,
    n: int,
    inside: BoolArray | None = None,
    confined: int = 0,
) -> IntArray:
    """Choose candidates one after the other, each added to the archive at its predicted point.

    Args:
        acquisition: Rates the candidates of the pool.
        pool: The candidates (p rows).
        archive: Pareto archive ``(a, m)``, maximised.
        n: Number of candidates wanted.
        inside: Which candidates ``(p,)`` the first `confined` choices are made from, as far as there are any.
        confined: Number of these choices.

    Returns:
        Codes ``(k, d)``, k <= n.
    """
    free = np.ones(len(pool.codes), dtype=bool)
    chosen: list[int] = []
    for slot in range(min(n, len(pool.codes))):
        gain = acquisition.gain(archive)
        allowed = free & inside if inside is not None and slot < confined else free
        best = acquisition.pick(gain, allowed if allowed.any() else free)
        chosen.append(best)
        free[best] = False
        archive = np.concatenate([archive, acquisition.believe(best)])
    return pool.codes[np.array(chosen, dtype=np.int64)]


@dataclass(frozen=True)
class _Acquisition:
    """Expected hypervolume improvement; objective `learned` has a posterior, the others have exact values."""

    learned: int
    reference: FloatArray
    target: LogTarget
    pool: Pool
    posterior: Posterior

    def gain(self, archive: FloatArray) -> FloatArray:
        """Compute the expected hypervolume improvement ``(p,)`` of each candidate over an archive ``(k, m)``."""
        grid = improvement_grid(archive, self.reference, self.learned)
        known_values = np.delete(self.pool.known_values, self.learned, axis=1)
        return expected_improvement(grid, known_values, self.posterior.mean, self.posterior.std, self.target)

    def pick(self, gain: FloatArray, allowed: BoolArray) -> int:
        """Pick the candidate with the largest gain; with the largest mean where no gain is positive."""
        best = int(np.argmax(np.where(allowed, gain, -np.inf)))
        return best if gain[best] > 0 else int(np.argmax(np.where(allowed, self.posterior.mean, -np.inf)))

    def believe(self, chosen: int) -> FloatArray:
        """Condition the posterior on the candidate; return its known values and predicted mean ``(1, m)``."""
        point = self.pool.known_values[chosen : chosen + 1].copy()
        point[:, self.learned] = self.target.inverse(self.posterior.mean[chosen : chosen + 1])
        self.posterior.condition(chosen)
        return point


class _Exact:
    """The posterior of an objective that has a cost function."""

    def __init__(self, mean: FloatArray) -> None:
        self.mean = mean
        self.std = np.full(len(mean), _CERTAIN)

    def condition(self, chosen: int) -> None:
        """Keep the values: they are exact."""


def _prepare(context: Context, model: Model, pool: Pool) -> _Acquisition:
    """Fit the model of the expensive objective; where all have a cost function, the first plays its part, exactly."""
    expensive = context.problem.expensive
    learned = expensive[0] if expensive else 0
    if not expensive:
        values = context.points[:, learned]
        reference, cap = float(context.reference[learned]), context.normaliser.cap(learned)
        target = fit_target(np.append(values, pool.known_values[:, learned]), reference, cap)
        exact = _Exact(target.transform(pool.known_values[:, learned]))
        return _Acquisition(learned, context.reference, target, pool, exact)
    model_of_it = learn(context, model, learned)
    return _Acquisition(learned, context.reference, model_of_it.target, pool, model_of_it.fitted.posterior(pool.inputs))
