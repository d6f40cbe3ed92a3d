"""A batch: what the strategy suggests, with anchors before it and random candidates where it is short."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search._arrays import IntArray, row_keys, unique_rows
from search._context import Context
from search._errors import SearchError
from search._threads import single_threaded
from search.strategies._base import Strategy, Suggestion

__all__ = ["Batch", "BatchPlan", "fill"]


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


def _suggestion(proposed: object, name: str) -> Suggestion:
    """Return what a strategy proposed; refuse anything else, such as what a missing `return` gives."""
    if not isinstance(proposed, Suggestion):
        kind = type(proposed).__name__
        raise SearchError(f"strategy {name}: propose must return a search.Suggestion, got {kind}")
    return proposed


@dataclass(frozen=True)
class Batch:
    """The architectures of a batch.

    Attributes:
        codes: Their rows ``(k, d)``.
        low_fidelity: Whether they are to be evaluated at low fidelity.
        report: The strategy's report, where it was asked.
    """

    codes: IntArray
    low_fidelity: bool
    report: object | None


@dataclass(frozen=True)
class BatchPlan:
    """The sizes of a batch, and what it begins with.

    Attributes:
        size: Size of an ordinary batch.
        initial: Size of the initial random design.
        index: Index of the batch, 0 for the first.
        opening: Whether it is the first batch of its problem.
        first: Codes ``(n, d)`` that an opening batch begins with; `None` for none.
    """

    size: int
    initial: int
    index: int
    opening: bool
    first: IntArray | None

    def compose(self, context: Context, strategy: Strategy, rng: np.random.Generator) -> Batch:
        """Choose the architectures.

        Args:
            context: The study's view.
            strategy: Proposes, once the design is complete and a trial has succeeded.
            rng: Random generator of the batch.
        """
        domain = context.problem.domain
        design = self.initial - len(context.codes) if self.opening else 0
        want, low_fidelity = max(self.size, design) if self.index else self.initial, False
        codes = np.array(context.problem.anchors if self.opening else (), dtype=np.int64).reshape(-1, domain.dimension)
        if self.opening and self.first is not None:
            codes = context.admit(np.concatenate([domain.check(self.first), codes]))
            want = max(want, len(codes))
        else:
            codes = context.admit(codes)[:want]
        report = None
        if self.index and len(context.codes) and design <= 0:
            with single_threaded():
                suggestion = _suggestion(strategy.propose(context, want, rng), strategy.name)
            report = suggestion.report
            rows = np.concatenate([codes, domain.check(suggestion.codes)])
            low_fidelity = suggestion.low_fidelity and not len(codes)
            codes = context.admit_low_fidelity(rows) if low_fidelity else context.admit(rows)[:want]
            low_fidelity = low_fidelity and len(codes) > 0
        if not low_fidelity:
            codes = fill(context, codes, want, rng)
        return Batch(codes, low_fidelity, report)
