"""Statistics of two series of latencies: how well predictions match measurements, and against what noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Statistics of predictions against measurements; errors are relative to the measurement.

    Attributes:
        spearman: Spearman's rank correlation.
        kendall: Kendall's tau-b.
        mape: Mean absolute relative error.
        bias: Median relative error, signed.
        within_5: Share of networks within 5 %.
        within_10: Share of networks within 10 %.
    """

    spearman: float
    kendall: float
    mape: float
    bias: float
    within_5: float
    within_10: float


@dataclass(frozen=True)
class NoiseFloor:
    """Relative difference between two measurements of the same network: no prediction can be better.

    Attributes:
        median: Median of the absolute differences.
        p90: 90th percentile of the absolute differences.
    """

    median: float
    p90: float


def agreement(predicted: Sequence[float] | FloatArray, measured: Sequence[float] | FloatArray) -> Agreement:
    """Compare predictions ``(n,)`` with measurements ``(n,)``; correlations are 0 where they are undefined."""
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    errors = x / y - 1.0
    spearman, kendall = rank_correlations(x, y)
    return Agreement(
        spearman=spearman,
        kendall=kendall,
        mape=float(np.mean(np.abs(errors))),
        bias=float(np.median(errors)),
        within_5=float(np.mean(np.abs(errors) <= 0.05)),
        within_10=float(np.mean(np.abs(errors) <= 0.10)),
    )


def rank_correlations(x: Sequence[float] | FloatArray, y: Sequence[float] | FloatArray) -> tuple[float, float]:
    """Return Spearman's rho and Kendall's tau-b of two series ``(n,)``; 0 where they are undefined."""
    from scipy import stats

    if not (len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0):
        return 0.0, 0.0
    return float(stats.spearmanr(x, y).statistic), float(stats.kendalltau(x, y).statistic)


def noise_floor(first: Sequence[float] | FloatArray, second: Sequence[float] | FloatArray) -> NoiseFloor:
    """Return the relative differences between two measurements ``(n,)`` of the same networks."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    differences = np.abs(a - b) / ((a + b) / 2)
    return NoiseFloor(float(np.median(differences)), float(np.quantile(differences, 0.9)))
