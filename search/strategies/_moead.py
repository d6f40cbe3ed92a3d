"""MOEA/D with pymoo's decompositions (Zhang and Li 2007, doi 10.1109/TEVC.2007.892759)."""

from __future__ import annotations

from typing import Any

import numpy as np

from search._arrays import FloatArray, IntArray
from search._context import Context
from search._options import StrategyOption
from search.strategies._base import NamedStrategy, Suggestion
from search.strategies._genetic import continues, offspring
from search.strategies._nsga3 import reference_directions

__all__ = ["MOEAD"]

_IDEAL_MARGIN = 1e-3


class MOEAD(NamedStrategy):
    """Decomposition into scalar problems, one member each; mating inside neighbourhoods of directions.

    A new trial goes to the scalar problem that it improves most (global replacement) and to at most one
    neighbour of it. Tchebycheff decomposition for two objectives, PBI for more.

    Args:
        directions: Most scalar problems.
        neighbours: Size of a neighbourhood.
        inside: Probability that mates come from one neighbourhood.
    """

    name = "moead"
    packages = ("pymoo",)
    extra = "compare"
    options = (
        StrategyOption("directions", 20, "most scalar problems", minimum=2, maximum=1000),
        StrategyOption("neighbours", 6, "size of a neighbourhood of scalar problems", minimum=1, maximum=1000),
        StrategyOption("inside", 0.9, "probability that mates come from one neighbourhood", minimum=0.0, maximum=1.0),
    )

    def __init__(self, directions: int = 20, neighbours: int = 6, inside: float = 0.9) -> None:
        self.directions = directions
        self.neighbours = neighbours
        self.inside = inside
        self._latest: tuple[Context, IntArray] | None = None

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest offspring of random neighbourhoods."""
        from pymoo.core.population import Population

        weights = reference_directions(len(context.problem.objectives), self.directions)
        distances = np.linalg.norm(weights[:, None] - weights[None], axis=2)
        near = np.argsort(distances, axis=1, kind="stable")[:, : self.neighbours]
        members = self._members(context, weights, near)
        population = Population.new(X=context.codes[members], F=-context.points[members])

        def pairs(k: int) -> IntArray:
            """Draw pairs of parents ``(k, 2)``."""
            focus = rng.integers(len(weights), size=k)
            local = near[focus[:, None], rng.integers(near.shape[1], size=(k, 2))]
            anywhere = rng.integers(len(weights), size=(k, 2))
            return np.where(rng.random(k)[:, None] < self.inside, local, anywhere)

        return Suggestion(offspring(context, population, pairs, n, rng))

    def _members(self, context: Context, weights: FloatArray, near: IntArray) -> IntArray:
        """Find the trial that holds each scalar problem, indices ``(k,)``, after all trials are added one by one.

        Where the trials begin with those of the last call, only later ones are added to its result.
        """
        costs, scalar = -context.points, _decomposition(context.points.shape[1])
        members, start = np.zeros(len(weights), dtype=np.int64), 1
        if self._latest is not None and continues(context, self._latest[0]):
            members, start = self._latest[1].copy(), len(self._latest[0].codes)
        ideals = np.minimum.accumulate(costs, axis=0) - _IDEAL_MARGIN
        for new in range(start, len(costs)):
            current = scalar.do(costs[members], weights=weights, ideal_point=ideals[new], _type="one_to_one")
            offered = scalar.do(costs[new], weights=weights, ideal_point=ideals[new], _type="one_to_many")
            gain = np.ravel(current) - np.ravel(offered)
            best = int(np.argmax(gain))
            around = near[best][gain[near[best]] > 0][:2]
            members[around] = new
        self._latest = context, members.copy()
        return members


def _decomposition(objectives: int) -> Any:
    from pymoo.decomposition.pbi import PBI
    from pymoo.decomposition.tchebicheff import Tchebicheff

    return Tchebicheff() if objectives <= 2 else PBI()
