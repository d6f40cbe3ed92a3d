"""What Bayesian optimisation learns from: the trials that a model of one objective is fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search._arrays import FloatArray, IntArray
from search._context import Context
from search._pareto import dominance_numbers
from search.models import Fitted, Inputs, LogTarget, Model, TwoFidelityModel, fit_target

__all__ = ["Learned", "learn", "training_rows"]

_TRAIN_LIMIT = 500


@dataclass(frozen=True)
class Learned:
    """A model of one expensive objective.

    Attributes:
        objective: Index of the objective.
        fitted: The fitted model of the target.
        target: Maps the target to the normalised objective.
    """

    objective: int
    fitted: Fitted
    target: LogTarget


def learn(context: Context, model: Model, objective: int) -> Learned:
    """Fit a model to the trials so far, low-fidelity ones included.

    Args:
        context: The study's view.
        model: The model.
        objective: Index of an objective without a cost function.
    """
    codes, targets = training_rows(context, objective)
    reference, cap = float(context.reference[objective]), context.normaliser.cap(objective)
    target = fit_target(np.append(context.points[:, objective], targets), reference, cap)
    train = Inputs.of(codes, context.problem.domain)
    fitted = _informed(context, model, objective).fit(train, target.transform(targets))
    return Learned(objective, fitted, target)


def _informed(context: Context, model: Model, objective: int) -> Model:
    """Inform the model by the low-fidelity trials, where there are some."""
    trials = context.low_fidelity_trials
    if not trials:
        return model
    codes = np.array([trial.codes for trial in trials], dtype=np.int64)
    stated = context.problem.objectives[objective]
    values = stated.sign * np.array([trial.values[stated.name] for trial in trials])
    target = fit_target(values, float(values.min()))  # the score may have a scale of its own
    return TwoFidelityModel(model, Inputs.of(codes, context.problem.domain), target.transform(values))


def training_rows(context: Context, objective: int) -> tuple[IntArray, FloatArray]:
    """Collect codes ``(k, d)`` and normalised values ``(k,)`` to learn from, trials outside a later budget included.

    Args:
        context: The study's view.
        objective: Index of the objective.
    """
    kept = _informative(context)
    codes, values = context.codes[kept], context.points[kept, objective]
    outside = context.outside[: max(0, _TRAIN_LIMIT - len(kept))]
    if not outside:
        return codes, values
    rows = [[trial.values[stated.name] for stated in context.problem.objectives] for trial in outside]
    more = context.normaliser(np.array(rows, dtype=np.float64))[:, objective]
    return np.concatenate([codes, [trial.codes for trial in outside]]), np.concatenate([values, more])


def _informative(context: Context) -> IntArray:
    """Choose the trials that the model is fitted to, ascending indices ``(k,)``: the 500 least dominated ones."""
    if len(context.points) <= _TRAIN_LIMIT:
        return np.arange(len(context.points))
    best = np.argsort(dominance_numbers(context.points), kind="stable")[:_TRAIN_LIMIT]
    return np.sort(best)
