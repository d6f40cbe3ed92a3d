"""Prediction intervals: their width depends on the latency and grows outside the range of the measured networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latency_tables._correction import MANY, error_variance, spread_of

FloatArray = npt.NDArray[np.float64]
_KNOTS = 25
_REACH = 0.1
"""Standard deviation of the weights of networks around a knot, as a share of the range of all."""
_AS_ELSEWHERE = 2.0
"""Weight, in networks, of the prior that errors have the same size at every latency."""
_BEYOND = 0.25
"""Half-width that each unit of log latency adds outside the range of the measured networks: at twice the latency of the
slowest of them, it is larger by 17 percentage points."""


@dataclass(frozen=True)
class Interval:
    """Half-widths of 90 % intervals in log latency, by predicted latency.

    Attributes:
        log_ms: Knots, ascending ``(k,)``: logarithms of predictions, from the fastest measured network to the slowest.
        half_widths: Half-widths at the knots ``(k,)``; linear in between.
        beyond: Increase of the half-width for each unit of log latency outside the range.
    """

    log_ms: tuple[float, ...]
    half_widths: tuple[float, ...]
    beyond: float = _BEYOND

    @property
    def typical(self) -> float:
        """The median half-width over the range."""
        return float(np.median(self.half_widths))

    def half_width(self, predicted_ms: npt.ArrayLike) -> FloatArray:
        """Return half-widths ``(n,)`` around predictions ``(n,)`` in milliseconds."""
        places = np.log(np.maximum(np.asarray(predicted_ms, dtype=np.float64), 1e-300))
        away = np.maximum(0.0, np.maximum(self.log_ms[0] - places, places - self.log_ms[-1]))
        return np.asarray(np.interp(places, self.log_ms, self.half_widths) + self.beyond * away)


def fit_interval(predicted_ms: npt.ArrayLike, log_errors: npt.ArrayLike) -> Interval:
    """Fit intervals to the errors of networks that predictions were not fitted to.

    The size of the errors around each latency is estimated first, and errors are judged relative to it (locally
    weighted conformal prediction: Lei et al. 2018, arXiv 1604.04173, section 5.2).

    Args:
        predicted_ms: Predictions ``(n,)`` of these networks, as the table gives them.
        log_errors: Errors ``log(measured / predicted)`` ``(n,)``.
    """
    places, errors = np.log(np.asarray(predicted_ms, dtype=np.float64)), np.asarray(log_errors, dtype=np.float64)
    low, high = float(places.min()), float(places.max())
    knots = np.linspace(low, high, _KNOTS) if high > low else np.array([low])
    reach = max(_REACH * (high - low), 1e-9)
    level = error_variance(errors)
    # variance v(x) around each knot; `level` is the variance of all errors
    at_knots = _local(knots, places, errors, reach, level, np.zeros((len(knots), len(places)), dtype=np.bool_))
    if len(places) < MANY:  # each error is compared with the others around it
        own = np.eye(len(places), dtype=np.bool_)
        scales = np.sqrt(_local(places, places, errors, reach, level, own) / level)
    else:
        scales = np.sqrt(np.interp(places, knots, at_knots) / level)
    # errors relative to sqrt(v / level) have one size everywhere; their half-width, scaled back, is that at each knot
    spread = spread_of(errors / scales)
    widths = spread * np.sqrt(at_knots / level)
    return Interval(tuple(knots.tolist()), tuple(widths.tolist()))


def _local(
    where: FloatArray,
    places: FloatArray,
    errors: FloatArray,
    reach: float,
    level: float,
    without: npt.NDArray[np.bool_],
) -> FloatArray:
    """Return the variance of the errors around each of `where` ``(m,)``, with Gaussian weights ``w`` by distance.

    ``v = (k level + sum of w e^2) / (k + sum of w)``, with ``k`` networks (`_AS_ELSEWHERE`) as a prior.
    """
    weights = np.exp(-0.5 * ((where[:, None] - places[None]) / reach) ** 2)
    weights[without] = 0.0
    variances = (_AS_ELSEWHERE * level + weights @ errors**2) / (_AS_ELSEWHERE + weights.sum(axis=1))
    return np.asarray(np.maximum(variances, math.ulp(1.0)))
