"""Which numbers stand for black and white: 0-1, 0-255, or neither."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UNIT, LEVELS = 255.0, 1.0
"""What brings values on 0-1, or on 0-255, to 0-255."""
_HALF = 0.5
"""Tolerance in grey levels: what is rounded to a level is the level, so that 1.0000001 of 1 is white."""
_BRIGHT = 64.0
"""What the brightest value of images on 0-255 reaches, unless all values are whole levels."""


@dataclass(frozen=True)
class Found:
    """Values of an array.

    Attributes:
        low: The least; NaN where one is.
        high: The greatest; NaN where one is.
        whole: All are whole numbers.
    """

    low: float
    high: float
    whole: bool

    @classmethod
    def of(cls, pieces: Iterable[npt.NDArray[np.floating]]) -> Found:
        """Return what an array in pieces (at least one) holds."""
        low, high, whole = np.inf, -np.inf, True
        for values in pieces:
            low = float(np.minimum(low, values.min()))
            high = float(np.maximum(high, values.max()))
            whole = whole and bool(np.isfinite(high - low)) and bool((values == np.rint(values)).all())
        return cls(low, high, whole)

    @property
    def scale(self) -> float | None:
        """`UNIT` or `LEVELS`; None where the values are on neither, or could be on both."""
        if self._within(UNIT):
            return UNIT
        sure = self.whole or self.high >= _BRIGHT
        return LEVELS if sure and self._within(LEVELS) else None

    def fits(self, scale: float) -> bool:
        """Return whether they can be on the scale of other images of the same set."""
        if scale == LEVELS and self.high > 0 and self._within(UNIT):
            return False  # all black on that scale, so on the other one
        return self._within(scale)

    def _within(self, scale: float) -> bool:
        return -_HALF / scale <= self.low and self.high <= (255 + _HALF) / scale


def to_levels(values: npt.NDArray[np.floating], scale: float) -> npt.NDArray[np.uint8]:
    """Return values of a scale as uint8."""
    return np.clip(np.round(values * scale), 0, 255).astype(np.uint8)
