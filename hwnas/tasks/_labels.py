"""What all tasks with one label for each sample share: accuracy, cross-entropy and label smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwnas.data import LabelArray
from hwnas.tasks._base import FloatArray, Scorer
from hwnas.tasks._metric import BINOMIAL, PERCENT, Metric
from hwnas.tasks._options import TrainingOption

if TYPE_CHECKING:
    from torch import Tensor

ACCURACY = Metric("accuracy", unit=PERCENT, low=0.0, high=1.0, uncertainty=BINOMIAL)
"""The share of samples that a network classifies correctly."""
LABEL_SMOOTHING = {"label_smoothing": TrainingOption(0.1, 0.0, 0.9, "smoothing of the targets of the labels")}


class Accuracy(Scorer):
    """Counts samples whose greatest logit is that of their class."""

    def __init__(self) -> None:
        self._right = self._seen = 0

    def add(self, outputs: Sequence[FloatArray], targets: LabelArray) -> None:
        """Take in logits ``(N, classes)`` and class indices ``(N,)``."""
        (logits,) = outputs
        self._right += int((logits.argmax(1) == targets).sum())
        self._seen += len(targets)

    def value(self) -> float:
        """Return the share of samples that were classified correctly."""
        return self._right / self._seen


def label_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return cross-entropy of logits ``(N, classes)`` with class indices ``(N,)`` or probabilities ``(N, classes)``."""
    from torch.nn import functional as f

    return f.cross_entropy(logits, labels, label_smoothing=smoothing)


def imitation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Return cross-entropy of logits ``(N, classes, ...)`` with the probabilities that a teacher's logits stand for."""
    from torch.nn import functional as f

    return f.cross_entropy(logits, teacher.softmax(1))
