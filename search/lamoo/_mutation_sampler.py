"""The inner sampler that mutates the Pareto archive inside the region."""

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
    """Mutations of the members of the Pareto archive that stay inside the region.

    Parents are the archive's members inside the region, or where it has none the region's own
    non-dominated samples. When their neighbourhoods are used up, the region's pool fills the batch.
    """

    name = "mutation"

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Mutates random parents and keeps what lies inside the region."""
        members = region.node.members
        elite = members[context.archive[members]]
        if len(elite) == 0:
            elite = members[nondominated(context.points[members])]
        found = np.empty((0, context.codes.shape[1]), dtype=np.int64)
        for _ in range(_ROUNDS):
            fresh = mutants(context, context.codes[elite], 4 * n, rng)
            found = unique_rows(np.concatenate([found, fresh[region.contains(fresh)]]))
            if len(found) >= n:
                return found[:n]
        extra = RandomSampler().sample(region, context, n + len(found), rng)
        return unique_rows(np.concatenate([found, extra]))[:n]
