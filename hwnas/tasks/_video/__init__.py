"""Classification of short clips."""

from __future__ import annotations

from hwnas.tasks._video._task import VideoClassification

__all__ = ["VideoClassification"]
