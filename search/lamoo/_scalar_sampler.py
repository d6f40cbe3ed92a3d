"""The leaf sampler that models one random trade-off between the objectives at a time."""

from __future__ import annotations

import numpy as np

from search._arrays import IntArray
from search._context import Context
from search.bayes import random_weights, scalar_batch, whole_pool
from search.lamoo._region import Region
from search.models import Model

__all__ = ["ScalarSampler"]


class ScalarSampler:
    """Maximises the expected improvement of a randomly weighted Chebyshev distance.

    This is ParEGO (Knowles 2006, doi 10.1109/TEVC.2005.851274). Each call draws weights, models the
    distance of the samples to the best value seen in every objective, and proposes candidates that are expected to
    shorten it. Each call has one model for any number of objectives, and its inputs are the domain's features.

    Args:
        model: Model of the distance.
        hedge: Probability that a call proposes from the whole space instead of the region.
    """

    name = "scalar"

    def __init__(self, model: Model, hedge: float = 0.0) -> None:
        self.model, self.hedge = model, hedge

    def sample(self, region: Region, context: Context, n: int, rng: np.random.Generator) -> IntArray:
        """Choose the greedy batch under one draw of weights; see `LeafSampler.sample`."""
        weights = random_weights(1, context.points.shape[1], rng)[0]
        codes = whole_pool(context, rng)[0] if rng.random() < self.hedge else region.pool
        return scalar_batch(context, self.model, codes, weights, n)
