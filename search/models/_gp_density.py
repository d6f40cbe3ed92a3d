"""The density that a Gaussian process's hyperparameters maximise, with its gradient.

Equations are those of Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), cited as RW.
"""

from __future__ import annotations

import math

import numpy as np

from search._arrays import FloatArray

__all__ = ["LOG_NOISE_PRIOR", "LogDensity", "cholesky", "squared_distances"]

LOG_NOISE_PRIOR = (-4.0, 2.0)
"""Mean and standard deviation of the normal prior of the noise ratio's logarithm."""

_TINY = 1e-10


def squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    """Compute squared Euclidean distances ``(n, m)`` of rows ``(n, f)`` and ``(m, f)``."""
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, which rounding may take below zero.
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2.0 * left @ right.T
    result: FloatArray = np.maximum(squares, 0.0)
    return result


def cholesky(gram: FloatArray) -> FloatArray:
    """Compute the lower Cholesky factor ``(n, n)``; jitter is added until the matrix is positive definite."""
    jitter = 0.0
    while True:
        try:
            factor = np.linalg.cholesky(gram + jitter * np.eye(len(gram)))
            return np.asarray(factor, dtype=np.float64)
        except np.linalg.LinAlgError:
            jitter = max(10.0 * jitter, 1e-8)


def _inverse(factor: FloatArray) -> FloatArray:
    """Compute the inverse ``(n, n)`` of a matrix from its lower Cholesky factor ``(n, n)``."""
    from scipy.linalg.lapack import dpotri

    # dpotri fills the lower triangle alone; the inverse is symmetric.
    lower = np.tril(dpotri(factor, lower=1)[0])
    result: FloatArray = lower + np.tril(lower, -1).T
    return result


class LogDensity:
    """Negative logarithm of marginal likelihood times priors, and its gradient.

    Args:
        x: Inputs ``(n, f)``.
        y: Standardised targets ``(n,)``.
        centre: Centre of the normal prior of the log-weights.
        relevance: Strength of that prior for one weight for each column; `None` for one common weight.
    """

    def __init__(self, x: FloatArray, y: FloatArray, centre: float, relevance: float | None) -> None:
        self._x, self._y = x, y
        self._centre, self._relevance = centre, relevance

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Compute value and gradient ``(k,)`` at the log-weights and the log noise ratio `theta` ``(k,)``."""
        x, y = self._x, self._y
        n = len(x)
        weights = np.broadcast_to(np.exp(theta[:-1]), (x.shape[1],))
        noise = math.exp(theta[-1])
        # K_ij = exp(-1/2 sum_k w_k (x_ik - x_jk)^2), and A = (K + r I)^-1.
        scaled = x * np.sqrt(weights)
        kernel = np.exp(-0.5 * squared_distances(scaled, scaled))
        factor = cholesky(kernel + noise * np.eye(n))
        inverse = _inverse(factor)
        # The mean in closed form, m = 1^T A y / 1^T A 1, and alpha = A (y - m 1).
        ones = inverse.sum(axis=1)
        residual = y - float(ones @ y) / float(ones.sum())
        alpha = inverse @ residual
        # The signal variance in closed form, s^2 = (y - m 1)^T A (y - m 1) / n.
        signal = max(float(residual @ alpha) / n, _TINY)
        # Negative log likelihood (RW equation 5.8) at that m and s^2, up to a constant:
        # n/2 log s^2 + 1/2 log det(K + r I), where the half log-determinant is the sum of log L_ii.
        value = 0.5 * n * math.log(signal) + float(np.log(np.diag(factor)).sum())
        # Its derivative by the matrix K + r I: G = 1/2 (A - alpha alpha^T / s^2) (RW equation 5.9).
        slope = 0.5 * (inverse - np.outer(alpha, alpha) / signal)
        # Chain rule: dK_ij / dD_ij = -1/2 K_ij for the weighted squared distance D_ij = sum_k w_k (x_ik - x_jk)^2.
        by_distance = -0.5 * slope * kernel
        # d/d log w_k = w_k sum_ij B_ij (x_ik - x_jk)^2 = 2 w_k (sum_i x_ik^2 sum_j B_ij - sum_ij x_ik B_ij x_jk),
        # with B the symmetric derivative by D.
        row_sums = by_distance.sum(axis=1)
        quadratic = np.einsum("ik,ik->k", x, by_distance @ x)
        by_weight = weights * 2.0 * ((x**2).T @ row_sums - quadratic)
        # d/d log r = r trace G; a common weight collects the derivatives of all columns.
        gradient = np.append(
            by_weight if self._relevance is not None else by_weight.sum(), float(np.trace(slope)) * noise
        )
        return self._with_priors(theta, value, gradient)

    def _with_priors(self, theta: FloatArray, value: float, gradient: FloatArray) -> tuple[float, FloatArray]:
        """Add the negative log densities of the normal priors of the logarithms, and their derivatives."""
        # Weights: strength / 2 |theta_w - centre|^2.
        strength = 1.0 if self._relevance is None else self._relevance
        shift = theta[:-1] - self._centre
        gradient[:-1] += strength * shift
        # Noise ratio: 1/2 ((theta_r - mean) / width)^2.
        centre, width = LOG_NOISE_PRIOR
        off = (float(theta[-1]) - centre) / width
        gradient[-1] += off / width
        return value + 0.5 * strength * float(shift @ shift) + 0.5 * off**2, gradient
