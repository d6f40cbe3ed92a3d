"""What the forms of a space add to budgeted costs, and how a network's costs follow from the sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import LATENCY, cost_named
from hwnas._costs._space_costs import CROSSINGS, SpaceCosts

FloatArray = npt.NDArray[np.float64]
SLACK = 1e-9
"""Relative rounding of sums; what is within it of a budget is decided by the real price."""
_BISECTIONS, _DOUBLINGS = 60, 20


@dataclass(frozen=True)
class Resources:
    """Budgeted costs as functions of sums and maxima over terms.

    Attributes:
        costs: The real costs.
        budgets: Upper bounds by `Cost.key`.
        sums: Names of the quantities that add up.
        maxima: Names of the quantities of which the largest counts.
    """

    costs: SpaceCosts
    budgets: Mapping[str, float]
    sums: tuple[str, ...]
    maxima: tuple[str, ...]

    @classmethod
    def of(cls, costs: SpaceCosts, budgets: Mapping[str, float]) -> Resources:
        """Return the resources of budgets by the names of costs (``"latency"``)."""
        keys = {cost_named(name, "budgets").key: float(upper) for name, upper in budgets.items()}
        names = [name for key in keys for name in costs.quantities(key) if name != CROSSINGS]
        maxima = tuple(name for name in names if costs.is_maximum(name))
        return cls(costs, keys, tuple(name for name in names if name not in maxima), maxima)

    @property
    def quantities(self) -> tuple[str, ...]:
        """Everything to know of a form."""
        return tuple(dict.fromkeys(name for key in self.budgets for name in self.costs.quantities(key)))

    def within(self, sums: FloatArray, maxima: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which networks keep all budgets, up to rounding.

        Args:
            sums: ``(n, len(self.sums))``.
            maxima: ``(n, len(self.maxima))``.
        """
        kept = np.ones(len(sums), dtype=np.bool_)
        for key, upper in self.budgets.items():
            kept &= self._cost(key, sums, maxima) <= upper * (1 + SLACK)
        return kept

    def capacities(self, least_sums: FloatArray, least_maxima: FloatArray) -> FloatArray:
        """Return how large each sum can be in a network that keeps the budgets, ``(len(self.sums),)``.

        Args:
            least_sums: What no network is below, ``(len(self.sums),)``.
            least_maxima: Likewise ``(len(self.maxima),)``.
        """
        result = np.full(len(self.sums), np.inf)
        for number, name in enumerate(self.sums):
            if name in self.budgets:
                result[number] = self.budgets[name]
        if LATENCY.key not in self.budgets or not np.isfinite(least_sums).all():
            return result
        number, upper = self.sums.index("op_ms"), self.budgets[LATENCY.key]
        sums = least_sums[None].copy()

        def fits(value: float) -> bool:
            """Return whether networks with such a sum of prices can keep the budget."""
            sums[0, number] = value
            return bool(self._cost(LATENCY.key, sums, least_maxima[None])[0] <= upper)

        low, step = float(least_sums[number]), upper
        for _ in range(_DOUBLINGS):  # a table's correction can make latencies shorter than the sums of prices
            if not fits(low + step):
                break
            step *= 2
        high = low + step
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        result[number] = high
        return result

    def real(self, codes: npt.NDArray[np.int64]) -> dict[str, FloatArray]:
        """Return the real costs of codes ``(n, d)`` by key, NaN for rows that are no networks."""
        return {key: self.costs.cost(key)(codes) for key in self.budgets}

    def _cost(self, key: str, sums: FloatArray, maxima: FloatArray) -> FloatArray:
        if key in self.sums:
            return sums[:, self.sums.index(key)]
        if key in self.maxima:
            return maxima[:, self.maxima.index(key)]
        assert self.costs.table is not None
        pricing = self.costs.table.pricing
        ops_ms, moved = sums[:, self.sums.index("op_ms")], list[FloatArray]()
        if pricing.cache is not None:
            moved = [sums[:, self.sums.index("touched_bytes")], maxima[:, self.maxima.index("activation_bytes")]]
        return pricing.correction.apply(pricing.unfitted_ms(ops_ms, *moved))


def stacked(values: Mapping[str, FloatArray], names: Sequence[str], forms: int) -> FloatArray:
    """Return some quantities of forms as rows ``(len(names), forms)``."""
    return np.stack([values[name] for name in names]) if names else np.zeros((0, forms))
