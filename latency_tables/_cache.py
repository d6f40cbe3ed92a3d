"""The extra cost of a network whose data exceed the fast caches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CacheCurve:
    """The milliseconds that a network needs beyond its ops, because its data exceed the fast caches.

    An inference touches the weights of all ops, the runtime's own data of every kernel, and the live activations.
    While this working set fits, each op finds its data in the caches; a larger one comes from slower memory. The curve
    is measured on pairs of chains of one op: in one chain every link has its own weights, in the other all links share
    them. Both chains compute the same, but their working sets differ.

    Attributes:
        kernel_bytes: The runtime's own data of one kernel, fitted together with the curve.
        working_bytes: Knots, ascending, from 0.
        extra_ms: Cost at each knot, not falling; linear in between and, along the last piece, beyond.
    """

    kernel_bytes: int
    working_bytes: tuple[float, ...]
    extra_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        knots, values = np.array(self.working_bytes), np.array(self.extra_ms)
        if len(knots) < 2 or len(knots) != len(values) or knots[0] != 0 or values[0] != 0:
            raise ValueError("a cache curve must have two or more knots and begin at 0 bytes and 0 ms")
        if not np.all(np.isfinite(knots)) or not np.all(np.isfinite(values)) or self.kernel_bytes < 0:
            raise ValueError("the numbers of a cache curve must be finite, and kernel_bytes 0 or more")
        if np.any(np.diff(knots) < 1) or np.any(np.diff(values) < 0):
            raise ValueError("the knots of a cache curve must rise by bytes, and its milliseconds must not fall")

    def ms(self, working_bytes: npt.ArrayLike) -> FloatArray:
        """Return the extra cost ``(n,)`` in milliseconds of working sets ``(n,)`` in bytes."""
        sizes = np.asarray(working_bytes, dtype=np.float64)
        knots, values = np.array(self.working_bytes), np.array(self.extra_ms)
        slope = (values[-1] - values[-2]) / (knots[-1] - knots[-2])
        return np.asarray(np.interp(sizes, knots, values) + slope * np.maximum(0.0, sizes - knots[-1]))

    def slope(self, working_bytes: npt.ArrayLike) -> FloatArray:
        """Return the milliseconds ``(n,)`` that one more byte costs at working sets ``(n,)`` in bytes.

        At a knot, that of the piece above it.
        """
        knots, values = np.array(self.working_bytes), np.array(self.extra_ms)
        pieces = np.searchsorted(knots, np.asarray(working_bytes, dtype=np.float64), side="right") - 1
        return np.asarray((np.diff(values) / np.diff(knots))[np.clip(pieces, 0, len(knots) - 2)])
