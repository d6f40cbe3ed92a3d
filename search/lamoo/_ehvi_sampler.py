"""The inner sampler that maximises expected hypervolume improvement inside the region."""

from __future__ import annotations

import math

import numpy as np

from search._arrays import IntArray
from search._context import Context
from search.bayes import greedy_batch, make_pool, whole_pool
from search.lamoo._region import Region
from search.models import Model

__all__ = ["EHVISampler"]


class EHVISampler:
    """Known objectives exact, the expensive one modelled, the acquisition maximised inside the region.

    Args:
        model: Model of the expensive objective.
        hedge: Share of a batch, rounded down, that is chosen from the whole space after the rest was chosen
            inside the region. 0 confines every proposal to the region; above 0 a wrong partition cannot
            starve the search, as the model is heard outside it too.
    """

    def __init__(self, model: Model, hedge: float = 0.0) -> None:
        self.model = model
        self.hedge = hedge
        self.name = "qehvi"

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """The greedy batch, proposals inside the region first."""
        outside = math.floor(self.hedge * n)
        pool = make_pool(context, region.pool, region.rows)
        if outside == 0:
            return pool.codes[greedy_batch(context, self.model, pool, n)]
        codes, rows = whole_pool(context, rng)
        if rows is None:
            codes = context.admit(np.concatenate([region.pool, codes]))
        pool = make_pool(context, codes, rows)
        inside = region.contains(codes) if rows is None else np.isin(rows, region.rows)
        return pool.codes[greedy_batch(context, self.model, pool, n, inside, n - outside)]
