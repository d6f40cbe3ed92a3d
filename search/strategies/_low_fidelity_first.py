"""Low-fidelity evaluations first, for any strategy that learns from them."""

from __future__ import annotations

import numpy as np

from search._context import Context
from search.strategies._base import Strategy, Suggestion

__all__ = ["LowFidelityFirst"]


class LowFidelityFirst:
    """Evaluates the candidates of a model-based strategy at low fidelity before it evaluates the best of them in full.

    It begins with a random design at low fidelity. As long as there are fewer than `ratio` further low-fidelity trials
    for each full one, it asks the strategy for the missing number of candidates and has them evaluated at low fidelity;
    the strategy's models then learn from both kinds of trials. Where the problem has no low-fidelity evaluation, it
    passes everything on to the strategy.

    Args:
        strategy: Proposes; its models should learn from low-fidelity trials.
        ratio: Low-fidelity trials for each full one.
        name: Name of the strategy.
        design: Low-fidelity trials of the random design.
    """

    def __init__(self, strategy: Strategy, ratio: int = 2, name: str | None = None, design: int = 0) -> None:
        self.strategy = strategy
        self.ratio = ratio
        self.design = design
        self.name = name or f"{strategy.name}-cheap"

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest low-fidelity candidates or full ones, depending on the numbers of both so far."""
        if self.design and context.problem.low_fidelity and not context.seen_low_fidelity:
            design = context.random(self.design, rng)
            if len(context.admit_low_fidelity(design)):
                return Suggestion(design, low_fidelity=True)
        missing = self.design + self.ratio * (len(context.seen) + n) - len(context.seen_low_fidelity)
        if context.problem.low_fidelity and missing >= max(1, self.ratio):
            suggestion = self.strategy.propose(context, max(missing, n), rng)
            if len(context.admit_low_fidelity(suggestion.codes)) >= n:
                return Suggestion(suggestion.codes, suggestion.report, low_fidelity=True)
        return self.strategy.propose(context, n, rng)
