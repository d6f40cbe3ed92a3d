"""Expected hypervolume improvement over the whole space: LaMOO's model and acquisition without its tree."""

from __future__ import annotations

import numpy as np

from search._context import Context
from search.bayes import greedy_batch, make_pool, whole_pool
from search.models import Model
from search.strategies._base import Suggestion

__all__ = ["EHVISearch"]

_CHOICES = 256


class EHVISearch:
    """Known objectives exact, the expensive one modelled, candidates from the whole space."""

    def __init__(self, model: Model, name: str = "qehvi") -> None:
        self.model = model
        self.name = name

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """The greedy batch of the whole pool."""
        if len(context.problem.expensive) > 1:
            return self._several(context, n, rng)
        pool = make_pool(context, *whole_pool(context, rng))
        return Suggestion(greedy_batch(context, self.model, pool, n))

    @staticmethod
    def _several(context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """More than one expensive objective: BoTorch's qLogNEHVI."""
        from search.bayes._botorch import log_nehvi_batch

        codes, _ = whole_pool(context, rng)
        if len(context.codes) < 2 or len(codes) == 0:
            return Suggestion(codes[:n])
        choices = codes[np.sort(rng.permutation(len(codes))[:_CHOICES])]
        return Suggestion(log_nehvi_batch(context, choices, n, rng, known_exact=True, log_error=True))
