"""Places of a detector's maps in the image, and the layout of what is said of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from latency_tables import Op
from profilers._errors import OperatorError
from profilers._operators._base import FloatArray

BOX_VALUES = 5
"""Numbers of a place beside its class scores: logarithms of four distances, and the centre-ness."""
DETECTION_VALUES = 6
"""Numbers of a detection: x1, y1, x2, y2, score, class."""
LARGEST_LOG_DISTANCE = 6.0
"""Distances are cut off at e^6 places of their map, so that no exponential overflows."""
CLASS_STEP = 2.0
"""Boxes of different classes are moved apart by more than the image's extent, so that none suppresses another."""


def levels_of(op: Op) -> tuple[tuple[int, int], ...]:
    """Return height and width of each map of a `Detections` op.

    Raises:
        OperatorError: There is none, or an extent is not positive.
    """
    flat = dict(op.attributes).get("levels")
    if type(flat) is int and flat > 0:  # an op holds a list of equal numbers as one
        flat = (flat, flat) * max(1, op.inputs[0][-1] // flat**2)
    if not isinstance(flat, tuple) or not flat or len(flat) % 2 or any(type(n) is not int or n < 1 for n in flat):
        raise OperatorError(f"op {op.key}: levels must be heights and widths, one behind the other")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


@lru_cache(maxsize=64)
def place_boxes(levels: tuple[tuple[int, int], ...]) -> tuple[FloatArray, FloatArray]:
    """Return the centres of all places and the signed steps of their maps, as fractions of the image.

    Returns:
        ``(places, 4)`` each: x, y, x, y of the centre, and -1, -1, 1, 1 times the width and height of one step.
    """
    centres, steps = [], []
    for height, width in levels:
        y, x = np.divmod(np.arange(height * width), width)
        centre = np.stack([(x + 0.5) / width, (y + 0.5) / height], axis=1)
        step = np.broadcast_to([1.0 / width, 1.0 / height], centre.shape)
        centres.append(np.concatenate([centre, centre], axis=1))
        steps.append(np.concatenate([-step, step], axis=1))
    return np.concatenate(centres).astype(np.float32), np.concatenate(steps).astype(np.float32)
