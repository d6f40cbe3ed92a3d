"""The correction of a table's predictions by a handful of whole networks, and how far they may still be off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_SHIFT_SD = 0.1
_TILT_SD = 0.05
_PRIOR_PRECISION = np.diag([_SHIFT_SD**-2, _TILT_SD**-2])
_NOISE = 0.01
_ITERATIONS = 5
_PRIOR_ERROR, _PRIOR_NETWORKS = 0.025, 5
MANY = 200
"""From this many networks on, the 90th percentile is taken from their errors instead of a t distribution."""
_CLOSED_FORM = 1000
"""From this many networks on, left-out errors are computed in closed form."""


@dataclass(frozen=True)
class Correction:
    """``log(latency) = log(predicted) + shift + tilt * log(predicted / centre)``.

    Attributes:
        shift: Log factor on networks of the size `centre_ms`; 0 changes nothing.
        tilt: Exponent by which large networks take longer than small ones; 0 changes nothing.
        centre_ms: Geometric mean of the predictions that the correction was fitted to.
    """

    shift: float = 0.0
    tilt: float = 0.0
    centre_ms: float = 1.0

    def apply(self, predicted_ms: npt.ArrayLike) -> FloatArray:
        """Return corrected latencies ``(n,)``, NaN where the prediction is NaN, and 0 where it is 0."""
        values = np.asarray(predicted_ms, dtype=np.float64)
        return np.asarray(values * math.exp(self.shift) * self._growth(values))

    def slope(self, predicted_ms: npt.ArrayLike) -> FloatArray:
        """Return how much a corrected latency rises for each predicted millisecond more, ``(n,)``."""
        values = np.asarray(predicted_ms, dtype=np.float64)
        return np.asarray((1 + self.tilt) * math.exp(self.shift) * self._growth(values))

    def _growth(self, values: FloatArray) -> FloatArray:
        """Return ``(predicted / centre) ** tilt``; 1 for predictions of 0."""
        shares: FloatArray = np.where(values == 0, 1.0, values / self.centre_ms)
        return np.asarray(shares**self.tilt)


def fit_correction(predicted_ms: Sequence[float] | FloatArray, measured_ms: Sequence[float] | FloatArray) -> Correction:
    """Fit shift and tilt to a few whole networks, both shrunk towards 0.

    The result is the posterior mode of a linear regression of log ratios on log predictions. The priors are normal
    with standard deviations 0.1 (shift) and 0.05 (tilt). The noise is the residuals' variance, with a prior that weighs
    as much as five networks of a table that errs by 2.5 %. Outliers are clipped.

    Args:
        predicted_ms: Predictions ``(n,)`` with nothing fitted.
        measured_ms: Measurements ``(n,)``.
    """
    x, y = np.asarray(predicted_ms, dtype=np.float64), np.asarray(measured_ms, dtype=np.float64)
    if len(x) == 0:
        return Correction()
    centre = float(np.exp(np.mean(np.log(x))))
    # X = [1, log(predicted / centre)], y = log(measured / predicted)
    columns = np.stack([np.ones(len(x)), np.log(x / centre)], axis=1)
    ratios = _without_outliers(np.log(y / x))
    variance, slopes = _PRIOR_ERROR**2, np.zeros(2)
    for _ in range(_ITERATIONS):
        # mode for a given noise: (X'X / s^2 + P) b = X'y / s^2, with the prior's precision P
        slopes = np.linalg.solve(columns.T @ columns / variance + _PRIOR_PRECISION, columns.T @ ratios / variance)
        # noise for a given mode: s^2 from the residuals y - X b and the prior
        variance = error_variance(ratios - columns @ slopes)
    return Correction(float(slopes[0]), float(slopes[1]), centre)


def predictive_spread(
    predicted_ms: Sequence[float] | FloatArray,
    measured_ms: Sequence[float] | FloatArray,
    further: tuple[Sequence[float] | FloatArray, Sequence[float] | FloatArray] = ((), ()),
) -> float:
    """Return the half-width of a 90 % interval in log latency, from networks that it is not judged on.

    Each network of the correction is predicted with a correction fitted to all the others, so that no residual profits
    from its own network. Further networks are predicted with the correction as it is; `spread_of` does the rest.

    Args:
        predicted_ms: Predictions ``(n,)`` with nothing fitted, of the networks that the correction is fitted to.
        measured_ms: Measurements ``(n,)`` of the same networks.
        further: Predictions ``(m,)`` and measurements ``(m,)`` of networks that the correction was not fitted to.
    """
    x, y = np.asarray(predicted_ms, dtype=np.float64), np.asarray(measured_ms, dtype=np.float64)
    further_x, further_y = (np.asarray(values, dtype=np.float64) for values in further)
    further_errors = np.log(further_y / fit_correction(x, y).apply(further_x))
    return spread_of(np.concatenate([left_out_errors(x, y), further_errors]))


def spread_of(log_errors: FloatArray) -> float:
    """Return the half-width of a 90 % interval in log latency from errors ``(n,)`` of networks not fitted to.

    Fewer than `MANY` networks say too little about the 90th percentile of their errors. Their interval is that of the t
    distribution which a normal error of unknown variance predicts (Gelman et al. 2013, Bayesian Data Analysis, section
    3.2), with a scaled inverse chi-squared prior: a table is expected to err by 2.5 %, which weighs as much as five
    networks. From `MANY` networks on, the half-width is the ``ceil(0.9 (n + 1))``-th smallest absolute error (jackknife
    conformal prediction: Lei et al. 2018, arXiv 1604.04173, sections 2.2 and 2.4).
    """
    from scipy.special import stdtrit

    residuals = np.abs(log_errors)
    if len(residuals) >= MANY:
        return float(np.sort(residuals)[min(len(residuals), math.ceil(0.9 * (len(residuals) + 1))) - 1])
    return float(stdtrit(_PRIOR_NETWORKS + len(residuals), 0.95)) * math.sqrt(error_variance(residuals))


def error_variance(errors: FloatArray) -> float:
    """Return the variance of log errors ``(n,)`` with mean 0, a prior of five networks that err by 2.5 % included."""
    squares = _PRIOR_NETWORKS * _PRIOR_ERROR**2 + float(np.sum(errors**2))
    return squares / (_PRIOR_NETWORKS + len(errors))


def left_out_errors(predicted_ms: npt.ArrayLike, measured_ms: npt.ArrayLike) -> FloatArray:
    """Return the log error ``(n,)`` of each network under the correction by all the others.

    From 1,000 networks on, the errors of all ``n`` fits follow from the leverages of one fit in closed form; strength
    of shrinkage and outliers are then those of the fit to all networks.

    Args:
        predicted_ms: Predictions ``(n,)`` with nothing fitted.
        measured_ms: Measurements ``(n,)``.
    """
    x, y = np.asarray(predicted_ms, dtype=np.float64), np.asarray(measured_ms, dtype=np.float64)
    if len(x) < _CLOSED_FORM:
        kept = [np.arange(len(x)) != i for i in range(len(x))]
        return np.array([math.log(y[i] / fit_correction(x[k], y[k]).apply(x[i])) for i, k in enumerate(kept)])
    correction = fit_correction(x, y)
    errors = np.log(y / correction.apply(x))
    columns = np.stack([np.ones(len(x)), np.log(x / correction.centre_ms)], axis=1)
    # leverages h = diag(X (X'X + s^2 P)^-1 X'); the error of network i left out is e_i / (1 - h_i)
    inverse = np.linalg.inv(columns.T @ columns + error_variance(errors) * _PRIOR_PRECISION)
    leverage = np.einsum("ij,jk,ik->i", columns, inverse, columns)
    return np.asarray(errors / (1.0 - leverage))


def correction_helps(predicted_ms: npt.ArrayLike, log_errors: npt.ArrayLike, measured_ms: npt.ArrayLike) -> bool:
    """Return whether a correction makes predictions of networks that it was not fitted to no worse.

    Args:
        predicted_ms: Predictions ``(n,)`` with nothing fitted.
        log_errors: Log errors ``(n,)`` of corrected predictions, each by a correction that has not seen the network.
        measured_ms: Measurements ``(n,)``.
    """
    plain = np.log(np.asarray(measured_ms, dtype=np.float64) / np.asarray(predicted_ms, dtype=np.float64))
    return bool(np.mean(np.abs(np.asarray(log_errors))) <= np.mean(np.abs(plain)))


def _without_outliers(values: FloatArray) -> FloatArray:
    """Clip values ``(n,)`` to three scaled median absolute deviations around their median."""
    middle = np.median(values)
    reach = 3 * max(_NOISE, 1.4826 * float(np.median(np.abs(values - middle))))
    return np.asarray(np.clip(values, middle - reach, middle + reach))
