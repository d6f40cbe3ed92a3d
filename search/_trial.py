"""Proposals and finished trials: plain, frozen, JSON-able."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search._errors import RestoreError

__all__ = ["Proposal", "Trial"]


@dataclass(frozen=True)
class Proposal:
    """An architecture that is to be evaluated.

    Attributes:
        number: Number of the trial it will become, counted from 0.
        codes: The canonical row.
        known_values: Values of the objectives with an exact cost function, by name, in their natural direction.
        low_fidelity: Whether it is to be evaluated at low fidelity.
        estimates: Estimates of the estimated objectives and constraints, by name, as the trials of earlier batches
            corrected them.
    """

    number: int
    codes: tuple[int, ...]
    known_values: Mapping[str, float] = field(default_factory=dict)
    low_fidelity: bool = False
    estimates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One finished trial: evaluated with all its objective values, or failed.

    Attributes:
        number: Number of the trial, counted from 0.
        codes: The canonical row that was evaluated.
        values: Values of objectives and of told constraints by name, in their natural direction; empty when the
            trial failed.
        failed: Why there are no values; `None` when the trial succeeded.
        low_fidelity: Whether it was evaluated at low fidelity.
        deviations: Standard deviations of the errors of told values, by the name of an estimated quantity, in its
            unit; a name is absent where the deviation is unknown.
    """

    number: int
    codes: tuple[int, ...]
    values: Mapping[str, float] = field(default_factory=dict)
    failed: str | None = None
    low_fidelity: bool = False
    deviations: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the trial has values."""
        return self.failed is None

    def to_json(self) -> dict[str, Any]:
        """Write the trial as plain JSON types; the key ``cheap`` marks a low-fidelity evaluation."""
        return {
            "number": self.number,
            "codes": list(self.codes),
            "values": dict(self.values),
            "failed": self.failed,
            **({"cheap": True} if self.low_fidelity else {}),
            **({"deviations": dict(self.deviations)} if self.deviations else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """Read what `to_json` wrote.

        Args:
            data: The trial as plain JSON types.

        Raises:
            RestoreError: A field is missing or of the wrong type.
        """
        try:
            failed = data["failed"]
            return cls(
                number=int(data["number"]),
                codes=tuple(int(c) for c in data["codes"]),
                values={str(k): float(v) for k, v in data["values"].items()},
                failed=None if failed is None else str(failed),
                low_fidelity=bool(data.get("cheap", False)),
                deviations={str(k): float(v) for k, v in data.get("deviations", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RestoreError(f"cannot read a trial of the journal: {error!r}") from error
