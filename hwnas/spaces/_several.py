"""Settings of spaces that hold one value or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hwnas._errors import SpaceError

T = TypeVar("T", int, float)
_MOST_VALUES = 32


def are_different(values: Sequence[object]) -> bool:
    """Return whether no two values are the same number or the same text: 1 and 1.0 are one value."""
    numbers = [value for value in values if isinstance(value, (int, float))]
    return len(set(map(str, values))) == len(values) and len(set(numbers)) == len(numbers)


def several(space: str, name: str, given: T | Sequence[T] | None, default: tuple[T, ...]) -> tuple[T, ...]:
    """Return the values of a setting that takes one number or several.

    Args:
        space: Name of the space, for errors.
        name: Name of the setting.
        given: What was set; None for the default.
        default: The values that None stands for.

    Raises:
        SpaceError: There are none, too many, or two equal ones.
    """
    if given is None:
        return default
    values = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if not 1 <= len(values) <= _MOST_VALUES or not are_different(values):
        raise SpaceError(f"space {space}: {name} must be 1 to {_MOST_VALUES} different values, got {str(given)[:40]}")
    return values


def several_widths(space: str, given: float | Sequence[float] | None, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return the width multipliers of a setting `width`; arguments as of `several`.

    Raises:
        SpaceError: As of `several`, or one is no number from 0.1 to 4.
    """
    values = several(space, "width", given, default)
    for factor in values:
        if type(factor) not in (int, float) or not 0.1 <= factor <= 4:
            raise SpaceError(f"space {space}: width multipliers must be 0.1-4, got {factor}")
    return values
