"""Random search without repeats: the floor that every other strategy has to beat."""

from __future__ import annotations

import numpy as np

from search._context import Context
from search.strategies._base import NamedStrategy, Suggestion

__all__ = ["RandomSearch"]


class RandomSearch(NamedStrategy):
    """Proposes uniformly random untried candidates."""

    name = "random"

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest `n` untried candidates."""
        return Suggestion(context.random(n, rng))
