"""What a model is fitted to: the logarithm of an objective's distance to a value out of reach."""

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
    """The model sees t(y) = -log(ceiling - y) of normalised, maximised values y.

    Accuracies crowd together near their best and trail off far below. The logarithm spreads the top, where
    improvements are won, and draws the tail in; it stays smooth and monotone, unlike a rank transform.

    Attributes:
        ceiling: A normalised value above every observed one.
    """

    ceiling: float

    def transform(self, values: FloatArray) -> FloatArray:
        """Model targets (n,) of normalised values (n,) below the ceiling."""
        result: FloatArray = -np.log(np.maximum(self.ceiling - values, _TINY))
        return result

    def inverse(self, targets: FloatArray) -> FloatArray:
        """Normalised values (n,) of model targets (n,)."""
        result: FloatArray = self.ceiling - np.exp(-targets)
        return result

    def expected_excess(self, mean: FloatArray, std: FloatArray, levels: FloatArray) -> FloatArray:
        """E[(y - l)+] for normal marginals (p,) of the target and normalised levels l (k,): (p, k).

        The distance W = exp(-target) is log-normal, so with K = ceiling - l this is
        E[(K - W)+] = K Phi(d) - E[W] Phi(d - s), d = (ln K + mean) / s, E[W] = exp(s^2/2 - mean).
        """
        from scipy.special import ndtr

        strike = np.maximum(self.ceiling - levels, _TINY)
        d = (np.log(strike) + mean[:, None]) / std[:, None]
        forward = np.exp(np.minimum(0.5 * std**2 - mean, 700.0))[:, None]
        result: FloatArray = np.maximum(strike * ndtr(d) - forward * ndtr(d - std[:, None]), 0.0)
        return result


def fit_target(values: FloatArray, reference: float, cap: float | None = None) -> LogTarget:
    """The target for observed normalised values (n,), n >= 1.

    The ceiling lies above the best value by a twentieth of that value's distance to the reference point
    (of the values' range where nothing is above the reference), but not above `cap`, a normalised value
    that cannot be passed, unless the best value comes within a hundredth of it.
    """
    best = float(values.max())
    span = best - reference if best > reference else best - float(values.min())
    span = span or 1.0
    ceiling = best + _HEADROOM * span
    if cap is not None:
        ceiling = max(min(ceiling, cap), best + _LEAST_HEADROOM * span)
    return LogTarget(ceiling)
