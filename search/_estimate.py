"""The correction of an estimate by the values that trials have told.

Where all estimates and values are positive, it is fitted to ``z = log(value / estimate)`` at ``x = log(estimate)``,
otherwise to ``z = (value - estimate) / u`` at ``x = estimate / u``, with u the median size of an estimate:

    z = shift + tilt (x - centre) + residual(encoding) + error.

Each part is a posterior mode under normal priors of mean 0: `SHIFT_PRIOR`, `TILT_PRIOR` and `RESIDUAL_PRIOR` are their
standard deviations (of z, so shares of the value). Errors have a Student t distribution with 4 degrees of freedom: a
few trials far off hardly count. Errors are judged by leaving each trial out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from search._arrays import BoolArray, FloatArray, varying
from search._threads import single_threaded

__all__ = ["RESIDUAL_PRIOR", "SHIFT_PRIOR", "TILT_PRIOR", "EstimateModel", "fit_estimate"]

SHIFT_PRIOR = 0.3
"""Prior standard deviation of the shift: values 30 % off as a whole are no surprise."""

TILT_PRIOR = 0.1
"""Prior standard deviation of the tilt: 10 % for an estimate e times as large."""

RESIDUAL_PRIOR = 0.1
"""Prior standard deviation of the learned residual of an average architecture."""

_FREEDOM = 4.0
_NOISE = 0.02
"""Prior standard deviation of an error; it counts as much as `_NOISE_WEIGHT` trials."""
_NOISE_WEIGHT = 4.0
_NOISE_GRID = (0.003, 0.01, 0.03, 0.1, 0.3)
_ROUNDS = 30
_RIDGE_ROUNDS = 2
_LEAST_TO_LEARN = 15
_BETTER = 0.9
_SURE = 2.5
_COVERAGE = 0.9
_TO_NORMAL = 1.4826
"""Ratio of a normal distribution's standard deviation to its median absolute deviation."""
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class _Residual:
    """A linear function of encodings, no larger than over the trials that it was learned from.

    Attributes:
        mean: Means ``(f,)`` of the encodings.
        weights: Slopes ``(f,)``.
        least: Smallest value over the trials.
        most: Largest value over the trials.
    """

    mean: FloatArray
    weights: FloatArray
    least: float
    most: float

    def __call__(self, encodings: FloatArray) -> FloatArray:
        """Compute residuals ``(n,)`` of encodings ``(n, f)``; a row's value does not depend on the other rows."""
        raw = np.einsum("nf,f->n", encodings - self.mean, self.weights)
        result: FloatArray = np.clip(raw, self.least, self.most)
        return result


@dataclass(frozen=True)
class EstimateModel:
    """How the values of a quantity relate to its estimates; called, it corrects estimates.

    Attributes:
        trials: Number of trials it was fitted to; without any it changes nothing.
        logarithmic: Whether it was fitted to log ratios; otherwise to differences in units of `unit`.
        unit: Size of an estimate, 1 for log ratios.
        shift: Part of the correction that all architectures share, of an estimate at `centre`.
        tilt: Its slope against the (logarithmic) estimate.
        centre: The (logarithmic) estimate at which the tilt is 0.
        reach: Smallest and largest (logarithmic) estimate of the trials; the tilt ends there.
        residual: The part that depends on the encoding; `None` where it is not used.
        error_without: Mean absolute error without a learned residual, each trial left out, on the scale of the
            shift; NaN without trials.
        error_with: The same with a learned residual, used or not; NaN where there are too few trials to learn one.
        half_width: Half the width of the interval around a corrected estimate that holds 90 % of the values, each
            trial left out: a log ratio, or a difference in the quantity's own unit. Infinite with fewer than 9 trials.
        errors: Error ``(n,)`` of each row given to `fit_estimate`, left out of the fit, on the scale of the shift: the
            told value less the corrected estimate; NaN for rows that were not used.
    """

    trials: int = 0
    logarithmic: bool = True
    unit: float = 1.0
    shift: float = 0.0
    tilt: float = 0.0
    centre: float = 0.0
    reach: tuple[float, float] = (0.0, 0.0)
    residual: _Residual | None = None
    error_without: float = math.nan
    error_with: float = math.nan
    half_width: float = math.inf
    errors: FloatArray = field(default_factory=lambda: np.empty(0), compare=False, repr=False)

    @property
    def learned(self) -> bool:
        """Whether the residual learned from encodings is used."""
        return self.residual is not None

    def __call__(self, estimates: FloatArray, encodings: FloatArray | None = None) -> FloatArray:
        """Correct estimates.

        Args:
            estimates: Raw estimates ``(n,)``. NaN stays NaN; one that has no logarithm stays as it is.
            encodings: Encodings ``(n, f)`` of the architectures; needed where `learned`.

        Returns:
            Corrected estimates ``(n,)``.
        """
        raw = np.asarray(estimates, dtype=np.float64)
        if not self.trials:
            return raw
        usable = raw > 0 if self.logarithmic else np.isfinite(raw)
        safe = np.where(usable, raw, 1.0)
        place = np.log(safe) if self.logarithmic else safe / self.unit
        change = self.shift + self.tilt * (np.clip(place, *self.reach) - self.centre)
        if self.residual is not None:
            assert encodings is not None, "a learned residual needs encodings"
            change = change + self.residual(encodings)
        corrected = safe * np.exp(change) if self.logarithmic else safe + self.unit * change
        result: FloatArray = np.where(usable, corrected, raw)
        return result


