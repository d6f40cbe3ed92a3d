"""The leaf sampler that runs a categorical CMA-ES inside the region."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray, IntArray, unique_rows
from search._context import Context
from search._pareto import dominance_numbers
from search.lamoo._random_sampler import RandomSampler
from search.lamoo._region import Region
from search.strategies._cmaes import CategoricalDistribution

__all__ = ["CMASampler"]

_ROUNDS = 30
_DRAWS = 32


class CMASampler:
    """Categorical CMA-ES: starts at the frequencies of the region's better half and adapts to the region's samples.

    Draws outside the region are dropped. Fitness is the dominance number over all samples, to be minimised.
    """

    name = "cmaes"

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Draw until enough candidates lie inside the region; the region's pool fills the rest."""
        members = region.node.members
        fitness = dominance_numbers(context.points)[members]
        better = members[np.argsort(fitness, kind="stable")[: max(1, len(members) // 2)]]
        start = _frequencies(context, context.codes[better])
        distribution = CategoricalDistribution(context.problem.domain, int(rng.integers(2**31)), start)
        distribution.adapt(context.codes[members], fitness)
        chosen = context.codes[:0]
        for _ in range(_ROUNDS):
            fresh = context.admit(distribution.sample(_DRAWS))
            if len(fresh):
                chosen = unique_rows(np.concatenate([chosen, fresh[region.contains(fresh)]]))
            if len(chosen) >= n:
                return chosen[:n]
        extra = RandomSampler().sample(region, context, n + len(chosen), rng)
        return unique_rows(np.concatenate([chosen, extra]))[:n]


def _frequencies(context: Context, codes: IntArray) -> FloatArray:
    """Compute smoothed value frequencies ``(f, largest cardinality)`` of the f free choices, zero-padded."""
    cards = np.asarray(context.problem.domain.cardinalities)
    free = np.flatnonzero(cards > 1)
    table = np.zeros((len(free), int(cards.max())))
    for k, choice in enumerate(free):
        counts = np.bincount(codes[:, choice], minlength=cards[choice]) + 1.0
        table[k, : cards[choice]] = counts / counts.sum()
    return table
