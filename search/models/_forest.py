"""A random forest as an accuracy model: good at the top of a skewed response, blunt in its uncertainty."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray
from search.models._base import Inputs, Posterior

__all__ = ["Forest"]

_FLOOR = 1e-6


class _FixedPosterior:
    """Marginals that what is chosen does not change."""

    def __init__(self, mean: FloatArray, std: FloatArray) -> None:
        self.mean = mean
        self.std = std

    def condition(self, chosen: int) -> None:
        """Keeps the marginals."""


class Forest:
    """Random forest on the encodings; the spread of the trees is the standard deviation.

    Args:
        trees: Number of trees.
        leaf: Least number of samples in a leaf.
    """

    name = "forest"

    def __init__(self, trees: int = 64, leaf: int = 2) -> None:
        self.trees = trees
        self.leaf = leaf

    def posterior(self, train: Inputs, targets: FloatArray, pool: Inputs) -> Posterior:
        """Fits (with a fixed seed) and predicts; see `Model.posterior`."""
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(self.trees, min_samples_leaf=self.leaf, random_state=0, n_jobs=1)
        forest.fit(train.encodings, targets)
        single = pool.encodings.astype(np.float32)
        each = np.stack([tree.predict(single, check_input=False) for tree in forest.estimators_])
        return _FixedPosterior(each.mean(axis=0), np.maximum(each.std(axis=0), _FLOOR))