@dataclass(frozen=True, eq=False)
class _Fit:
    """A linear fit: its coefficients, and each trial's error when it is left out ``(n,)``."""

    coefficients: FloatArray
    errors: FloatArray

    @property
    def error(self) -> float:
        """The mean absolute error."""
        return float(np.abs(self.errors).mean())


def fit_estimate(estimates: FloatArray, told: FloatArray, encodings: FloatArray) -> EstimateModel:
    """Fit the correction; a function of its arguments alone.

    The learned residual is used only where it is clearly better: with each trial left out, the mean absolute error
    must be at most 0.9 times that without it, and the mean difference of the two at least 2.5 of its standard errors;
    fewer than 15 trials are never enough.

    Args:
        estimates: Raw estimates ``(n,)`` of trials.
        told: Their told values ``(n,)``; trials where either is not finite are left out.
        encodings: Their encodings ``(n, f)``.
    """
    usable: BoolArray = np.isfinite(estimates) & np.isfinite(told)
    e, y = estimates[usable].astype(np.float64), told[usable].astype(np.float64)
    errors = np.full(len(usable), np.nan)
    if not len(e):
        return EstimateModel(errors=errors)
    logarithmic, unit = bool((e > 0).all() and (y > 0).all()), 1.0
    if logarithmic:
        x, z = np.log(e), np.log(y) - np.log(e)
    else:
        unit = float(np.median(np.abs(e))) or 1.0
        x, z = e / unit, (y - e) / unit
    centre = float(np.median(x))
    base = np.stack([np.ones(len(x)), x - centre], axis=1)
    with single_threaded():
        plain = _robust_line(base, z)
        fit, residual, error_with = plain, None, math.nan
        if len(z) >= _LEAST_TO_LEARN:
            joint, learned = _line_and_residual(base, encodings[usable].astype(np.float64), z)
            error_with = joint.error
            if _clearly_better(joint, plain):
                fit, residual = joint, learned
    errors[usable] = fit.errors
    return EstimateModel(
        trials=len(z),
        logarithmic=logarithmic,
        unit=unit,
        shift=float(fit.coefficients[0]),
        tilt=float(fit.coefficients[1]),
        centre=centre,
        reach=(float(x.min()), float(x.max())),
        residual=residual,
        error_without=plain.error,
        error_with=error_with,
        half_width=_half_width(fit.errors) * unit,
        errors=errors,
    )


def _robust_line(design: FloatArray, z: FloatArray) -> _Fit:
    """Find the posterior mode of shift and tilt under Student t errors, by iteratively reweighted least squares.

    Args:
        design: Columns ``(n, 2)`` of the shift and the tilt.
        z: Targets ``(n,)``.
    """
    precision = np.diag([SHIFT_PRIOR**-2.0, TILT_PRIOR**-2.0])
    theta = np.array([float(np.median(z)), 0.0])
    residuals = z - theta[0]
    squares = len(z) * (_TO_NORMAL * float(np.median(np.abs(residuals)))) ** 2
    for _ in range(_ROUNDS):
        # s^2 = (sum w r^2 + a s0^2) / (n + a), the mode under a prior worth a trials.
        variance = (squares + _NOISE_WEIGHT * _NOISE**2) / (len(z) + _NOISE_WEIGHT)
        weights = _student_weights(residuals, variance)
        # theta = (D^T W D + s^2 P)^-1 D^T W z.
        inverse = np.linalg.inv(design.T @ (weights[:, None] * design) + variance * precision)
        theta = inverse @ (design.T @ (weights * z))
        residuals = z - design @ theta
        squares = float(weights @ residuals**2)
    # Leaving trial i out changes its residual r_i to r_i / (1 - h_i), with h_i = w_i d_i^T (D^T W D + s^2 P)^-1 d_i.
    leverage = weights * np.einsum("ni,ij,nj->n", design, inverse, design)
    return _Fit(theta, residuals / np.maximum(1.0 - leverage, _TINY))


