"""`BoxScorer`: average precision over batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas.tasks._base import FloatArray, Scorer
from hwnas.tasks._detection._average_precision import LABEL, SCORE, Matches, average_precision, match


class BoxScorer(Scorer):
    """Matches detections with boxes, image by image and class by class.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._matches: list[list[Matches]] = [[] for _ in range(classes)]

    def add(self, outputs: Sequence[FloatArray], targets: npt.NDArray[np.float32]) -> None:
        """Take in detections ``(N, most, 6)`` and boxes ``(N, g, 6)``, as `Detection.targets` gives them."""
        (detections,) = outputs
        for rows, boxes in zip(detections.astype(np.float64), targets.astype(np.float64), strict=True):
            rows, boxes = rows[rows[:, SCORE] > 0], boxes[boxes[:, LABEL] >= 0]
            for label, matches in enumerate(self._matches):
                own, wanted = rows[rows[:, LABEL] == label], boxes[boxes[:, LABEL] == label]
                if len(own) or len(wanted):
                    matches.append(match(own[:, :LABEL], wanted[:, :SCORE], wanted[:, SCORE] > 0))

    def value(self) -> float:
        """Return the average precision at an intersection over union of .50, the mean over the classes."""
        return float(self._by_class()[:, 0].mean())

    def others(self) -> dict[str, float]:
        """Return ``ap``: the mean over the thresholds .50, .55, ... .95 too."""
        return {"ap": float(self._by_class().mean())}

    def _by_class(self) -> npt.NDArray[np.float64]:
        """Return average precisions ``(classes with boxes, thresholds)``; zeros where there are no boxes at all."""
        values = [value for matches in self._matches if (value := average_precision(matches)) is not None]
        return np.stack(values) if values else np.zeros((1, 10))
