"""The predicted latency of one network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Price:
    """Predicted latency of a network in milliseconds, with its 90 % interval.

    Attributes:
        value_ms: The prediction.
        low_ms: Lower end of the interval; None where the table has no networks that an interval could come from.
        high_ms: Upper end of the interval; None in the same case.
    """

    value_ms: float
    low_ms: float | None
    high_ms: float | None
