"""Non-negative least squares with a ridge penalty and Huber's loss, and what it predicts for samples left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_HUBER, _NOISE, _STEPS = 1.345, 0.01, 8
"""Huber's constant, the smallest scale of relative errors, and the most reweightings."""
_WORST = 0.3


@dataclass(frozen=True)
class Solution:
    """The solution of one non-negative least-squares problem.

    Attributes:
        values: The solution, ``(d,)``.
        weights: Weights of the samples, ``(n,)``.
        left_out: Prediction of each sample by a fit without it, ``(n,)``.
        freedom: Number of effective parameters for each sample.
    """

    values: FloatArray
    weights: FloatArray
    left_out: FloatArray
    freedom: float

    @property
    def error(self) -> float:
        """Mean squared relative error of the left-out predictions, each at most 30 %."""
        return float(np.mean(np.minimum(np.abs(self.left_out - 1.0), _WORST) ** 2)) + 1e-12


def solve_ridge(
    matrix: FloatArray, target: FloatArray, roots: FloatArray, penalty: FloatArray, goal: FloatArray
) -> FloatArray:
    """Return the non-negative ``x`` that minimises ``|roots (matrix x - target)|^2 + penalty |x - goal|^2``.

    Args:
        matrix: ``(n, d)``.
        target: ``(n,)``.
        roots: Square roots of the samples' weights, ``(n,)``.
        penalty: ``(d,)``.
        goal: What the solution is shrunk towards, ``(d,)``.
    """
    from scipy.optimize import nnls

    # the penalty as further rows: sqrt(penalty) x = sqrt(penalty) goal
    ridge = np.sqrt(penalty)
    rows = np.vstack([matrix * roots[:, None], np.diag(ridge)])
    solution, _ = nnls(rows, np.concatenate([target * roots, ridge * goal]), maxiter=50 * len(ridge))
    return np.asarray(solution)


def fit_robustly(
    matrix: FloatArray, penalty: FloatArray, goal: FloatArray, bounds: tuple[FloatArray, FloatArray]
) -> Solution:
    """Minimise Huber's loss by reweighting; each target is the point of its interval `bounds` nearest to the fit.

    Left-out predictions come from the leverages of the weighted problem with its active set held fixed.

    Args:
        matrix: Shares of the latencies ``(n, d)``, so that a perfect fit is 1.
        penalty: Ridge penalties ``(d,)``.
        goal: What the solution is shrunk towards, ``(d,)``.
        bounds: Lower and upper ends ``(n,)`` of the targets, around 1.
    """
    weights, target = np.ones(len(matrix)), np.ones(len(matrix))
    values = np.zeros(len(penalty))
    for _ in range(_STEPS):
        values = solve_ridge(matrix, target, np.sqrt(weights), penalty, goal)
        fitted = matrix @ values
        # r = |f - t| / max(f, 1): relative to the larger of prediction and measurement, so that neither can hide
        target, larger = np.clip(fitted, *bounds), np.maximum(fitted, 1.0)
        residuals = np.abs(fitted - target) / larger
        # w = min(1, c s / r) / max(f, 1)^2 with the robust scale s = 1.4826 median(r)
        scale = max(_NOISE, 1.4826 * float(np.median(residuals)))
        before, weights = weights, 1.0 / np.maximum(1.0, residuals / (_HUBER * scale)) / larger**2
        if np.abs(weights - before).max() < 0.01 and not (bounds[1] > 1.0).any():
            break
    # leverages h_i = w_i x_i' (X'WX + P)^-1 x_i over the positive values, with the penalties P on the diagonal;
    # the prediction f_i of target t_i by a fit without sample i is t_i + (f_i - t_i) / (1 - h_i)
    active = values > 0
    rows = matrix[:, active] * np.sqrt(weights)[:, None]
    inner = np.linalg.pinv(rows.T @ rows + np.diag(penalty[active]))
    leverage = np.minimum(np.einsum("ij,jk,ik->i", rows, inner, rows), 0.99)
    fitted = matrix @ values
    left_out = target + (fitted - target) / (1.0 - leverage)
    return Solution(values, weights, left_out, float(leverage.mean()))
