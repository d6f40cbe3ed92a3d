"""How numbers of channels are rounded."""

from __future__ import annotations

from hwnas.spaces._base import Choice
from hwnas.spaces._choice_graph import Extent, follow


def divisible(value: float, divisor: int = 8) -> int:
    """Return the nearest multiple of `divisor`, at least one of it and never below 90 % of `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def scaled(width: Choice, count: float, divisor: int = 8) -> Extent:
    """State channels that follow a width multiplier, rounded by `divisible`; 0 stays 0."""
    return follow(lambda factor: divisible(count * factor, divisor) if count else 0, width)
