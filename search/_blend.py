"""Told values and corrected estimates combined: what an estimated quantity of a trial most likely is.

A trial told y with an error of known standard deviation s; its estimate, corrected by the other trials, is p. On the
scale of the correction (logarithms, or differences in units of an estimate) the posterior mean of the true value is

    p + w (y - p)    with    w = m^2 / (m^2 + s^2),

where m is the standard deviation of the errors of corrected estimates: `_FAR_SPREAD` for a share `_FAR_SHARE` of the
architectures, which the estimate gets wrong, and one that is not known beforehand for the others. Each trial is left
out of the correction that it is compared with. The differences y - p of all trials, with variances m^2 + s^2, give a
posterior of the unknown m and of which trials are far off; w is averaged over it.
"""

from __future__ import annotations

import numpy as np

from search._arrays import BoolArray, FloatArray
from search._estimate import EstimateModel

__all__ = ["combined_values"]

_SPREADS = np.geomspace(0.002, 0.2, 24)
"""Values of m that are considered; equally likely before the first trial."""
_FAR_SHARE = 0.02
"""Share of architectures that the estimate is expected to get wrong."""
_FAR_SPREAD = 0.3
"""Standard deviation of the errors of these estimates."""
_LEAST = -600.0
"""Exponent below which a density underflows."""


def combined_values(told: FloatArray, deviations: FloatArray, model: EstimateModel) -> FloatArray:
    """Combine the told values of trials with their corrected estimates.

    Args:
        told: Told values ``(n,)`` of the trials that the model was fitted to, in the same order.
        deviations: Standard deviations ``(n,)`` of their errors, in the unit of the values; NaN where unknown.
        model: The correction.

    Returns:
        Values ``(n,)``. A told value stays where it is exact, its deviation is unknown, or it has no estimate;
        positive values stay positive.
    """
    size = np.abs(told) if model.logarithmic else np.full(len(told), model.unit)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = deviations / size
    known: BoolArray = np.isfinite(model.errors) & np.isfinite(noise)
    if not known.any():
        return told
    errors = model.errors[known]
    share = (1.0 - _weights(errors, noise[known])) * errors
    result = told.copy()
    result[known] = told[known] * np.exp(-share) if model.logarithmic else told[known] - model.unit * share
    changes = (noise > 0) & ((result > 0) | (told <= 0))  # positive values stay positive: some have logarithms taken
    return np.where(changes, result, told)


def _weights(errors: FloatArray, noise: FloatArray) -> FloatArray:
    """Compute the weights ``(n,)`` of told values.

    Args:
        errors: Differences y - p ``(n,)``.
        noise: Standard deviations s ``(n,)`` of the told values.
    """
    spread = _SPREADS[:, None] ** 2
    near = (1.0 - _FAR_SHARE) * _density(errors, spread + noise**2)
    far = _FAR_SHARE * _density(errors, _FAR_SPREAD**2 + noise**2)
    log_odds = np.log(near + far).sum(axis=1)  # log p(errors | m)
    odds = np.exp(log_odds - log_odds.max())
    weights = (near * spread / (spread + noise**2) + far * _FAR_SPREAD**2 / (_FAR_SPREAD**2 + noise**2)) / (near + far)
    result: FloatArray = odds / odds.sum() @ weights
    return result


def _density(errors: FloatArray, variance: FloatArray) -> FloatArray:
    """Compute normal densities of errors, up to a constant factor; never 0."""
    result: FloatArray = np.exp(np.maximum(-0.5 * errors**2 / variance, _LEAST)) / np.sqrt(variance)
    return result
