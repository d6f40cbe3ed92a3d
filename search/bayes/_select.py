"""Choosing a batch from a pool with a model and expected hypervolume improvement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._context import Context
from search._pareto import dominance_numbers
from search.bayes._ehvi import expected_improvement, improvement_grid
from search.bayes._pool import Pool
from search.models import Inputs, LogTarget, Model, Posterior, TwoFidelityModel, fit_target

__all__ = ["Believer", "Contains", "choose_greedily", "greedy_batch", "training_rows"]

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
    values = context.points[:, learned]
    reference, cap = float(context.reference[learned]), context.normaliser.cap(learned)
    if not expensive:
        target = fit_target(np.append(values, pool.known_values[:, learned]), reference, cap)
        exact = _Exact(target.transform(pool.known_values[:, learned]))
        return _Acquisition(learned, context.reference, target, pool, exact)
    codes, targets = training_rows(context, learned)
    target = fit_target(np.append(values, targets), reference, cap)
    train = Inputs(context.problem.domain.encode(codes), context.problem.domain.one_hot(codes))
    fitted = _informed(context, model, learned).fit(train, target.transform(targets))
    return _Acquisition(learned, context.reference, target, pool, fitted.posterior(pool.inputs))


def _informed(context: Context, model: Model, learned: int) -> Model:
    """Inform the model by the low-fidelity trials, where there are some."""
    trials = context.low_fidelity_trials
    if not trials:
        return model
    domain = context.problem.domain
    codes = np.array([trial.codes for trial in trials], dtype=np.int64)
    objective = context.problem.objectives[learned]
    values = objective.sign * np.array([trial.values[objective.name] for trial in trials])
    target = fit_target(values, float(values.min()))  # the score may have a scale of its own
    return TwoFidelityModel(model, Inputs(domain.encode(codes), domain.one_hot(codes)), target.transform(values))


def training_rows(context: Context, learned: int) -> tuple[IntArray, FloatArray]:
    """Collect codes ``(k, d)`` and normalised values ``(k,)`` to learn from, trials outside a later budget included.

    Args:
        context: The study's view.
        learned: Index of the objective.
    """
    kept = _informative(context)
    codes, values = context.codes[kept], context.points[kept, learned]
    outside = context.outside[: max(0, _TRAIN_LIMIT - len(kept))]
    if not outside:
        return codes, values
    rows = [[trial.values[objective.name] for objective in context.problem.objectives] for trial in outside]
    more = context.normaliser(np.array(rows, dtype=np.float64))[:, learned]
    return np.concatenate([codes, [trial.codes for trial in outside]]), np.concatenate([values, more])


def _informative(context: Context) -> IntArray:
    """Choose the trials that the model is fitted to, ascending indices ``(k,)``: the 500 least dominated ones."""
    if len(context.points) <= _TRAIN_LIMIT:
        return np.arange(len(context.points))
    best = np.argsort(dominance_numbers(context.points), kind="stable")[:_TRAIN_LIMIT]
    return np.sort(best)
