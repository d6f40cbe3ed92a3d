"""The interface of the leaf samplers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from search._arrays import IntArray
from search._context import Context
from search.lamoo._region import Region

__all__ = ["LeafSampler"]


class LeafSampler(Protocol):
    """Chooses the architectures of a batch inside a region, the leaf of a partition tree.

    Attributes:
        name: Name of the sampler, for reports.
    """

    name: str

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Choose candidates.

        Args:
            region: The region.
            context: The study's view.
            n: Number of candidates wanted.
            rng: Random generator of the batch.

        Returns:
            Up to `n` untried candidates ``(k, d)`` inside the region, best first.
        """
        ...
