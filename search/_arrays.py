"""Array types of the package and the row arithmetic that several modules share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "FloatArray", "IntArray", "first_places", "row_keys", "unique_rows", "varying"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
_FEW = 64
_ROUNDING = 1e-12


def row_keys(codes: IntArray) -> list[bytes]:
    """Make hashable keys of the rows of `codes` ``(n, d)``; keys are equal exactly when the rows are."""
    rows = np.ascontiguousarray(codes, dtype=np.int64)
    return [row.tobytes() for row in rows]


def first_places(codes: IntArray) -> IntArray:
    """Find the places ``(k,)`` of the distinct rows of `codes` ``(n, d)``, ascending: their first occurrences."""
    if len(codes) <= _FEW:  # quicker than sorting them
        first: dict[bytes, int] = {}
        for place, key in enumerate(row_keys(codes)):
            first.setdefault(key, place)
        return np.array(list(first.values()), dtype=np.int64)
    _, places = np.unique(codes, axis=0, return_index=True)
    return np.sort(places)


def unique_rows(codes: IntArray) -> IntArray:
    """Find the distinct rows of `codes` ``(n, d)``, in the order of their first occurrences."""
    return codes if len(codes) < 2 else codes[first_places(codes)]


def varying(columns: FloatArray) -> BoolArray:
    """Mark the columns of ``(n, f)`` whose values differ by more than rounding ``(f,)``."""
    varies: BoolArray = columns.std(axis=0) > _ROUNDING * (1.0 + np.abs(columns).max(axis=0))
    return varies
