"""Expected hypervolume improvement over the whole space: LaMOO's model and acquisition without its tree."""

from __future__ import annotations

import numpy as np

from search._context import Context
from search.bayes import greedy_batch, make_pool, whole_pool
from search.models import Model
from search.strategies._base import Suggestion

__all__ = ["EHVISearch"]


class EHVISearch:
    """Known objectives exact, the expensive one modelled, candidates from the whole space."""

    def __init__(self, model: Model, name: str = "qehvi") -> None:
        self.model = model
        self.name = name

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """The greedy batch of the whole pool."""
        pool = make_pool(context, *whole_pool(context, rng))
        return Suggestion(pool.codes[greedy_batch(context, self.model, pool, n)])
