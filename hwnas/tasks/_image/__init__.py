"""Image classification."""

from __future__ import annotations

from hwnas.tasks._image._task import ImageClassification

__all__ = ["ImageClassification"]
