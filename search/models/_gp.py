"""Exact Gaussian process regression with few hyperparameters, in plain numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search._arrays import BoolArray, FloatArray
from search.models._base import Fitted, Inputs, Posterior

__all__ = ["GaussianProcess"]

_FIT_LIMIT = 200
_ITERATIONS = 25
_NOISE_PRIOR = (-4.0, 2.0)
_LOG_NOISE_BOUNDS = (-9.0, 2.0)
_LOG_WEIGHT_RANGE = 6.0
_TINY = 1e-10


def _counts(encodings: FloatArray) -> BoolArray:
    """Which columns (f,) of `encodings` (n, f) are counts that exceed one somewhere."""
    whole = (encodings >= 0).all(axis=0) & (encodings == np.round(encodings)).all(axis=0)
    result: BoolArray = whole & (encodings.max(axis=0) > 1)
    return result


def with_presence(encodings: FloatArray, counts: BoolArray) -> FloatArray:
    """Appends to the count columns whether they are positive at all.

    That something occurs and how often it does are different facts about an architecture; with a column
    for each the kernel can weigh them apart.
    """
    return np.hstack([encodings, (encodings[:, counts] > 0).astype(np.float64)])


def _squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2.0 * left @ right.T
    result: FloatArray = np.maximum(squares, 0.0)
    return result


def _cholesky(gram: FloatArray) -> FloatArray:
    """Lower Cholesky factor; jitter is added until the matrix is numerically positive definite."""
    jitter = 0.0
    while True:
        try:
            factor = np.linalg.cholesky(gram + jitter * np.eye(len(gram)))
            return np.asarray(factor, dtype=np.float64)
        except np.linalg.LinAlgError:
            jitter = max(10.0 * jitter, 1e-8)


def _inverse(factor: FloatArray) -> FloatArray:
    """The inverse of a matrix from its lower Cholesky factor."""
    from scipy.linalg.lapack import dpotri

    lower = np.tril(dpotri(factor, lower=1)[0])
    result: FloatArray = lower + np.tril(lower, -1).T
    return result


@dataclass
class _Fit:
    """Hyperparameters: squared-distance weights (f,), noise-to-signal ratio."""

    weights: FloatArray
    noise: float


class GaussianProcess:
    """Constant mean, squared-exponential kernel exp(-1/2 sum_k w_k (x_k - x'_k)^2), Gaussian noise.

    Mean and signal variance are profiled out; the weights and the noise ratio are found by L-BFGS on the
    marginal likelihood with log-normal priors (median distance for the weights). On one-hot codes the
    kernel with a common weight is the exponential of the Hamming distance.

    Args:
        view: What the kernel sees, `"encodings"` or `"one_hot"`.
        relevance: Strength of the prior that ties each column's log-weight to the common one; `None`
            ties them exactly (a single weight).
    """

    def __init__(self, view: Literal["encodings", "one_hot"] = "encodings", relevance: float | None = None) -> None:
        self.view = view
        self.relevance = relevance
        self.name = f"gp-{view}" + ("" if relevance is None else "-ard")

    def fit(self, train: Inputs, targets: FloatArray) -> Fitted:
        """Finds the hyperparameters and factorises; see `Model.fit`."""
        x = train.one_hot if self.view == "one_hot" else train.encodings
        counts = _counts(x) if self.view == "encodings" else np.zeros(x.shape[1], dtype=bool)
        columns = with_presence(x, counts)
        live = columns.std(axis=0) > 0
        if not live.any():
            live[:] = True
        step = math.ceil(len(x) / _FIT_LIMIT)
        fit = _maximise(columns[::step][:, live], targets[::step], self.relevance)
        return _FittedGP(self.view, counts, live, fit, columns[:, live], targets)


class _FittedGP:
    def __init__(self, view: str, counts: BoolArray, live: BoolArray, fit: _Fit, x: FloatArray, y: FloatArray) -> None:
        from scipy.linalg import solve_triangular

        self._view, self._counts, self._live = view, counts, live
        self.noise = fit.noise
        self._scale = np.sqrt(fit.weights)
        self._x = x * self._scale
        gram = np.exp(-0.5 * _squared_distances(self._x, self._x))
        self._factor = _cholesky(gram + fit.noise * np.eye(len(x)))
        both = solve_triangular(self._factor, np.stack([y, np.ones(len(x))], axis=1), lower=True)
        self._level = float(both[:, 0] @ both[:, 1] / (both[:, 1] @ both[:, 1]))
        self._residual: FloatArray = both[:, 0] - self._level * both[:, 1]
        self.signal = max(float(self._residual @ self._residual) / len(x), _TINY)

    def posterior(self, pool: Inputs) -> Posterior:
        from scipy.linalg import solve_triangular

        z = pool.one_hot if self._view == "one_hot" else pool.encodings
        scaled = with_presence(z, self._counts)[:, self._live] * self._scale
        cross = np.exp(-0.5 * _squared_distances(self._x, scaled))
        whitened: FloatArray = solve_triangular(self._factor, cross, lower=True)
        mean = self._level + whitened.T @ self._residual
        return _GPPosterior(mean, whitened, scaled, self.signal, self.noise)


class _GPPosterior:
    def __init__(self, mean: FloatArray, whitened: FloatArray, pool: FloatArray, signal: float, noise: float) -> None:
        self.mean = mean
        self._whitened, self._pool, self._signal, self._noise = whitened, pool, signal, noise
        self._variance = np.maximum(1.0 - (whitened**2).sum(axis=0), _TINY)

    @property
    def std(self) -> FloatArray:
        """Standard deviations (p,) of the noise-free function."""
        result: FloatArray = np.sqrt(self._signal * self._variance)
        return result

    def condition(self, chosen: int) -> None:
        """Rank-one update of the variances."""
        kernel = np.exp(-0.5 * _squared_distances(self._pool, self._pool[chosen : chosen + 1]))[:, 0]
        covariance = kernel - self._whitened.T @ self._whitened[:, chosen]
        row = covariance / math.sqrt(self._variance[chosen] + self._noise + _TINY)
        self._whitened = np.concatenate([self._whitened, row[None, :]])
        self._variance = np.maximum(self._variance - row**2, _TINY)


def _maximise(x: FloatArray, y: FloatArray, relevance: float | None) -> _Fit:
    """Weights and noise ratio with the largest posterior density."""
    from scipy.optimize import minimize

    distances = _squared_distances(x, x)
    positive = distances[distances > 0]
    centre = -math.log(float(np.median(positive))) if len(positive) else 0.0
    if len(x) < 3 or not y.std() > 0 or not len(positive):
        return _Fit(np.full(x.shape[1], math.exp(centre)), math.exp(_NOISE_PRIOR[0]))
    columns = x.shape[1] if relevance is not None else 1
    density = _Density(x, (y - y.mean()) / y.std(), centre, relevance)
    start = np.append(np.full(columns, centre), _NOISE_PRIOR[0])
    bounds = [(centre - _LOG_WEIGHT_RANGE, centre + _LOG_WEIGHT_RANGE)] * columns + [_LOG_NOISE_BOUNDS]
    found = minimize(density, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _ITERATIONS})
    weights = np.exp(np.broadcast_to(found.x[:-1], (x.shape[1],)))
    return _Fit(np.asarray(weights, dtype=np.float64), float(np.exp(found.x[-1])))


class _Density:
    """Negative log of marginal likelihood times priors, and its gradient."""

    def __init__(self, x: FloatArray, y: FloatArray, centre: float, relevance: float | None) -> None:
        self._x, self._y = x, y
        self._centre, self._relevance = centre, relevance

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        x, y = self._x, self._y
        n = len(x)
        weights = np.broadcast_to(np.exp(theta[:-1]), (x.shape[1],))
        noise = math.exp(theta[-1])
        scaled = x * np.sqrt(weights)
        kernel = np.exp(-0.5 * _squared_distances(scaled, scaled))
        factor = _cholesky(kernel + noise * np.eye(n))
        inverse = _inverse(factor)
        ones = inverse.sum(axis=1)
        residual = y - float(ones @ y) / float(ones.sum())
        alpha = inverse @ residual
        signal = max(float(residual @ alpha) / n, _TINY)
        value = 0.5 * n * math.log(signal) + float(np.log(np.diag(factor)).sum())
        slope = 0.5 * (inverse - np.outer(alpha, alpha) / signal)
        by_distance = -0.5 * slope * kernel
        row_sums = by_distance.sum(axis=1)
        quadratic = np.einsum("ik,ik->k", x, by_distance @ x)
        by_weight = weights * 2.0 * ((x**2).T @ row_sums - quadratic)
        gradient = np.append(
            by_weight if self._relevance is not None else by_weight.sum(), float(np.trace(slope)) * noise
        )
        return self._with_priors(theta, value, gradient)

    def _with_priors(self, theta: FloatArray, value: float, gradient: FloatArray) -> tuple[float, FloatArray]:
        strength = 1.0 if self._relevance is None else self._relevance
        shift = theta[:-1] - self._centre
        gradient[:-1] += strength * shift
        centre, width = _NOISE_PRIOR
        off = (float(theta[-1]) - centre) / width
        gradient[-1] += off / width
        return value + 0.5 * strength * float(shift @ shift) + 0.5 * off**2, gradient
