"""Image classification."""

from __future__ import annotations

from hwnas.tasks._image._task import ACCURACY, ImageClassification

__all__ = ["ACCURACY", "ImageClassification"]
