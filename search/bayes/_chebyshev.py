"""Improvement of an augmented Chebyshev distance, with exact costs and any number of learned objectives.

The distance is that of ParEGO (Knowles 2006, doi 10.1109/TEVC.2005.851274, equation 2), of the gaps
g_k = w_k (z_k - y_k) between a point y and the ideal point z, all objectives maximised:

    s(y) = max_k g_k + rho sum_k g_k,    rho = 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search._arrays import BoolArray, FloatArray
from search._context import Context
from search.bayes._learn import Learned, learn
from search.bayes._pool import Pool
from search.models import LogTarget, Model, Posterior

__all__ = ["Believed", "Objectives", "Scalarisation", "chebyshev_distances", "random_weights", "scalarise"]

_SUM_SHARE = 0.05
_LEAST_WEIGHT = 1e-4
_UTOPIA = 0.2
_DRAWS = 16


def random_weights(n: int, objectives: int, rng: np.random.Generator) -> FloatArray:
    """Draw weights ``(n, m)`` uniformly from the simplex of the objectives."""
    weights: FloatArray = rng.dirichlet(np.ones(objectives), size=n)
    return weights


def chebyshev_distances(points: FloatArray, weights: FloatArray, ideal: FloatArray) -> FloatArray:
    """Compute the augmented Chebyshev distances ``(n,)`` of maximised points to an ideal point.

    Args:
        points: Normalised points ``(n, m)``.
        weights: Weights ``(m,)``.
        ideal: The ideal point ``(m,)``.
    """
    gaps: FloatArray = weights * (ideal - points)
    distances: FloatArray = gaps.max(axis=1) + _SUM_SHARE * gaps.sum(axis=1)
    return distances


@dataclass(frozen=True)
class Scalarisation:
    """One trade-off between the objectives, and what was reached in it.

    Attributes:
        weights: Weights w ``(m,)``, positive.
        ideal: The ideal point z ``(m,)``.
        shortest: The shortest distance s* of the points so far.
    """

    weights: FloatArray
    ideal: FloatArray
    shortest: float

    def distances(self, points: FloatArray) -> FloatArray:
        """Compute the distances ``(n,)`` of points ``(n, m)``."""
        return chebyshev_distances(points, self.weights, self.ideal)

    def best(self, improvements: FloatArray, points: FloatArray, allowed: BoolArray | None = None) -> int:
        """Find the candidate with the largest expected improvement.

        Among equal improvements it is the candidate with the shortest predicted distance. So the choice still means
        something late in a search, where no candidate is expected to improve and all improvements are 0.

        Args:
            improvements: Expected improvements ``(p,)``.
            points: Predicted points ``(p, m)``.
            allowed: Which candidates ``(p,)`` may be chosen; `None` for all.
        """
        places = np.arange(len(points)) if allowed is None else np.flatnonzero(allowed)
        order = np.lexsort((self.distances(points[places]), -improvements[places]))
        return int(places[order[0]])

    def expected_improvement(
        self, points: FloatArray, objective: int, mean: FloatArray, std: FloatArray, target: LogTarget
    ) -> FloatArray:
        """Compute E[(s* - s(y))+], where one objective of y is uncertain.

        With u = w (z - y) for that objective, and A and B the maximum and the sum of the other gaps,
        s = max(A, u) + rho (B + u). It falls with y on two straight pieces that meet at u = A, so the improvement is

            (1 + rho) (u0 - u)+ - (A - u)+   with u0 = (s* - rho B) / (1 + rho), where u0 >= A,
            rho (u1 - u)+                    with u1 = (s* - A) / rho - B, elsewhere,

        and (c - u)+ = w (y - l)+ for the level l = z - c / w.

        Args:
            points: The candidates' points ``(p, m)``; the column `objective` is not read.
            objective: Index of the uncertain objective.
            mean: Posterior means ``(p,)`` of its target.
            std: Posterior standard deviations ``(p,)`` of its target.
            target: Maps the target to the normalised objective.
        """
        weight, ideal = self.weights[objective], self.ideal[objective]
        gaps = np.delete(self.weights * (self.ideal - points), objective, axis=1)
        # A and B; without other objectives the pieces never meet.
        most, total = gaps.max(axis=1, initial=-np.inf), gaps.sum(axis=1)
        # u0, and u1 where the improvement begins only on the flat piece.
        steep = (self.shortest - _SUM_SHARE * total) / (1.0 + _SUM_SHARE)
        flat = (self.shortest - most) / _SUM_SHARE - total
        is_steep = steep >= most
        levels = ideal - np.stack([np.where(is_steep, steep, flat), most], axis=1) / weight
        # w E[(y - l)+] = E[(c - u)+] for both levels.
        excess = weight * target.expected_excess(mean, std, levels)
        first = np.where(is_steep, 1.0 + _SUM_SHARE, _SUM_SHARE) * excess[:, 0]
        improvement: FloatArray = np.maximum(first - np.where(is_steep, excess[:, 1], 0.0), 0.0)
        return improvement


def scalarise(archive: FloatArray, weights: FloatArray) -> Scalarisation:
    """Make a trade-off on the scale of an archive: 0 at its worst and 1 at its best value of each objective.

    The ideal point lies a fifth of the scale beyond the best values. At the best values themselves an extreme point of
    the archive has no gap in its objective, and no weights ask for a better one.

    Args:
        archive: Points ``(k, m)`` that none of them dominates, normalised and maximised.
        weights: Weights ``(m,)`` of the objectives on that scale; their sum is 1.
    """
    span = np.ptp(archive, axis=0)
    span = np.where(span > 0, span, 1.0)
    scaled = np.maximum(weights, _LEAST_WEIGHT) / span
    ideal = archive.max(axis=0) + _UTOPIA * span
    return Scalarisation(scaled, ideal, float(chebyshev_distances(archive, scaled, ideal).min()))


class Objectives:
    """The objectives as they are known before an evaluation: computed costs, and a model of each of the others.

    Args:
        context: The study's view.
        model: Model of each objective without a cost function.
        rng: Random generator of the batch.
    """

    def __init__(self, context: Context, model: Model, rng: np.random.Generator) -> None:
        self._learned = [learn(context, model, k) for k in context.problem.expensive]
        # The same draws for all candidates: their improvements are compared.
        self._noise = rng.standard_normal((_DRAWS, max(0, len(self._learned) - 1)))

    def predict(self, pool: Pool) -> Believed:
        """Predict the candidates of a pool."""
        return Believed(pool, self._learned, self._noise)


class Believed:
    """Predicted objectives of a pool's candidates; predictions of chosen ones can be taken for observations.

    Args:
        pool: The candidates (p rows).
        learned: The fitted models of the expensive objectives.
        noise: Standard normal draws ``(d, e)`` for all learned objectives but the first.
    """

    def __init__(self, pool: Pool, learned: Sequence[Learned], noise: FloatArray) -> None:
        self._learned, self._noise = learned, noise
        self._known = pool.known_values
        self._posteriors: list[Posterior] = [part.fitted.posterior(pool.inputs) for part in learned]

    @property
    def points(self) -> FloatArray:
        """Predicted points ``(p, m)``: computed costs, and the learned objectives at their posterior means."""
        points = self._known.copy()
        for part, posterior in zip(self._learned, self._posteriors, strict=True):
            points[:, part.objective] = part.target.inverse(posterior.mean)
        return points

    def condition(self, chosen: int) -> None:
        """Condition every model on its mean of candidate `chosen`."""
        for posterior in self._posteriors:
            posterior.condition(chosen)

    def expected_improvement(self, scalarisation: Scalarisation) -> FloatArray:
        """Compute the expected improvement ``(p,)`` of a trade-off.

        The first learned objective is integrated in closed form, the others over draws; the models are taken as
        independent.
        """
        if not self._learned:
            exact: FloatArray = np.maximum(scalarisation.shortest - scalarisation.distances(self._known), 0.0)
            return exact
        first, posterior = self._learned[0], self._posteriors[0]
        gains = []
        points = self._known.copy()
        for draw in self._noise if len(self._learned) > 1 else self._noise[:1]:
            for part, other, z in zip(self._learned[1:], self._posteriors[1:], draw, strict=True):
                points[:, part.objective] = part.target.inverse(other.mean + z * other.std)
            gains.append(
                scalarisation.expected_improvement(points, first.objective, posterior.mean, posterior.std, first.target)
            )
        result: FloatArray = np.mean(gains, axis=0)
        return result
