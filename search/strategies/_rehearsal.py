"""Cheap evaluations first: any strategy, looking at what it would evaluate before it does."""

from __future__ import annotations

import numpy as np

from search._context import Context
from search.strategies._base import Strategy, Suggestion

__all__ = ["Rehearsal"]


class Rehearsal:
    """Lets a model-based strategy see its candidates cheaply before it evaluates the best of them.

    While there are fewer than `ratio` cheap trials for each full one, the strategy is asked for so many candidates
    at once, and they are evaluated cheaply; its models then know both kinds of trials. Where the problem offers no
    cheap stand-in, the strategy is left alone.

    Args:
        strategy: Who proposes; its models should listen to cheap trials.
        ratio: Cheap trials for each full one.
        name: Name of the strategy.
    """

    def __init__(self, strategy: Strategy, ratio: int = 2, name: str | None = None) -> None:
        self.strategy = strategy
        self.ratio = ratio
        self.name = name or f"{strategy.name}-cheap"

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Cheap candidates or full ones, by the number of either so far."""
        owed = self.ratio * (len(context.seen) + n) - len(context.seen_cheaply)
        if context.problem.cheap and owed >= self.ratio:
            wanted = self.strategy.propose(context, max(owed, n), rng)
            if len(context.admit_cheaply(wanted.codes)) >= n:
                return Suggestion(wanted.codes, wanted.report, cheap=True)
        return self.strategy.propose(context, n, rng)
