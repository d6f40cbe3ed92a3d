"""The interface of models: fit once, predict a pool, condition on the candidates already chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from search._arrays import FloatArray, IntArray
from search._domain import Domain

__all__ = ["Fitted", "Inputs", "Model", "Posterior"]


@dataclass(frozen=True)
class Inputs:
    """Architectures as models see them.

    Attributes:
        encodings: The domain's features ``(n, f)``, or one-hot codes where it has none.
        one_hot: One-hot codes ``(n, h)``.
    """

    encodings: FloatArray
    one_hot: FloatArray

    @classmethod
    def of(cls, codes: IntArray, domain: Domain) -> Inputs:
        """Describe rows of codes ``(n, d)``."""
        return cls(domain.encode(codes), domain.one_hot(codes))


class Posterior(Protocol):
    """Gaussian marginals over a fixed pool of candidates."""

    @property
    def mean(self) -> FloatArray:
        """Posterior means ``(p,)``."""
        ...

    @property
    def std(self) -> FloatArray:
        """Posterior standard deviations ``(p,)``, positive."""
        ...

    def condition(self, chosen: int) -> None:
        """Update the marginals as if the mean of candidate `chosen` had been observed."""
        ...


class Fitted(Protocol):
    """A fitted model."""

    def posterior(self, pool: Inputs) -> Posterior:
        """Predict the candidates `pool` (p rows)."""
        ...


class Model(Protocol):
    """A regression model with uncertainty; fitting and predicting are functions of the arguments alone.

    Attributes:
        name: Name of the model.
    """

    name: str

    def fit(self, train: Inputs, targets: FloatArray) -> Fitted:
        """Fit the model.

        Args:
            train: Architectures (n rows), n >= 1.
            targets: Their values ``(n,)``.
        """
        ...
