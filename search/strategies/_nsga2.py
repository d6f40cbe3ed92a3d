"""NSGA-II with pymoo's selection, crossover and survival, on integer codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from search._arrays import IntArray, unique_rows
from search._context import Context
from search.strategies._base import Suggestion

if TYPE_CHECKING:
    from pymoo.core.population import Population

__all__ = ["NSGA2"]

_ROUNDS = 50


class NSGA2:
    """Steady-state NSGA-II: the population takes in each batch as it comes.

    Survival by non-dominated rank and crowding, binary tournaments, uniform crossover, and a random
    reset of each choice with probability 1/d. The population is folded anew from the trials of each batch
    (survival draws no random numbers but for ties, which are seeded by the batch), so nothing has to be
    kept between calls. Duplicates and constraints are dealt with by drawing offspring until enough are
    admissible.

    Args:
        population: Population size.
    """

    name = "nsga2"

    def __init__(self, population: int = 20) -> None:
        self.population = population

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Offspring of the current population."""
        problem = _pymoo_problem(context)
        return Suggestion(self._offspring(context, problem, self._survivors(context, problem), n, rng))

    def _survivors(self, context: Context, problem: Any) -> Population:
        """The population after all batches."""
        from pymoo.core.population import Population
        from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

        survival = RankAndCrowding()
        population = Population.empty()
        for batch in np.unique(context.batches):
            rows = context.batches == batch
            arrived = Population.new(X=context.codes[rows], F=-context.points[rows])
            merged = Population.merge(population, arrived)
            ties = np.random.default_rng(int(batch))
            population = survival.do(problem, merged, n_survive=self.population, random_state=ties)
        return population

    def _offspring(
        self, context: Context, problem: Any, parents: Population, n: int, rng: np.random.Generator
    ) -> IntArray:
        from pymoo.operators.crossover.ux import UniformCrossover

        domain = context.problem.domain
        cards = np.asarray(domain.cardinalities)
        rate = 1.0 / domain.dimension
        found = np.empty((0, domain.dimension), dtype=np.int64)
        for attempt in range(_ROUNDS):
            pairs = _tournament(parents, 2 * n, rng).reshape(n, 2)
            children = UniformCrossover(prob=0.9).do(problem, parents, pairs, random_state=rng)
            rows = np.asarray(children.get("X"), dtype=np.int64)
            reset = rng.random(rows.shape) < min(1.0, rate * (1 + attempt / 5))
            rows = np.where(reset, rng.integers(0, cards, size=rows.shape), rows)
            found = unique_rows(np.concatenate([found, context.admit(rows)]))
            if len(found) >= n:
                break
        return found[:n]


def _tournament(population: Population, n: int, rng: np.random.Generator) -> IntArray:
    """Winners (n,) of binary tournaments by rank, then by crowding distance."""
    rank = np.asarray(population.get("rank"), dtype=np.float64)
    crowding = np.asarray(population.get("crowding"), dtype=np.float64)
    pairs = rng.integers(len(population), size=(n, 2))
    first, second = pairs[:, 0], pairs[:, 1]
    better = (rank[second] < rank[first]) | ((rank[second] == rank[first]) & (crowding[second] > crowding[first]))
    return np.where(better, second, first)


def _pymoo_problem(context: Context) -> Any:
    from pymoo.core.problem import Problem

    cards = np.asarray(context.problem.domain.cardinalities)
    return Problem(
        n_var=len(cards),
        n_obj=len(context.problem.objectives),
        xl=np.zeros(len(cards)),
        xu=cards - 1,
        vtype=int,
    )
