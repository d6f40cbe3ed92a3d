"""What opening a batch needs beside the strategy."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np

from search._arrays import IntArray, row_keys, unique_rows
from search._context import Context

__all__ = ["fill", "single_threaded"]


def single_threaded() -> AbstractContextManager[object]:
    """One thread for linear algebra: the order of its sums, and so a resumed study, must not depend on cores."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def fill(context: Context, codes: IntArray, want: int, rng: np.random.Generator) -> IntArray:
    """Fills a short suggestion up with random candidates."""
    if len(codes) >= want:
        return codes
    seen = context.seen | set(row_keys(codes))
    extra = context.candidates.random(want - len(codes), seen, rng)
    return unique_rows(np.concatenate([codes, extra]))
