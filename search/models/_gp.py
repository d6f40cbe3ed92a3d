"""Exact Gaussian process regression with few hyperparameters, in plain numpy.

Equations are those of Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), cited as RW.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search._arrays import BoolArray, FloatArray, varying
from search.models._base import Fitted, Inputs, Posterior
from search.models._gp_density import LOG_NOISE_PRIOR, LogDensity, cholesky, squared_distances

__all__ = ["GaussianProcess", "counts_in", "with_presence"]

_FIT_LIMIT = 200
_ITERATIONS = 25
_LOG_NOISE_BOUNDS = (-9.0, 2.0)
_LOG_WEIGHT_RANGE = 6.0
_TINY = 1e-10


def counts_in(encodings: FloatArray) -> BoolArray:
    """Mark the columns ``(f,)`` of `encodings` ``(n, f)`` that are counts and exceed one somewhere."""
    whole = (encodings >= 0).all(axis=0) & (encodings == np.round(encodings)).all(axis=0)
    result: BoolArray = whole & (encodings.max(axis=0) > 1)
    return result


def with_presence(encodings: FloatArray, counts: BoolArray) -> FloatArray:
    """Append to encodings ``(n, f)`` whether the columns in `counts` ``(f,)`` are positive.

    That something occurs and how often it does are different facts about an architecture; with a column
    for each the kernel can weigh them apart.
    """
    return np.hstack([encodings, (encodings[:, counts] > 0).astype(np.float64)])


@dataclass
class _Hyperparameters:
    """Weights of the squared distances ``(f,)``, and the ratio of noise variance to signal variance."""

    weights: FloatArray
    noise: float


class GaussianProcess:
    """Constant mean, squared-exponential kernel ``exp(-1/2 sum_k w_k (x_k - x'_k)^2)``, Gaussian noise.

    Mean and signal variance have closed forms given the rest; the weights and the noise ratio maximise the marginal
    likelihood (RW equation 5.8) times log-normal priors, centred at the median distance for the weights, by L-BFGS.
    On one-hot codes the kernel with one common weight is the exponential of minus that weight times the Hamming
    distance.

    Args:
        view: Input of the kernel, ``"encodings"`` or ``"one_hot"``.
        relevance: Strength of the prior that ties each column's log-weight to the common one; `None`
            ties them exactly (a single weight).

    Attributes:
        name: Name of the model.
    """

    def __init__(self, view: Literal["encodings", "one_hot"] = "encodings", relevance: float | None = None) -> None:
        self.view = view
        self.relevance = relevance
        self.name = f"gp-{view}" + ("" if relevance is None else "-ard")

    def fit(self, train: Inputs, targets: FloatArray) -> Fitted:
        """Find the hyperparameters and factorise the covariance; see `Model.fit`."""
        x = train.one_hot if self.view == "one_hot" else train.encodings
        counts = counts_in(x) if self.view == "encodings" else np.zeros(x.shape[1], dtype=bool)
        columns = with_presence(x, counts)
        live = varying(columns)
        if not live.any():
            live[:] = True
        step = math.ceil(len(x) / _FIT_LIMIT)
        best = _maximise(columns[::step][:, live], targets[::step], self.relevance)
        return _FittedGP(self.view, counts, live, best, columns[:, live], targets)


class _FittedGP:
    """Covariance in units of the signal variance s^2: K + r I, with r the noise ratio and L its Cholesky factor."""

    def __init__(
        self, view: str, counts: BoolArray, live: BoolArray, fit: _Hyperparameters, x: FloatArray, y: FloatArray
    ) -> None:
        from scipy.linalg import solve_triangular

        self._view, self._counts, self._live = view, counts, live
        self.noise = fit.noise
        # Scaled inputs, sqrt(w_k) x_k: their plain squared distances are the weighted ones.
        self._scale = np.sqrt(fit.weights)
        self._x = x * self._scale
        # L L^T = K + r I, with K_ij = exp(-1/2 |x_i - x_j|^2).
        gram = np.exp(-0.5 * squared_distances(self._x, self._x))
        self._factor = cholesky(gram + fit.noise * np.eye(len(x)))
        # Columns L^-1 y and L^-1 1 (RW algorithm 2.1, line 3, before the second triangular solve).
        both = solve_triangular(self._factor, np.stack([y, np.ones(len(x))], axis=1), lower=True)
        # Generalised least squares mean m = 1^T (K + r I)^-1 y / 1^T (K + r I)^-1 1.
        self._level = float(both[:, 0] @ both[:, 1] / (both[:, 1] @ both[:, 1]))
        # L^-1 (y - m 1); its squared length over n is the maximum likelihood signal variance s^2.
        self._residual: FloatArray = both[:, 0] - self._level * both[:, 1]
        self.signal = max(float(self._residual @ self._residual) / len(x), _TINY)

    def posterior(self, pool: Inputs) -> Posterior:
        """Predict `pool`; see `Fitted.posterior`."""
        from scipy.linalg import solve_triangular

        z = pool.one_hot if self._view == "one_hot" else pool.encodings
        scaled = with_presence(z, self._counts)[:, self._live] * self._scale
        # k(X, z), and V = L^-1 k(X, z).
        cross = np.exp(-0.5 * squared_distances(self._x, scaled))
        whitened: FloatArray = solve_triangular(self._factor, cross, lower=True)
        # Mean m + k(z, X) (K + r I)^-1 (y - m 1) (RW equation 2.25).
        mean = self._level + whitened.T @ self._residual
        return _GPPosterior(mean, whitened, scaled, self.signal, self.noise)


class _GPPosterior:
    """Marginals of a pool; variances are kept in units of the signal variance."""

    def __init__(self, mean: FloatArray, whitened: FloatArray, pool: FloatArray, signal: float, noise: float) -> None:
        self.mean = mean
        self._whitened, self._pool, self._signal, self._noise = whitened, pool, signal, noise
        # k(z, z) - k(z, X) (K + r I)^-1 k(X, z) = 1 - |V_z|^2 (RW equation 2.26).
        self._variance = np.maximum(1.0 - (whitened**2).sum(axis=0), _TINY)

    @property
    def std(self) -> FloatArray:
        """Standard deviations ``(p,)`` of the function without noise."""
        result: FloatArray = np.sqrt(self._signal * self._variance)
        return result

    def condition(self, chosen: int) -> None:
        """Update the variances as if the candidate `chosen` had been observed with noise (a rank-one update)."""
        # c(z) = k(z, z*) - V_z^T V_z*: posterior covariance with the chosen candidate z*.
        kernel = np.exp(-0.5 * squared_distances(self._pool, self._pool[chosen : chosen + 1]))[:, 0]
        covariance = kernel - self._whitened.T @ self._whitened[:, chosen]
        # c(z) / sqrt(c(z*) + r) is the new row of V: the row that z* adds to the Cholesky factor.
        row = covariance / math.sqrt(self._variance[chosen] + self._noise + _TINY)
        self._whitened = np.concatenate([self._whitened, row[None, :]])
        # Variance after the observation: c(z, z) - c(z)^2 / (c(z*) + r).
        self._variance = np.maximum(self._variance - row**2, _TINY)


def _maximise(x: FloatArray, y: FloatArray, relevance: float | None) -> _Hyperparameters:
    """Find the hyperparameters with the largest posterior density for inputs ``(n, f)`` and targets ``(n,)``."""
    from scipy.optimize import minimize

    # The prior of the log-weights is centred where the median squared distance has weight 1.
    distances = squared_distances(x, x)
    positive = distances[distances > 0]
    centre = -math.log(float(np.median(positive))) if len(positive) else 0.0
    if len(x) < 3 or not y.std() > 0 or not len(positive):
        return _Hyperparameters(np.full(x.shape[1], math.exp(centre)), math.exp(LOG_NOISE_PRIOR[0]))
    # One log-weight for each column, or one for all; the last parameter is the log of the noise ratio.
    columns = x.shape[1] if relevance is not None else 1
    density = LogDensity(x, (y - y.mean()) / y.std(), centre, relevance)
    start = np.append(np.full(columns, centre), LOG_NOISE_PRIOR[0])
    bounds = [(centre - _LOG_WEIGHT_RANGE, centre + _LOG_WEIGHT_RANGE)] * columns + [_LOG_NOISE_BOUNDS]
    optimum = minimize(density, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _ITERATIONS})
    weights = np.exp(np.broadcast_to(optimum.x[:-1], (x.shape[1],)))
    return _Hyperparameters(np.asarray(weights, dtype=np.float64), float(np.exp(optimum.x[-1])))
