"""Object detection."""

from __future__ import annotations

from hwnas.tasks._detection._task import AP50, Detection

__all__ = ["AP50", "Detection"]
