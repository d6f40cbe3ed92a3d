"""The one interface of every strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from search._arrays import IntArray
from search._context import Context

__all__ = ["Strategy", "Suggestion"]


@dataclass(frozen=True)
class Suggestion:
    """What a strategy suggests for a batch.

    Attributes:
        codes: Rows (k, d), best first. The study drops inadmissible rows and duplicates and fills up
            with random candidates, so a strategy may return fewer rows than asked for, or none.
        report: Anything worth inspecting about how they were chosen, as plain dataclasses.
        cheap: Whether the cheap stand-in is wanted of them; there may then be any number of rows.
    """

    codes: IntArray
    report: object | None = None
    cheap: bool = False


class Strategy(Protocol):
    """Proposes the next batch.

    `propose` must be a function of its arguments alone: no state that survives a call may change what a
    later call returns (caches of what can be recomputed are fine). That is what makes an interrupted
    study continue bit for bit.
    """

    name: str

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggests up to `n` architectures; `context` holds at least one successful trial."""
        ...
