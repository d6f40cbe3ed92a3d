"""Prices of earlier explanations, brought to the machine's speed of the moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from profilers._errors import ProfilerError
from profilers._explain._explanation import ExplainedNode, Explanation

CHECKED = 8
"""Known prices that are measured again to tell the machine's speed; the largest ones."""


@dataclass(frozen=True)
class Known:
    """A price that an earlier explanation holds, in milliseconds.

    Attributes:
        ms: The price.
        low_ms: Lower end of its interval.
        high_ms: Upper end.
    """

    ms: float
    low_ms: float
    high_ms: float


def known_prices(earlier: Iterable[Explanation], identity: Mapping[str, object]) -> dict[str, Known]:
    """Return the prices of earlier explanations by the digest of their windows.

    Args:
        earlier: The explanations.
        identity: Device, runtime and protocol of this explanation.

    Raises:
        ProfilerError: An explanation is one of another device, runtime or protocol.
    """
    prices: dict[str, Known] = {}
    for explanation in earlier:
        wrong = sorted(k for k in {*identity, *explanation.identity} if identity.get(k) != explanation.identity.get(k))
        if wrong:
            there = ", ".join(f"{fact} {explanation.identity.get(fact)}" for fact in wrong)
            here = ", ".join(str(identity.get(fact)) for fact in wrong)
            raise ProfilerError(
                f"--reuse: the prices of {explanation.model} were measured with {there}, here it is {here}; "
                "explain it again here, or leave --reuse out"
            )
        prices |= {row.window: Known(row.ms, row.low_ms, row.high_ms) for row in explanation.rows if row.window}
    return prices


def to_check(known: Mapping[str, Known], windows: Iterable[str]) -> set[str]:
    """Return the windows with known prices that are measured again."""
    here = sorted(set(windows) & known.keys(), key=lambda window: -known[window].ms)
    return set(here[:CHECKED])


def speed_of(known: Mapping[str, Known], measured: Mapping[str, float]) -> float:
    """Return by which factor prices are larger now than they were: the median over what was measured again."""
    ratios = [ms / known[window].ms for window, ms in measured.items() if ms > 0 and known[window].ms > 0]
    return float(np.median(ratios)) if ratios else 1.0


def reused_note(rows: Sequence[ExplainedNode], reused: int, speed: float) -> str:
    """Return the line that says how many prices were used again."""
    return f"{reused} of {len(rows)} prices come from earlier explanations, multiplied by {speed:.3f} for today's speed"
