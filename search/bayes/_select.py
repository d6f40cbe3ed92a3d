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

__all__ = ["Believer", "Contains", "choose_greedily", "greedy_batch"]

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
    inside = contains(pool.codes) if contains is not None else np.ones(len(pool.codes), dtype=bool)
    acquisition = _prepare(context, model, pool)
    return choose_greedily(acquisition, pool, context.points[context.archive], n, inside, confined)


class Believer(Protocol):
    """An acquisition over a pool that believes its predictions of what was chosen."""

    def gain(self, archive: FloatArray) -> FloatArray:
        """What each candidate promises (p,) beyond an archive (k, m)."""
        ...

    def pick(self, gain: FloatArray, allowed: BoolArray) -> int:
        """The best of the allowed candidates."""
        ...

    def believe(self, chosen: int) -> FloatArray:
        """The point (1, m) that a candidate is believed to be; the models take it as observed."""
        ...


def choose_greedily(
    acquisition: Believer,
    pool: Pool,
    archive: FloatArray,
    n: int,
    inside: BoolArray | None = None,
    confined: int = 0,
) -> IntArray:
    """Codes (k, d), k <= n, chosen one after the other, each added to the archive as it is believed to be.

    The first `confined` choices are made where `inside` (p,) says, as far as there are candidates.
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
    """Expected hypervolume improvement with one objective learned, or none and that one exact."""

    learned: int
    reference: FloatArray
    target: LogTarget
    pool: Pool
    posterior: Posterior

    def gain(self, archive: FloatArray) -> FloatArray:
        grid = improvement_grid(archive, self.reference, self.learned)
        known_values = np.delete(self.pool.known_values, self.learned, axis=1)
        return expected_improvement(grid, known_values, self.posterior.mean, self.posterior.std, self.target)

    def pick(self, gain: FloatArray, allowed: BoolArray) -> int:
        """The candidate with the largest gain; with the largest mean where no gain is positive."""
        best = int(np.argmax(np.where(allowed, gain, -np.inf)))
        return best if gain[best] > 0 else int(np.argmax(np.where(allowed, self.posterior.mean, -np.inf)))

    def believe(self, chosen: int) -> FloatArray:
        point = self.pool.known_values[chosen : chosen + 1].copy()
        point[:, self.learned] = self.target.inverse(self.posterior.mean[chosen : chosen + 1])
        self.posterior.condition(chosen)
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
        target = fit_target(np.append(values, pool.known_values[:, learned]), reference, cap)
        exact = _Exact(target.transform(pool.known_values[:, learned]))
        return _Acquisition(learned, context.reference, target, pool, exact)
    codes, told = _training(context, learned)
    target = fit_target(np.append(values, told), reference, cap)
    train = Inputs(context.problem.domain.encode(codes), context.problem.domain.one_hot(codes))
    fitted = _informed(context, model, learned).fit(train, target.transform(told))
    return _Acquisition(learned, context.reference, target, pool, fitted.posterior(pool.inputs))


def _informed(context: Context, model: Model, learned: int) -> Model:
    """The model, listening to the cheap trials where there are some."""
    trials = context.low_fidelity_trials
    if not trials:
        return model
    domain = context.problem.domain
    codes = np.array([trial.codes for trial in trials], dtype=np.int64)
    objective = context.problem.objectives[learned]
    values = objective.sign * np.array([trial.values[objective.name] for trial in trials])
    target = fit_target(values, float(values.min()))  # a scale of its own: it may be a score that is no accuracy
    return TwoFidelityModel(model, Inputs(domain.encode(codes), domain.one_hot(codes)), target.transform(values))


def _training(context: Context, learned: int) -> tuple[IntArray, FloatArray]:
    """Codes (k, d) and normalised values (k,) that the model learns: also of trials outside a later budget."""
    kept = _informative(context)
    codes, values = context.codes[kept], context.points[kept, learned]
    outside = context.outside[: max(0, _TRAIN_LIMIT - len(kept))]
    if not outside:
        return codes, values
    rows = [[trial.values[objective.name] for objective in context.problem.objectives] for trial in outside]
    more = context.normaliser(np.array(rows, dtype=np.float64))[:, learned]
    return np.concatenate([codes, [trial.codes for trial in outside]]), np.concatenate([values, more])


def _informative(context: Context) -> IntArray:
    """The trials that the model is fitted to (k,), in their order: at most 500, the least dominated."""
    if len(context.points) <= _TRAIN_LIMIT:
        return np.arange(len(context.points))
    best = np.argsort(dominance_numbers(context.points), kind="stable")[:_TRAIN_LIMIT]
    return np.sort(best)
