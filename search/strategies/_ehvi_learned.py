"""Expected hypervolume improvement with every objective learned, to show what exact costs are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search._arrays import BoolArray, FloatArray
from search._context import Context
from search.bayes import choose_greedily, expected_improvement, improvement_grid, make_pool, whole_pool
from search.models import Fitted, Inputs, LogTarget, Model, Posterior, fit_target
from search.strategies._base import Suggestion

__all__ = ["EHVILearned"]

_DRAWS = 16


class EHVILearned:
    """Models every objective, including those with a cost function; candidates come from the whole space.

    The first expensive objective is integrated in closed form, the others over draws from their posteriors, which
    are taken as independent. Only worth its time as a comparison with `EHVISearch`.

    Args:
        model: Model of each objective.
        name: Name of the strategy.
    """

    def __init__(self, model: Model, name: str = "qehvi-learned") -> None:
        self.model = model
        self.name = name

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest the greedy batch of the whole pool; each choice is taken to have its posterior means."""
        pool = make_pool(context, *whole_pool(context, rng))
        learned = context.problem.expensive[0] if context.problem.expensive else 0
        values, cap = context.points[:, learned], context.normaliser.cap(learned)
        target = fit_target(values, float(context.reference[learned]), cap)
        fitted = self._fit(context, learned, target)
        noise = rng.standard_normal((_DRAWS, len(fitted) - 1))
        posteriors = [model.posterior(pool.inputs) for model in fitted]
        acquisition = _Acquisition(learned, context.reference, target, posteriors, noise)
        return Suggestion(choose_greedily(acquisition, pool, context.points[context.archive], n))

    def _fit(self, context: Context, learned: int, target: LogTarget) -> list[Fitted]:
        """Fit a model for each objective."""
        train = Inputs(context.encodings, context.problem.domain.one_hot(context.codes))
        values = context.points.copy()
        values[:, learned] = target.transform(values[:, learned])
        return [self.model.fit(train, column) for column in values.T]


@dataclass(frozen=True)
class _Acquisition:
    """Expected hypervolume improvement averaged over draws of all objectives but one."""

    learned: int
    reference: FloatArray
    target: LogTarget
    posteriors: list[Posterior]
    noise: FloatArray

    def gain(self, archive: FloatArray) -> FloatArray:
        """Compute the expected hypervolume improvement ``(p,)`` of each candidate over an archive ``(k, m)``."""
        grid = improvement_grid(archive, self.reference, self.learned)
        others = [posterior for k, posterior in enumerate(self.posteriors) if k != self.learned]
        mean, std = self.posteriors[self.learned].mean, self.posteriors[self.learned].std
        gains = []
        for draw in self.noise if others else self.noise[:1]:
            drawn = [other.mean + z * other.std for other, z in zip(others, draw, strict=True)]
            known_values = np.stack(drawn, axis=1) if drawn else np.empty((len(mean), 0))
            gains.append(expected_improvement(grid, known_values, mean, std, self.target))
        result: FloatArray = np.mean(gains, axis=0)
        return result

    def pick(self, gain: FloatArray, allowed: BoolArray) -> int:
        """Pick the allowed candidate with the largest gain."""
        return int(np.argmax(np.where(allowed, gain, -np.inf)))

    def believe(self, chosen: int) -> FloatArray:
        """Condition every posterior on the candidate; return its predicted point ``(1, m)``."""
        point = np.array([[posterior.mean[chosen] for posterior in self.posteriors]])
        point[:, self.learned] = self.target.inverse(point[:, self.learned])
        for posterior in self.posteriors:
            posterior.condition(chosen)
        return point
