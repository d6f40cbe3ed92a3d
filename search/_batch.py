"""What opening a batch needs beside the strategy."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from search._arrays import IntArray, row_keys, unique_rows
from search._context import Context

__all__ = ["fill", "single_threaded"]


_limiter: tuple[int, Any] | None = None
"""How many modules were loaded when the libraries of linear algebra were looked for, and what limits these."""


def single_threaded() -> AbstractContextManager[object]:
    """One thread for linear algebra: the order of its sums, and so a resumed study, must not depend on cores.

    Looking for the libraries takes longer than a random batch; they are looked for again where modules were loaded.
    """
    global _limiter
    if _limiter is None or _limiter[0] != len(sys.modules):
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        _limiter = len(sys.modules), ThreadpoolController()
    limits: AbstractContextManager[object] = _limiter[1].limit(limits=1)
    return limits


def fill(context: Context, codes: IntArray, want: int, rng: np.random.Generator) -> IntArray:
    """Fills a short suggestion up with random candidates."""
    if len(codes) >= want:
        return codes
    seen = context.seen | set(row_keys(codes))
    extra = context.candidates.random(want - len(codes), seen, rng)
    return unique_rows(np.concatenate([codes, extra]))
