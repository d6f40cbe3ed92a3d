"""NSGA-II with pymoo's survival, as a steady-state search (Deb et al. 2002, doi 10.1109/4235.996017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from search._arrays import IntArray
from search._context import Context
from search._options import StrategyOption
from search.strategies._base import NamedStrategy, Suggestion
from search.strategies._genetic import arrivals, continues, offspring, pymoo_problem

if TYPE_CHECKING:
    from pymoo.core.population import Population

__all__ = ["NSGA2", "Survivors"]


class Survivors:
    """The population after all batches, merged batch by batch, and kept for the next call.

    Survival draws random numbers for ties alone; they are seeded by the batch. So the population is a function of the
    trials. Where these begin with the trials of the last call, its population is used again, and only later batches
    are merged.

    Args:
        size: Number of survivors.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._latest: tuple[Context, Population, int, Any] | None = None

    def population(self, context: Context, make_survival: Callable[[], Any]) -> Population:
        """Compute the population after the trials of a context.

        Args:
            context: The study's view.
            make_survival: Makes a survival operator of pymoo. Some have a state (NSGA-III's ideal and nadir
                points), so the operator is kept along with the population that it has made.
        """
        from pymoo.core.population import Population

        problem = pymoo_problem(context)
        population, start, number, survival = Population.empty(), 0, 0, make_survival()
        if self._latest is not None and continues(context, self._latest[0]):
            before, population, number, survival = self._latest
            start = len(before.codes)
        for arrived in arrivals(context, start):
            merged = Population.merge(population, arrived)
            ties = np.random.default_rng(number)
            population = survival.do(problem, merged, n_survive=self._size, random_state=ties)
            number += 1
        self._latest = context, population, number, survival
        return population


class NSGA2(NamedStrategy):
    """Steady-state NSGA-II: each batch is merged into the population.

    Survival by non-dominated rank and crowding, binary tournaments, uniform crossover, random resets.

    Args:
        population: Number of survivors.
    """

    name = "nsga2"
    packages = ("pymoo",)
    extra = "compare"
    options = (StrategyOption("population", 20, "number of survivors", minimum=2, maximum=1000),)

    def __init__(self, population: int = 20) -> None:
        self.population = population
        self._survivors = Survivors(population)

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest offspring of the current population."""
        from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

        parents = self._survivors.population(context, RankAndCrowding)

        def pairs(k: int) -> IntArray:
            """Draw pairs of parents ``(k, 2)``."""
            return _tournament(parents, 2 * k, rng).reshape(k, 2)

        return Suggestion(offspring(context, parents, pairs, n, rng))


def _tournament(population: Population, n: int, rng: np.random.Generator) -> IntArray:
    """Draw winners ``(n,)`` of binary tournaments by rank, then by crowding distance."""
    rank = np.asarray(population.get("rank"), dtype=np.float64)
    crowding = np.asarray(population.get("crowding"), dtype=np.float64)
    pairs = rng.integers(len(population), size=(n, 2))
    first, second = pairs[:, 0], pairs[:, 1]
    better = (rank[second] < rank[first]) | ((rank[second] == rank[first]) & (crowding[second] > crowding[first]))
    return np.where(better, second, first)
