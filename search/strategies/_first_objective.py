"""A search for the best value of the first objective; the other objectives are only recorded."""

from __future__ import annotations

import numpy as np

from search._context import Context
from search.strategies._base import Strategy, Suggestion

__all__ = ["FirstObjective"]


class FirstObjective:
    """Shows a strategy the first objective and the constraints alone.

    The study still records all objectives and has a front of them, but the strategy spends its proposals on the best
    value of the first one that keeps the constraints, instead of on the whole front.

    Args:
        strategy: The strategy.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy, self.name = strategy, strategy.name

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest architectures as the strategy does for one objective; see `Strategy.propose`."""
        return self.strategy.propose(context.of_first_objective(), n, rng)
