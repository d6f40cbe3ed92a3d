"""What SMEM-NAS knows of candidates: predicted order where an objective is expensive, exact or estimated costs."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray, IntArray
from search._context import Context
from search.bayes import training_rows
from search.models import Inputs, LogTarget, Score, fit_pair_classifier, fit_ranking, fit_target, make_model

__all__ = ["SURROGATES", "Surrogate"]

SURROGATES = ("pairs", "svc", "regression")
"""A utility fitted to all comparisons; a support vector machine on some of them; a Gaussian process on the values."""


class Surrogate:
    """Predicts the objectives of candidates, normalised and maximised.

    Args:
        context: The study's view.
        kind: One of `SURROGATES`.
    """

    def __init__(self, context: Context, kind: str) -> None:
        self._context = context
        self._scores: dict[int, Score] = {}
        self._scales: dict[int, _Scale] = {}
        for k in context.problem.expensive:
            codes, values = training_rows(context, k)
            train = self._inputs(codes)
            target = fit_target(values, float(context.reference[k]), context.normaliser.cap(k))
            self._scores[k] = _fit(kind, train, values, target)
            self._scales[k] = _Scale(self._scores[k](train), target.transform(values), target)

    def points(self, codes: IntArray) -> FloatArray:
        """Compute objectives ``(p, m)`` of rows ``(p, d)``, with scores in place of those without a cost function."""
        points = self._context.normaliser(self._context.problem.known_values(codes))
        if self._scores and len(codes):
            inputs = self._inputs(codes)
            for k, score in self._scores.items():
                points[:, k] = score(inputs)
        return points

    def values(self, codes: IntArray) -> FloatArray:
        """Compute objectives ``(p, m)`` of rows ``(p, d)``, with scores on the scale of the trials' values."""
        points = self.points(codes)
        for k, scale in self._scales.items():
            points[:, k] = scale(points[:, k])
        return points

    def _inputs(self, codes: IntArray) -> Inputs:
        return Inputs.of(codes, self._context.problem.domain)


def _fit(kind: str, train: Inputs, values: FloatArray, target: LogTarget) -> Score:
    """Fit a score to trials (n rows) with values ``(n,)``."""
    if kind == "pairs":
        return fit_ranking(train, values)
    if kind == "svc":
        return fit_pair_classifier(train, values)
    fitted = make_model().fit(train, target.transform(values))
    return lambda pool: fitted.posterior(pool).mean


class _Scale:
    """Maps scores to values: monotone through the trials, on the scale of the target (see `LogTarget`).

    Between trials the map is an isotonic regression, so it never changes the order that the score states. Beyond the
    highest score it is a line whose slope is the ratio of the standard deviations.

    Args:
        scores: Scores ``(n,)`` of the trials.
        targets: Their targets ``(n,)``.
        target: Maps targets to values.
    """

    def __init__(self, scores: FloatArray, targets: FloatArray, target: LogTarget) -> None:
        from sklearn.isotonic import isotonic_regression

        order = np.argsort(scores, kind="stable")
        self._scores = scores[order]
        self._targets = np.asarray(isotonic_regression(targets[order]), dtype=np.float64)
        self._target = target
        spread = float(scores.std())
        self._slope = float(targets.std()) / spread if spread > 0 else 0.0

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Map scores ``(p,)`` to normalised values ``(p,)``."""
        inside = np.interp(scores, self._scores, self._targets)
        beyond = self._slope * np.maximum(scores - self._scores[-1], 0.0)
        return self._target.inverse(inside + beyond)
