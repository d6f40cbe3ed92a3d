"""A model that learns from low-fidelity evaluations too."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray
from search.models._base import Fitted, Inputs, Model, Posterior

__all__ = ["TwoFidelityModel"]


class TwoFidelityModel:
    """Full target = level + slope * low-fidelity target + a remainder that the model learns.

    The autoregressive scheme of Kennedy and O'Hagan (2000, Biometrika 87, equation 1). A model of the low-fidelity
    targets predicts those of architectures without a low-fidelity evaluation, and its uncertainty is added there. The
    slope comes from least squares over the full evaluations, and is never negative.

    Args:
        model: Learns both the low-fidelity targets and the remainder.
        inputs: Architectures that were evaluated at low fidelity (k rows), k >= 1.
        targets: Their low-fidelity targets ``(k,)``.

    Attributes:
        name: Name of the model.
    """

    def __init__(self, model: Model, inputs: Inputs, targets: FloatArray) -> None:
        self.name = f"{model.name}+low-fidelity"
        self._model, self._inputs = model, inputs
        self._targets = (targets - targets.mean()) / (float(targets.std()) or 1.0)
        self._observed = dict(zip(map(_key, inputs.one_hot), self._targets.tolist(), strict=True))

    def fit(self, train: Inputs, targets: FloatArray) -> Fitted:
        """Fit the low-fidelity model, the line between both targets and the remainder; see `Model.fit`."""
        low = self._model.fit(self._inputs, self._targets)
        column, _ = self.low_fidelity_column(low.posterior(train), train)
        # slope = max(0, cov(low, full) / var(low)); 0 where one low-fidelity value says nothing.
        slope = 0.0
        if len(column) > 1 and column.var() > 0:
            slope = max(0.0, float(np.cov(column, targets)[0, 1] / column.var(ddof=1)))
        remainder = self._model.fit(train, targets - slope * column)
        return _FittedTwoFidelity(self, low, remainder, slope)

    def low_fidelity_column(self, posterior: Posterior, rows: Inputs) -> tuple[FloatArray, FloatArray]:
        """Collect low-fidelity targets ``(p,)``, observed or predicted, and their standard deviations ``(p,)``.

        Args:
            posterior: Predictions of the low-fidelity targets (p candidates).
            rows: The candidates.
        """
        observed = [self._observed.get(_key(row)) for row in rows.one_hot]
        seen = np.array([value is not None for value in observed])
        values = np.array([0.0 if value is None else value for value in observed])
        return np.where(seen, values, posterior.mean), np.where(seen, 0.0, posterior.std)


class _FittedTwoFidelity:
    def __init__(self, model: TwoFidelityModel, low: Fitted, remainder: Fitted, slope: float) -> None:
        self._model, self._low, self._remainder, self._slope = model, low, remainder, slope

    def posterior(self, pool: Inputs) -> Posterior:
        """Predict `pool`; see `Fitted.posterior`."""
        column, std = self._model.low_fidelity_column(self._low.posterior(pool), pool)
        return _SumPosterior(self._remainder.posterior(pool), self._slope * column, self._slope * std)


class _SumPosterior:
    """The remainder's marginals, shifted by a mean and widened by an independent standard deviation."""

    def __init__(self, remainder: Posterior, shift: FloatArray, std: FloatArray) -> None:
        self._remainder, self._shift, self._std = remainder, shift, std

    @property
    def mean(self) -> FloatArray:
        """Posterior means ``(p,)`` of the full targets."""
        return self._remainder.mean + self._shift

    @property
    def std(self) -> FloatArray:
        """Posterior standard deviations ``(p,)`` of the full targets."""
        return np.asarray(np.hypot(self._remainder.std, self._std))

    def condition(self, chosen: int) -> None:
        """Condition the remainder on its mean; the low-fidelity value stays as uncertain as before."""
        self._remainder.condition(chosen)


def _key(row: FloatArray) -> bytes:
    return np.asarray(row, dtype=np.int8).tobytes()
