"""Seeds: what everything random follows from."""

from __future__ import annotations

from operator import index

from hwnas._errors import HwnasError

MOST_SEED = 2**63 - 1
"""The largest that every generator takes."""


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number, NumPy's included."""
    try:
        index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)


def require_seed(seed: object, name: str = "--seed") -> int:
    """Return the seed, where it is one.

    Args:
        seed: What was given.
        name: What the user calls it.

    Raises:
        HwnasError: It is not an integer from 0 to `MOST_SEED`.
    """
    if type(seed) is not int:
        raise HwnasError(f"{name} must be a whole number, got {seed!r}")
    if seed < 0:
        raise HwnasError(f"{name} must be 0 or more, got {seed}")
    if seed > MOST_SEED:
        raise HwnasError(f"{name} must be at most {MOST_SEED}, got {float(min(seed, 10**300)):.3g}")
    return seed
