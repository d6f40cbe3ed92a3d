"""The leaf sampler that mutates the Pareto archive inside the region."""

from __future__ import annotations

import numpy as np

from search._arrays import IntArray, unique_rows
from search._context import Context
from search._pareto import nondominated
from search.lamoo._random_sampler import RandomSampler
from search.lamoo._region import Region
from search.strategies._mutation import mutants

__all__ = ["MutationSampler"]

_ROUNDS = 6


class MutationSampler:
    """Mutates members of the Pareto archive and keeps the mutations inside the region.

    Parents are the archive's members inside the region, or where it has none the region's own
    non-dominated samples. When their neighbourhoods are used up, the region's pool fills the batch.
    """

    name = "mutation"

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Mutate random parents and keep the mutations inside the region; see `LeafSampler.sample`."""
        members = region.node.members
        elite = members[context.archive[members]]
        if len(elite) == 0:
            elite = members[nondominated(context.points[members])]
        chosen = np.empty((0, context.codes.shape[1]), dtype=np.int64)
        for _ in range(_ROUNDS):
            fresh = mutants(context, context.codes[elite], 4 * n, rng)
            chosen = unique_rows(np.concatenate([chosen, fresh[region.contains(fresh)]]))
            if len(chosen) >= n:
                return chosen[:n]
        extra = RandomSampler().sample(region, context, n + len(chosen), rng)
        return unique_rows(np.concatenate([chosen, extra]))[:n]
