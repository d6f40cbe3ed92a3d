"""The leaf sampler that maximises expected hypervolume improvement inside the region."""

from __future__ import annotations

import math

import numpy as np

from search._arrays import IntArray
from search._context import Context
from search.bayes import MOST_COMPUTED, greedy_batch, make_pool, whole_pool
from search.lamoo._region import Region
from search.lamoo._scalar_sampler import ScalarSampler
from search.models import Model

__all__ = ["EHVISampler"]

_CHOICES = 256


class EHVISampler:
    """Maximises expected hypervolume improvement in the region: exact costs, a model of the expensive objective.

    With more than `MOST_COMPUTED` costs, each batch improves one random trade-off between the objectives instead
    (`ScalarSampler`). With several expensive objectives each has a categorical Gaussian process, and BoTorch's
    qLogNEHVI takes the place of the closed form (slower, and confined to the region whatever the hedge).

    Args:
        model: Model of the expensive objective.
        hedge: Share of a batch, rounded down, that is chosen from the whole space after the rest was chosen
            inside the region. 0 confines every proposal to the region; above 0 a wrong partition cannot
            keep the search from good architectures elsewhere.
    """

    def __init__(self, model: Model, hedge: float = 0.0) -> None:
        self.model = model
        self.hedge = hedge
        self.name = "qehvi"

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Choose the greedy batch, inside the region first; see `LeafSampler.sample`."""
        if len(context.problem.expensive) > 1:
            return self._sample_for_several(region, context, n, rng)
        if context.points.shape[1] - 1 > MOST_COMPUTED:
            return ScalarSampler(self.model, self.hedge).sample(region, context, n, rng)
        outside = math.floor(self.hedge * n)
        codes, rows = region.pool, region.rows
        if outside:
            codes, rows = whole_pool(context, rng)
        if rows is None:
            codes = context.admit(np.concatenate([region.pool, codes]))
        pool = make_pool(context, codes, rows)
        return greedy_batch(context, self.model, pool, n, region.contains, n - outside)

    @staticmethod
    def _sample_for_several(region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Choose by BoTorch's qLogNEHVI over a sample of the pool, for more than one expensive objective."""
        from search.bayes._botorch import log_nehvi_batch

        if len(context.codes) < 2 or len(region.pool) == 0:
            return region.pool[:n]
        choices = region.pool[np.sort(rng.permutation(len(region.pool))[:_CHOICES])]
        return log_nehvi_batch(context, choices, n, rng, exact_costs=True, log_error=True)
