"""Correcting a table's predictions by a handful of whole networks, and how far they may still be off."""

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
"""Networks from which on quantiles of their errors are counted, not computed."""
_CLOSED_FORM = 1000


@dataclass(frozen=True)
class Calibration:
    """``log(latency) = log(predicted) + shift + tilt * log(predicted / centre)``.

    Attributes:
        shift: log factor on networks of the size `centre_ms`; 0 changes nothing.
        tilt: what large networks take more than small ones, as an exponent.
        centre_ms: geometric mean of the calibration networks' predictions.
    """

    shift: float = 0.0
    tilt: float = 0.0
    centre_ms: float = 1.0

    def apply(self, predicted_ms: npt.ArrayLike) -> FloatArray:
        """Calibrated latencies ``(n,)``, NaN where the prediction is NaN."""
        values = np.asarray(predicted_ms, dtype=np.float64)
        return np.asarray(values * math.exp(self.shift) * (values / self.centre_ms) ** self.tilt)


def fit_calibration(
    predicted_ms: Sequence[float] | FloatArray, measured_ms: Sequence[float] | FloatArray
) -> Calibration:
    """Fit shift and tilt to a few whole networks, both shrunk towards 0.

    The mode of the posterior of a linear regression of log ratios on log predictions, with normal priors of standard
    deviation 0.1 (shift) and 0.05 (tilt) and the residuals' variance as noise, for which a table that errs by 2.5 %
    counts as much as five networks. A network that a burst of noise hit is drawn in towards the others.

    Args:
        predicted_ms: predictions ``(n,)`` with nothing fitted.
        measured_ms: measurements ``(n,)``.
    """
    x, y = np.asarray(predicted_ms, dtype=np.float64), np.asarray(measured_ms, dtype=np.float64)
    if len(x) == 0:
        return Calibration()
    centre = float(np.exp(np.mean(np.log(x))))
    columns = np.stack([np.ones(len(x)), np.log(x / centre)], axis=1)
    ratios = _without_outliers(np.log(y / x))
    precision, variance, found = _PRIOR_PRECISION, _PRIOR_ERROR**2, np.zeros(2)
    for _ in range(_ITERATIONS):
        found = np.linalg.solve(columns.T @ columns / variance + precision, columns.T @ ratios / variance)
        variance = error_variance(ratios - columns @ found)
    return Calibration(float(found[0]), float(found[1]), centre)


def predictive_spread(
    predicted_ms: Sequence[float] | FloatArray,
    measured_ms: Sequence[float] | FloatArray,
    further: tuple[Sequence[float] | FloatArray, Sequence[float] | FloatArray] = ((), ()),
) -> float:
    """Half-width, in log latency, of a 90 % interval from networks that it is not judged on.

    Each calibration network is predicted with the calibration by all the others, so that no residual profits from its
    own network; further networks are predicted with the calibration as it is. Fewer than two hundred networks say too
    little of their errors' 90th percentile; their interval is that of the t distribution which a normal error of
    unknown variance predicts (Gelman et al. 2013, Bayesian Data Analysis, section 3.2), with a scaled inverse
    chi-squared prior: a table is expected to err by 2.5 %, which weighs as much as five networks. From two hundred on
    it is the ``ceil(0.9 (n + 1))``-th smallest absolute log ratio (jackknife conformal prediction: Lei et al. 2018,
    arXiv 1604.04173, sections 2.2 and 2.4).

    Args:
        predicted_ms: predictions ``(n,)`` of the calibration networks with nothing fitted.
        measured_ms: their measurements ``(n,)``.
        further: predictions ``(m,)`` and measurements ``(m,)`` of networks that the calibration was not fitted to.
    """
    x, y = np.asarray(predicted_ms, dtype=np.float64), np.asarray(measured_ms, dtype=np.float64)
    others, found = np.asarray(further[0], dtype=np.float64), np.asarray(further[1], dtype=np.float64)
    return spread_of(np.concatenate([left_out_errors(x, y), np.log(found / fit_calibration(x, y).apply(others))]))


def spread_of(log_errors: FloatArray) -> float:
    """The half-width that `predictive_spread` describes, of errors ``(n,)`` of networks that it is not judged on."""
    from scipy.special import stdtrit

    residuals = np.abs(log_errors)
    if len(residuals) >= MANY:
        return float(np.sort(residuals)[min(len(residuals), math.ceil(0.9 * (len(residuals) + 1))) - 1])
    return float(stdtrit(_PRIOR_NETWORKS + len(residuals), 0.95)) * math.sqrt(error_variance(residuals))


def error_variance(errors: FloatArray) -> float:
    """Variance of log errors ``(n,)`` whose mean is 0, with what is expected of a table as if more had said so."""
    squares = _PRIOR_NETWORKS * _PRIOR_ERROR**2 + float(np.sum(errors**2))
    return squares / (_PRIOR_NETWORKS + len(errors))


def left_out_errors(predicted_ms: npt.ArrayLike, measured_ms: npt.ArrayLike) -> FloatArray:
    """Log errors ``(n,)`` of each network under the calibration by all the others.

    From 1,000 networks on, in closed form with the strength of shrinkage and the outliers of the fit to all: the
    errors of ``n`` fits follow from the leverages of one.

    Args:
        predicted_ms: predictions ``(n,)`` with nothing fitted.
        measured_ms: measurements ``(n,)``.
    """
    x, y = np.asarray(predicted_ms, dtype=np.float64), np.asarray(measured_ms, dtype=np.float64)
    if len(x) < _CLOSED_FORM:
        kept = [np.arange(len(x)) != i for i in range(len(x))]
        return np.array([math.log(y[i] / fit_calibration(x[k], y[k]).apply(x[i])) for i, k in enumerate(kept)])
    found = fit_calibration(x, y)
    errors = np.log(y / found.apply(x))
    columns = np.stack([np.ones(len(x)), np.log(x / found.centre_ms)], axis=1)
    inverse = np.linalg.inv(columns.T @ columns + error_variance(errors) * _PRIOR_PRECISION)
    leverage = np.einsum("ij,jk,ik->i", columns, inverse, columns)
    return np.asarray(errors / (1.0 - leverage))


def correction_helps(predicted_ms: npt.ArrayLike, log_errors: npt.ArrayLike, measured_ms: npt.ArrayLike) -> bool:
    """Whether predictions of networks that a correction was not fitted to are no worse with it.

    Args:
        predicted_ms: predictions ``(n,)`` with nothing fitted.
        log_errors: of the corrected predictions ``(n,)``, each by a correction that has not seen the network.
        measured_ms: measurements ``(n,)``.
    """
    plain = np.log(np.asarray(measured_ms, dtype=np.float64) / np.asarray(predicted_ms, dtype=np.float64))
    return bool(np.mean(np.abs(np.asarray(log_errors))) <= np.mean(np.abs(plain)))


def _without_outliers(values: FloatArray) -> FloatArray:
    """Values farther from their median than three (scaled) median deviations, drawn in to there."""
    middle = np.median(values)
    reach = 3 * max(_NOISE, 1.4826 * float(np.median(np.abs(values - middle))))
    return np.asarray(np.clip(values, middle - reach, middle + reach))
