"""Whole networks that were measured, and what each may be used for."""

from __future__ import annotations

import math
from dataclasses import dataclass

CORRECTION_SPLIT = "calibration"
"""Split of the networks that the correction is fitted to; table files hold this word, so it does not change."""
INTERVAL_SPLIT = "interval"
"""Split of the networks that intervals are fitted to, but the correction is not."""
HELD_OUT_SPLIT = "held-out"
"""Split of the networks that nothing is fitted to: predictions are only compared with them."""
SPLITS = (CORRECTION_SPLIT, INTERVAL_SPLIT, HELD_OUT_SPLIT)
"""What a network's measurement may be used for, from most to least."""


@dataclass(frozen=True)
class NetworkMeasurement:
    """One whole network, measured twice with sessions of its own.

    Attributes:
        arch: The network's name: in a search space, the architecture's text.
        split: One of `SPLITS`.
        unfitted_ms: What the table predicts with nothing fitted to whole networks.
        measured_ms: 10th percentile of the first measurement.
        repeat_ms: 10th percentile of the second.
    """

    arch: str
    split: str
    unfitted_ms: float
    measured_ms: float
    repeat_ms: float

    @property
    def latency_ms(self) -> float:
        """What predictions are compared with: the geometric mean of both measurements."""
        return math.sqrt(self.measured_ms * self.repeat_ms)
