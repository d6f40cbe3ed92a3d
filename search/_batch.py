"""Helpers of a batch: one thread for linear algebra, random candidates where a suggestion is short."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from search._arrays import IntArray, row_keys, unique_rows
from search._context import Context

__all__ = ["fill", "single_threaded"]


_limiter: tuple[int, Any] | None = None
"""Number of modules that were loaded when the libraries of linear algebra were searched, and their limiter."""


def single_threaded() -> AbstractContextManager[object]:
    """Limit linear algebra to one thread.

    The order of its sums, and so a resumed study, must not depend on the number of cores. Searching for the libraries
    takes longer than a random batch, so they are searched again only when modules were loaded since.
    """
    global _limiter
    if _limiter is None or _limiter[0] != len(sys.modules):
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        _limiter = len(sys.modules), ThreadpoolController()
    limits: AbstractContextManager[object] = _limiter[1].limit(limits=1)
    return limits


def fill(context: Context, codes: IntArray, want: int, rng: np.random.Generator) -> IntArray:
    """Fill a short suggestion up with random candidates.

    Args:
        context: The study's view.
        codes: The suggestion ``(k, d)``.
        want: Number of rows wanted.
        rng: Random generator of the batch.
    """
    if len(codes) >= want:
        return codes
    seen = context.seen | set(row_keys(codes))
    extra = context.candidates.random(want - len(codes), seen, rng)
    return unique_rows(np.concatenate([codes, extra]))
