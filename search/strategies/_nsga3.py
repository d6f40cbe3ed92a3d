"""NSGA-III with pymoo's survival, as a steady-state search (Deb and Jain 2014, doi 10.1109/TEVC.2013.2281535)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from search._arrays import FloatArray, IntArray
from search._context import Context
from search._options import StrategyOption
from search.strategies._base import NamedStrategy, Suggestion
from search.strategies._genetic import offspring
from search.strategies._nsga2 import Survivors

__all__ = ["NSGA3", "reference_directions"]


def reference_directions(objectives: int, at_most: int) -> FloatArray:
    """Make Das-Dennis directions on the simplex.

    Args:
        objectives: Number of objectives m.
        at_most: Most directions wanted; there are at least m.

    Returns:
        The finest grid ``(k, m)`` with at most that many directions.
    """
    from pymoo.util.ref_dirs import get_reference_directions

    if objectives == 1:
        return np.ones((1, 1))
    partitions = 1
    while math.comb(partitions + objectives, objectives - 1) <= at_most:
        partitions += 1
    directions = get_reference_directions("das-dennis", objectives, n_partitions=partitions)
    return np.asarray(directions, dtype=np.float64)


class NSGA3(NamedStrategy):
    """Steady-state NSGA-III: survival by rank and reference directions, random mating.

    Args:
        population: Number of survivors, and most reference directions.
    """

    name = "nsga3"
    packages = ("pymoo",)
    extra = "compare"
    options = (
        StrategyOption("population", 20, "number of survivors, and most reference directions", minimum=2, maximum=1000),
    )

    def __init__(self, population: int = 20) -> None:
        self.population = population
        self._survivors = Survivors(population)

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest offspring of the current population."""
        from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
        from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

        objectives = len(context.problem.objectives)

        def survival() -> Any:
            """Make the survival operator; one objective has no reference directions."""
            if objectives == 1:
                return RankAndCrowding()
            return ReferenceDirectionSurvival(reference_directions(objectives, self.population))

        parents = self._survivors.population(context, survival)

        def pairs(k: int) -> IntArray:
            """Draw pairs of parents ``(k, 2)``."""
            return rng.integers(len(parents), size=(k, 2))

        return Suggestion(offspring(context, parents, pairs, n, rng))
