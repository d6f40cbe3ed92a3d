"""The leaf sampler that draws at random."""

from __future__ import annotations

import numpy as np

from search._arrays import IntArray
from search._context import Context
from search.lamoo._region import Region

__all__ = ["RandomSampler"]


class RandomSampler:
    """Draws uniformly random candidates of the region; mutations of its samples only when it is too narrow."""

    name = "random"

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Draw without replacement, uniform members of the region first; see `LeafSampler.sample`."""
        order = np.concatenate(
            [
                rng.permutation(region.uniform),
                region.uniform + rng.permutation(len(region.pool) - region.uniform),
            ]
        )
        return region.pool[order[:n].astype(np.int64)]
