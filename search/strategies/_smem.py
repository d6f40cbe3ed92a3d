"""SMEM-NAS: evolution of two populations on a surrogate that compares architectures in pairs (arXiv 2407.15600)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from search._arrays import IntArray, first_places, unique_rows
from search._context import Context
from search._options import OptionValue, StrategyOption
from search._pareto import added_volumes, nondominated
from search.strategies._base import NamedStrategy, Suggestion
from search.strategies._populations import children, split_populations
from search.strategies._surrogate import SURROGATES, Surrogate

__all__ = ["SMEM"]


class SMEM(NamedStrategy):
    """Evolves candidates by predicted rank and known costs, and evaluates a few of them.

    Before each batch a surrogate is fitted to the trials. It learns from comparisons which of two architectures is
    better in an objective without a cost function; the other objectives are computed. Then an evolution starts from
    the trials. In each generation the first front is the main population, and rows of the rest with high crowding
    distance are the vice population; one parent comes from the main population, the other from either. The batch is
    chosen from all candidates that the evolution has visited: one after the other, each with the largest predicted
    improvement of the hypervolume.

    The paper states the populations and the classifier of pairs. Ours are the ranking model (`fit_ranking`), the
    sizes, and the choice of the batch.

    Args:
        surrogate: What predicts the objectives without a cost function.
        vice_population: Whether there is a vice population.
        population: Most members of each population, and number of children in a generation.
        generations: Number of generations before each batch.
    """

    name = "smem"
    options = (
        StrategyOption("surrogate", SURROGATES[0], "what predicts expensive objectives", choices=SURROGATES),
        StrategyOption("vice_population", True, "whether parents also come from a second, diverse population"),
        StrategyOption(
            "population", 40, "most members of each population, and children a generation", minimum=2, maximum=1000
        ),
        StrategyOption("generations", 20, "generations before each batch", minimum=1, maximum=1000),
    )

    variants: ClassVar[Mapping[str, Mapping[str, OptionValue]]] = {
        "smem-single": {"vice_population": False},
        "smem-regression": {"surrogate": "regression"},
        "smem-svc": {"surrogate": "svc"},
    }

    def __init__(
        self,
        surrogate: str = SURROGATES[0],
        vice_population: bool = True,
        population: int = 40,
        generations: int = 20,
    ) -> None:
        self.surrogate = surrogate
        self.vice_population = vice_population
        self.population = population
        self.generations = generations

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest the batch with the largest predicted hypervolume among the visited candidates."""
        surrogate = Surrogate(context, self.surrogate)
        visited = self._evolve(context, surrogate, rng)
        return Suggestion(_choose(context, surrogate, context.admit(visited), n))

    def _evolve(self, context: Context, surrogate: Surrogate, rng: np.random.Generator) -> IntArray:
        """Evolve the trials and some random candidates; return every row that was visited ``(v, d)``."""
        domain = context.problem.domain
        rows = context.candidates.admit(np.concatenate([context.codes, context.random(self.population, rng)]))
        visited = [rows]
        points = surrogate.points(rows)
        for _ in range(self.generations):
            if len(rows) == 0:
                break
            populations = split_populations(points, self.population, self.vice_population)
            born = children(domain, rows[populations.pairs(self.population, rng)], rng)
            born = context.candidates.admit(born)
            visited.append(born)
            kept = populations.everyone
            joined = np.concatenate([rows[kept], born])
            places = first_places(joined)
            rows, points = joined[places], np.concatenate([points[kept], surrogate.points(born)])[places]
        return unique_rows(np.concatenate(visited))


def _choose(context: Context, surrogate: Surrogate, codes: IntArray, n: int) -> IntArray:
    """Choose candidates one after the other, each taken for evaluated at its predicted point.

    The next one adds most to the hypervolume of the Pareto archive; where none adds anything, it is the next one of the
    best predicted fronts.

    Args:
        context: The study's view.
        surrogate: Predicts the objectives.
        codes: Untried candidates ``(p, d)``.
        n: Number of candidates wanted.

    Returns:
        Codes ``(k, d)``, k <= n.
    """
    points = surrogate.values(codes)
    archive = context.points[context.archive]
    free = np.ones(len(codes), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(n, len(codes)):
        places = np.flatnonzero(free)
        front = places[nondominated(points[places])]
        best = int(front[int(np.argmax(added_volumes(archive, points[front], context.reference)))])
        chosen.append(best)
        free[best] = False
        archive = np.vstack([archive, points[best]])
    return codes[np.array(chosen, dtype=np.int64)]
