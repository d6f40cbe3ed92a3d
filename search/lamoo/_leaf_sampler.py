"""The interface of the inner samplers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from search._arrays import IntArray
from search._context import Context
from search.lamoo._region import Region

__all__ = ["LeafSampler"]


class LeafSampler(Protocol):
    """Chooses the architectures of a batch inside a region."""

    name: str

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Up to `n` untried candidates (k, d) inside `region`, best first."""
        ...
