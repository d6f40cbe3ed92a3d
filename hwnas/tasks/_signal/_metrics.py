"""Metrics of the regression of one value, and what sums them up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwnas.tasks._base import FloatArray, Scorer
from hwnas.tasks._labels import ACCURACY
from hwnas.tasks._metric import PERCENT, Metric

RMSE = Metric("rmse", "min", low=0.0)
"""The root of the mean squared error, in the unit of the values."""
RELATIVE_ERROR = Metric("relative_error", "min", unit=PERCENT, low=0.0)
"""The 2-norm of the errors divided by that of the values."""
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in (ACCURACY, RMSE, RELATIVE_ERROR)}
"""What `--metric` takes for signals."""


class Regression(Scorer):
    """Adds up squared errors and squared values.

    Args:
        metric: `RMSE` or `RELATIVE_ERROR`.
        mean: Mean of the train values: networks output ``(value - mean) / std``.
        std: Deviation of the train values.
    """

    def __init__(self, metric: Metric, mean: float, std: float) -> None:
        self._metric, self._mean, self._std = metric, mean, std
        self._errors = self._values = 0.0
        self._seen = 0

    def add(self, outputs: Sequence[FloatArray], targets: npt.NDArray[np.float32]) -> None:
        """Take in outputs ``(N, 1)`` and values ``(N,)``."""
        (output,) = outputs
        wanted = targets.astype(np.float64)
        given = output[:, 0].astype(np.float64) * self._std + self._mean
        self._errors += float(np.square(given - wanted).sum())
        self._values += float(np.square(wanted).sum())
        self._seen += len(targets)

    def value(self) -> float:
        """Return the metric; an error of values that are all 0 is relative to 1."""
        if self._metric == RELATIVE_ERROR:
            return math.sqrt(self._errors / (self._values or 1.0))
        return math.sqrt(self._errors / self._seen)
