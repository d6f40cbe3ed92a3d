"""The interface of the inner samplers, and the two that need no model."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from search._arrays import IntArray, unique_rows
from search._context import Context
from search._pareto import nondominated
from search.lamoo._region import Region
from search.strategies._mutation import mutants

__all__ = ["MutationSampler", "RandomSampler", "Sampler"]

_ROUNDS = 6


class Sampler(Protocol):
    """Chooses the architectures of a batch inside a region."""

    name: str

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Up to `n` untried candidates (k, d), all inside `region`, best first."""
        ...


class RandomSampler:
    """Uniformly random candidates of the region; mutations of its samples only when it is too narrow."""

    name = "random"

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Draws without replacement, uniform members of the region first."""
        order = np.concatenate(
            [
                rng.permutation(region.uniform),
                region.uniform + rng.permutation(len(region.pool) - region.uniform),
            ]
        )
        return region.pool[order[:n].astype(np.int64)]


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
