"""A random forest as a model: good at the top of a skewed response, coarse in its uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np

from search._arrays import FloatArray
from search.models._base import Fitted, Inputs, Posterior

__all__ = ["Forest"]

_FLOOR = 1e-6


class _FixedPosterior:
    """Marginals that do not change with the candidates chosen."""

    def __init__(self, mean: FloatArray, std: FloatArray) -> None:
        self.mean = mean
        self.std = std

    def condition(self, chosen: int) -> None:
        """Keep the marginals."""


class _FittedForest:
    def __init__(self, forest: Any) -> None:
        self._forest = forest

    def posterior(self, pool: Inputs) -> Posterior:
        """Predict `pool`; see `Fitted.posterior`."""
        single = pool.encodings.astype(np.float32)
        each = np.stack([tree.predict(single, check_input=False) for tree in self._forest.estimators_])
        return _FixedPosterior(each.mean(axis=0), np.maximum(each.std(axis=0), _FLOOR))


class Forest:
    """Random forest on the encodings; the standard deviation over its trees is the uncertainty.

    Args:
        trees: Number of trees.
        leaf: Least number of samples in a leaf.

    Attributes:
        name: Name of the model.
    """

    name = "forest"

    def __init__(self, trees: int = 64, leaf: int = 2) -> None:
        self.trees = trees
        self.leaf = leaf

    def fit(self, train: Inputs, targets: FloatArray) -> Fitted:
        """Fit with a fixed seed; see `Model.fit`."""
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(self.trees, min_samples_leaf=self.leaf, random_state=0, n_jobs=1)
        return _FittedForest(forest.fit(train.encodings, targets))
