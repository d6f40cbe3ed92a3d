"""Image classification."""

from __future__ import annotations

from hwnas.tasks._image._task import ACCURACY, Accuracy, ImageClassification

__all__ = ["ACCURACY", "Accuracy", "ImageClassification"]
