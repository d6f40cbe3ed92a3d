"""The target of a model: the logarithm of an objective's distance to a value that it cannot reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search._arrays import FloatArray

__all__ = ["LogTarget", "fit_target"]

_HEADROOM = 0.05
_LEAST_HEADROOM = 0.01
_TINY = 1e-12


@dataclass(frozen=True)
class LogTarget:
    """Target t(y) = -log(ceiling - y) of normalised, maximised values y.

    Accuracies lie close together near the best one, with a long tail far below. The logarithm spreads the top, where
    improvements are made, and shortens the tail; it stays smooth and monotone, unlike a rank transform.

    Attributes:
        ceiling: A normalised value above every observed one.
    """

    ceiling: float

    def transform(self, values: FloatArray) -> FloatArray:
        """Map normalised values ``(n,)`` below the ceiling to targets ``(n,)``."""
        result: FloatArray = -np.log(np.maximum(self.ceiling - values, _TINY))
        return result

    def inverse(self, targets: FloatArray) -> FloatArray:
        """Map targets ``(n,)`` to normalised values ``(n,)``."""
        result: FloatArray = self.ceiling - np.exp(-targets)
        return result

    def expected_excess(self, mean: FloatArray, std: FloatArray, levels: FloatArray) -> FloatArray:
        """Compute the expected excess E[(y - l)+] over levels l, for normal marginals of the target.

        The distance W = ceiling - y = exp(-t) is log-normal. With K = ceiling - l the excess is (K - W)+, the payoff of
        a put option, whose expectation is Black's formula (1976, doi 10.1016/0304-405X(76)90024-6):
        E[(K - W)+] = K Phi(d) - E[W] Phi(d - s), with d = (ln K + mean) / s and E[W] = exp(s^2/2 - mean).

        Args:
            mean: Means ``(p,)`` of the target.
            std: Standard deviations s ``(p,)`` of the target.
            levels: Normalised levels l ``(k,)``, or each candidate's own ``(p, k)``.

        Returns:
            Expected excess ``(p, k)``.
        """
        from scipy.special import ndtr

        # K = ceiling - l.
        strike = np.maximum(self.ceiling - levels, _TINY)
        # d = (ln K + mean) / s.
        d = (np.log(strike) + mean[:, None]) / std[:, None]
        # E[W] = exp(s^2/2 - mean); beyond exp(700) a double overflows.
        forward = np.exp(np.minimum(0.5 * std**2 - mean, 700.0))[:, None]
        # K Phi(d) - E[W] Phi(d - s), which rounding may take below zero.
        result: FloatArray = np.maximum(strike * ndtr(d) - forward * ndtr(d - std[:, None]), 0.0)
        return result


def fit_target(values: FloatArray, reference: float, cap: float | None = None) -> LogTarget:
    """Choose the ceiling of the target.

    The ceiling lies above the best value by a twentieth of that value's distance to the reference point
    (of the values' range where nothing is above the reference). It does not lie above `cap`, unless the best value
    comes within a hundredth of that distance to it.

    Args:
        values: Observed normalised values ``(n,)``, n >= 1.
        reference: Reference point of the hypervolume in this objective.
        cap: Normalised value that the objective cannot exceed; `None` where there is none.
    """
    best = float(values.max())
    span = best - reference if best > reference else best - float(values.min())
    span = span or 1.0
    ceiling = best + _HEADROOM * span
    if cap is not None:
        ceiling = max(min(ceiling, cap), best + _LEAST_HEADROOM * span)
    return LogTarget(ceiling)
