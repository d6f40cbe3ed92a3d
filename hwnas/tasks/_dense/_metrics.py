"""Mean intersection over union, and relative L2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data import IGNORED
from hwnas.tasks._base import FloatArray, Scorer
from hwnas.tasks._confusion import confusion_counts
from hwnas.tasks._metric import PERCENT, Metric

MEAN_IOU = Metric("mean_iou", unit=PERCENT, low=0.0, high=1.0)
"""Mean over classes of intersection over union of labelled pixels; classes that neither masks nor predictions hold are
left out."""
RELATIVE_L2 = Metric("relative_l2", "min", low=0.0)
"""Mean over samples of |y - t| / |t|, where y and t are all values of a sample's map, in the targets' own units."""


class MeanIoU(Scorer):
    """Counts pixels by class and predicted class.

    Args:
        classes: Number of classes.

    Attributes:
        counts: Labelled pixels ``(classes, classes)``: rows are the masks' classes, columns the predicted ones.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), dtype=np.int64)

    def add(self, outputs: Sequence[FloatArray], targets: npt.NDArray[np.uint8]) -> None:
        """Take in logits ``(N, classes, ...)`` and class indices ``(N, ...)``; pixels of index 255 do not count."""
        (logits,) = outputs
        labelled = targets != IGNORED
        self.counts += confusion_counts(targets[labelled], logits.argmax(axis=1)[labelled], len(self.counts))

    def by_class(self) -> npt.NDArray[np.float64]:
        """Return intersection over union of each class ``(classes,)``; NaN where neither side holds the class."""
        right = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - right
        return np.asarray(np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0))

    def value(self) -> float:
        """Return the mean over the classes that masks or predictions hold."""
        shares = self.by_class()
        present = shares[~np.isnan(shares)]
        return float(present.mean()) if len(present) else 0.0


class RelativeL2(Scorer):
    """Adds up relative errors.

    Args:
        mean: What is added to each channel of the outputs, which are normalised, ``(channels,)``.
        deviation: What each channel is multiplied with first, ``(channels,)``.
    """

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self._mean, self._deviation = np.asarray(mean), np.asarray(deviation)
        self._total, self._count = 0.0, 0

    def add(self, outputs: Sequence[FloatArray], targets: npt.NDArray[np.float32]) -> None:
        """Take in normalised maps and targets, both ``(N, channels, ...)``."""
        errors = self.errors(outputs[0], targets)
        self._total += float(errors.sum())
        self._count += len(errors)

    def values(self, maps: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return normalised maps ``(N, channels, ...)`` in the targets' own units."""
        shape = (-1, *(1,) * (maps.ndim - 2))
        return np.asarray(maps * self._deviation.reshape(shape) + self._mean.reshape(shape))

    def errors(self, maps: npt.NDArray[Any], targets: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the relative error ``(N,)`` of each sample."""
        count = len(targets)
        differences = np.linalg.norm((self.values(maps) - targets).reshape(count, -1), axis=1)
        return np.asarray(differences / np.linalg.norm(targets.astype(np.float64).reshape(count, -1), axis=1))

    def value(self) -> float:
        """Return the mean over the samples."""
        return self._total / self._count
