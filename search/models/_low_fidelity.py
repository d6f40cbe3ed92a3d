"""A model that also listens to cheap evaluations."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray
from search.models._base import Fitted, Inputs, Model, Posterior

__all__ = ["TwoFidelityModel"]


class TwoFidelityModel:
    """Full target = level + slope * cheap target + a remainder that the model learns.

    The autoregressive scheme of Kennedy and O'Hagan (2000, Biometrika 87, equation 1): cheap targets have a model of
    their own, which fills in where there was no cheap evaluation and then adds its uncertainty. The slope is that
    of least squares over the full evaluations, and never negative.

    Args:
        model: Learns both the cheap targets and the remainder.
        inputs: Architectures that were evaluated cheaply (k rows), k >= 1.
        targets: Their cheap targets (k,).
    """

    def __init__(self, model: Model, inputs: Inputs, targets: FloatArray) -> None:
        self.name = f"{model.name}+cheap"
        self._model, self._inputs = model, inputs
        self._targets = (targets - targets.mean()) / (float(targets.std()) or 1.0)
        self._known = dict(zip(map(_key, inputs.one_hot), self._targets.tolist(), strict=True))

    def fit(self, train: Inputs, targets: FloatArray) -> Fitted:
        """Fits the cheap model, the line between both targets and the remainder; see `Model.fit`."""
        cheap = self._model.fit(self._inputs, self._targets)
        line, _ = self._column(cheap.posterior(train), train)
        slope = 0.0
        if len(line) > 1 and line.var() > 0:
            slope = max(0.0, float(np.cov(line, targets)[0, 1] / line.var(ddof=1)))
        remainder = self._model.fit(train, targets - slope * line)
        return _FittedCheap(self, cheap, remainder, slope)

    def _column(self, cheap: Posterior, rows: Inputs) -> tuple[FloatArray, FloatArray]:
        """Cheap targets (p,), observed or expected, and their standard deviations (p,)."""
        found = [self._known.get(_key(row)) for row in rows.one_hot]
        seen = np.array([value is not None for value in found])
        values = np.array([0.0 if value is None else value for value in found])
        return np.where(seen, values, cheap.mean), np.where(seen, 0.0, cheap.std)


class _FittedCheap:
    def __init__(self, model: TwoFidelityModel, cheap: Fitted, remainder: Fitted, slope: float) -> None:
        self._model, self._cheap, self._remainder, self._slope = model, cheap, remainder, slope

    def posterior(self, pool: Inputs) -> Posterior:
        line, std = self._model._column(self._cheap.posterior(pool), pool)
        return _SumPosterior(self._remainder.posterior(pool), self._slope * line, self._slope * std)


class _SumPosterior:
    """The remainder's marginals, shifted and widened."""

    def __init__(self, remainder: Posterior, shift: FloatArray, std: FloatArray) -> None:
        self._remainder, self._shift, self._std = remainder, shift, std

    @property
    def mean(self) -> FloatArray:
        return self._remainder.mean + self._shift

    @property
    def std(self) -> FloatArray:
        return np.asarray(np.hypot(self._remainder.std, self._std))

    def condition(self, chosen: int) -> None:
        """As if the full evaluation had come out at its mean; what the cheap one would have said stays open."""
        self._remainder.condition(chosen)


def _key(row: FloatArray) -> bytes:
    return np.asarray(row, dtype=np.int8).tobytes()
