"""Expected hypervolume improvement with every objective learned: what exact costs are worth, by their absence."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray
from search._context import Context
from search.bayes import expected_improvement, improvement_grid, make_pool, whole_pool
from search.models import Fitted, Inputs, LogTarget, Model, Posterior, fit_target
from search.strategies._base import Suggestion

__all__ = ["EHVILearned"]

_DRAWS = 16


class EHVILearned:
    """The default's model of every objective, known ones too, and candidates from the whole space.

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
        """The greedy batch of the whole pool; each choice is believed at its posterior means."""
        pool = make_pool(context, *whole_pool(context, rng))
        learned = context.problem.expensive[0] if context.problem.expensive else 0
        values, cap = context.points[:, learned], context.normaliser.cap(learned)
        target = fit_target(values, float(context.reference[learned]), cap)
        fitted = self._fit(context, learned, target)
        posteriors = [one.posterior(pool.inputs) for one in fitted]
        noise = rng.standard_normal((_DRAWS, len(fitted) - 1))
        archive = context.points[context.archive]
        free = np.ones(len(pool.codes), dtype=bool)
        chosen: list[int] = []
        for _ in range(min(n, len(pool.codes))):
            gain = _gain(posteriors, learned, target, archive, context.reference, noise)
            best = int(np.argmax(np.where(free, gain, -np.inf)))
            chosen.append(best)
            free[best] = False
            believed = np.array([[posterior.mean[best] for posterior in posteriors]])
            believed[:, learned] = target.inverse(believed[:, learned])
            archive = np.concatenate([archive, believed])
            for posterior in posteriors:
                posterior.condition(best)
        return Suggestion(pool.codes[np.array(chosen, dtype=np.int64)])

    def _fit(self, context: Context, learned: int, target: LogTarget) -> list[Fitted]:
        train = Inputs(context.encodings, context.problem.domain.one_hot(context.codes))
        values = context.points.copy()
        values[:, learned] = target.transform(values[:, learned])
        return [self.model.fit(train, column) for column in values.T]


def _gain(
    posteriors: list[Posterior],
    learned: int,
    target: LogTarget,
    archive: FloatArray,
    reference: FloatArray,
    noise: FloatArray,
) -> FloatArray:
    """Expected improvement (p,) of each candidate, averaged over the draws of the other objectives."""
    grid = improvement_grid(archive, reference, learned)
    others = [posterior for k, posterior in enumerate(posteriors) if k != learned]
    mean, std = posteriors[learned].mean, posteriors[learned].std
    gains = []
    for draw in noise if others else noise[:1]:
        drawn = [other.mean + z * other.std for other, z in zip(others, draw, strict=True)]
        known = np.stack(drawn, axis=1) if drawn else np.empty((len(mean), 0))
        gains.append(expected_improvement(grid, known, mean, std, target))
    result: FloatArray = np.mean(gains, axis=0)
    return result
