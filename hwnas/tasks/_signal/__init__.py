"""Signals: sound, motion and other recordings of one or several channels, classified or regressed window by window."""

from __future__ import annotations

from hwnas.tasks._signal._metrics import METRICS, RELATIVE_ERROR, RMSE
from hwnas.tasks._signal._task import SignalTask

__all__ = ["METRICS", "RELATIVE_ERROR", "RMSE", "SignalTask"]
