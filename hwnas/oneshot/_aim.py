"""`Aim`: which cost a one-shot training counts, and what it should come down to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hwnas._costs._cost import LATENCY
from hwnas.oneshot._distribution import Distribution
from hwnas.oneshot._expected import ExpectedCost


@dataclass(frozen=True)
class Aim:
    """What a training knows of costs.

    Attributes:
        expected: The cost that is followed.
        reference: What counts as 1, in the cost's unit: its budget, or the median of random networks.
        is_budget: Whether `reference` is a budget.
        counts: Whether the training counts the cost, or only records it.
        budgets: Hard budgets by the name of the cost, as the table prices it: ``{"latency": 4.0}``.
        digest: What tells the prices from others, for checkpoints.
    """

    expected: ExpectedCost
    reference: float
    is_budget: bool = False
    counts: bool = True
    budgets: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""

    def share(self, distribution: Distribution) -> Tensor:
        """Return the expected cost of a distribution as a share of the reference, with gradients."""
        return self.expected(distribution) / self.reference

    @property
    def is_of_device(self) -> bool:
        """Whether the latency counts, or is bounded: by the table of one device."""
        return (self.counts and self.expected.key == LATENCY.key) or LATENCY.name in self.budgets

    @property
    def facts(self) -> dict[str, Any]:
        """What the record holds of it."""
        return {
            "cost": self.expected.key,
            "reference": self.reference,
            "is_budget": self.is_budget,
            "counts": self.counts,
        }

    @property
    def identity(self) -> dict[str, object]:
        """What a checkpoint belongs to."""
        return {
            "cost": f"{self.expected.key} towards {self.reference!r}" if self.counts else "none",
            "budgets": repr(sorted(self.budgets.items())),
            "prices": self.digest,
        }
