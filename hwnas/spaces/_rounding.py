"""How numbers of channels are rounded."""

from __future__ import annotations


def divisible(value: float, divisor: int = 8) -> int:
    """Return the nearest multiple of `divisor`, at least one of it and never below 90 % of `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