def _student_weights(residuals: FloatArray, variance: float) -> FloatArray:
    """Compute the weights ``(n,)`` of the t distribution with v degrees of freedom, (v + 1) / (v + r^2 / s^2)."""
    result: FloatArray = (_FREEDOM + 1.0) / (_FREEDOM + residuals**2 / variance)
    return result


def _scales(encodings: FloatArray) -> FloatArray:
    """Compute factors ``(f,)`` of the columns ``(n, f)`` that give their sum the residual's prior; 0 where constant."""
    spread, live = encodings.std(axis=0), varying(encodings)
    share = RESIDUAL_PRIOR / math.sqrt(max(1, int(live.sum())))
    return np.where(live, share / np.where(live, spread, 1.0), 0.0)


def _line_and_residual(base: FloatArray, encodings: FloatArray, z: FloatArray) -> tuple[_Fit, _Residual]:
    """Fit shift, tilt and residual together.

    Args:
        base: Columns ``(n, 2)`` of the shift and the tilt.
        encodings: Encodings ``(n, f)``.
        z: Targets ``(n,)``.

    Returns:
        The fit, with the coefficients of the shift and the tilt alone, and the residual.
    """
    mean, factors = encodings.mean(axis=0), _scales(encodings)
    priors = np.array([SHIFT_PRIOR, TILT_PRIOR])
    columns = (encodings - mean) * factors
    joint = _robust_ridge(np.hstack([base * priors, columns]), z)
    slopes = joint.coefficients[2:]
    values = columns @ slopes
    residual = _Residual(mean, slopes * factors, float(values.min()), float(values.max()))
    return _Fit(joint.coefficients[:2] * priors, joint.errors), residual


def _robust_ridge(design: FloatArray, z: FloatArray) -> _Fit:
    """Fit coefficients with standard normal priors; the noise is that with the smallest error, each trial left out.

    The second of two rounds weighs the trials by the errors of the first, as Student t errors.

    Args:
        design: Columns ``(n, p)``.
        z: Targets ``(n,)``.
    """
    weights, best = np.ones(len(z)), _Fit(np.zeros(design.shape[1]), z)
    for _ in range(_RIDGE_ROUNDS):
        best = _ridge(design, z, weights)
        weights = _student_weights(best.errors, (_TO_NORMAL * float(np.median(np.abs(best.errors)))) ** 2 + _TINY)
    return best


def _ridge(design: FloatArray, z: FloatArray, weights: FloatArray) -> _Fit:
    """Solve for every noise of the grid by one decomposition; return the fit with the smallest error."""
    rooted = np.sqrt(weights)[:, None] * design
    # B^T B = V diag(l) V^T; then (B^T B + s^2 I)^-1 = V diag(1 / (l + s^2)) V^T for every s.
    values, vectors = np.linalg.eigh(rooted.T @ rooted)
    turned = rooted @ vectors
    target = turned.T @ (np.sqrt(weights) * z)
    fits = []
    for noise in _NOISE_GRID:
        shrunk = 1.0 / (np.maximum(values, 0.0) + noise**2)
        coefficients = vectors @ (shrunk * target)
        leverage = (turned**2) @ shrunk
        fits.append(_Fit(coefficients, (z - design @ coefficients) / np.maximum(1.0 - leverage, _TINY)))
    return min(fits, key=lambda fit: fit.error)


def _clearly_better(ridge: _Fit, plain: _Fit) -> bool:
    """Check the rule of `fit_estimate`."""
    gain = np.abs(plain.errors) - np.abs(ridge.errors)
    doubt = float(gain.std(ddof=1)) / math.sqrt(len(gain))
    return ridge.error <= _BETTER * plain.error and float(gain.mean()) >= _SURE * doubt


def _half_width(errors: FloatArray) -> float:
    """Find the bound that 90 % of the absolute errors ``(n,)`` and of one more keep: the ceil(0.9 (n + 1))-th one."""
    place = math.ceil(_COVERAGE * (len(errors) + 1))
    return math.inf if place > len(errors) else float(np.sort(np.abs(errors))[place - 1])
