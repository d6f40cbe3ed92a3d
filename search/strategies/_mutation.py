"""Pareto local search: change one choice of a member of the Pareto archive."""

from __future__ import annotations

import numpy as np

from search._arrays import IntArray, unique_rows
from search._context import Context
from search.strategies._base import NamedStrategy, Suggestion

__all__ = ["ParetoLocalSearch", "mutants"]

_ROUNDS = 32


def mutants(context: Context, parents: IntArray, n: int, rng: np.random.Generator) -> IntArray:
    """Mutate random parents until there are enough untried candidates.

    One choice is changed at first; when the neighbourhood is used up, two and more.

    Args:
        context: The study's view.
        parents: Rows ``(p, d)``, p >= 1.
        n: Number of candidates wanted.
        rng: Random generator of the batch.

    Returns:
        Up to `n` untried candidates ``(k, d)``.
    """
    children = np.empty((0, parents.shape[1]), dtype=np.int64)
    for attempt in range(_ROUNDS):
        chosen = parents[rng.integers(len(parents), size=max(16, 4 * n))]
        fresh = context.admit(context.problem.domain.mutate(chosen, rng, changes=1 + attempt // 8))
        children = unique_rows(np.concatenate([children, fresh]))
        if len(children) >= n:
            break
    return children[:n]


class ParetoLocalSearch(NamedStrategy):
    """Mutates random members of the Pareto archive; each mutation changes one choice."""

    name = "mutation"

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest mutations of random members of the archive."""
        return Suggestion(mutants(context, context.codes[context.archive], n, rng))
