"""Several models as one, by moment matching of their equal-weight mixture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search._arrays import FloatArray
from search.models._base import Fitted, Inputs, Model, Posterior

__all__ = ["Ensemble"]


class _MixturePosterior:
    def __init__(self, parts: Sequence[Posterior]) -> None:
        self._parts = parts
        self._update()

    def _update(self) -> None:
        """Match the moments: mean of the means; variance = mean of the variances + variance of the means."""
        means = np.stack([part.mean for part in self._parts])
        variances = np.stack([part.std for part in self._parts]) ** 2
        self.mean: FloatArray = means.mean(axis=0)
        self.std: FloatArray = np.sqrt(variances.mean(axis=0) + means.var(axis=0))

    def condition(self, chosen: int) -> None:
        """Condition every member on its own mean of candidate `chosen`."""
        for part in self._parts:
            part.condition(chosen)
        self._update()


class _FittedEnsemble:
    def __init__(self, parts: Sequence[Fitted]) -> None:
        self._parts = parts

    def posterior(self, pool: Inputs) -> Posterior:
        """Predict `pool`; see `Fitted.posterior`."""
        return _MixturePosterior([part.posterior(pool) for part in self._parts])


class Ensemble:
    """Mean of the members' means; variance of the mixture, so disagreement counts as uncertainty.

    Args:
        members: The models.

    Attributes:
        name: Names of the members.
    """

    def __init__(self, *members: Model) -> None:
        self.members = members
        self.name = "+".join(member.name for member in members)

    def fit(self, train: Inputs, targets: FloatArray) -> Fitted:
        """Fit every member; see `Model.fit`."""
        return _FittedEnsemble([member.fit(train, targets) for member in self.members])
