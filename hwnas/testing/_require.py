"""How a check refuses: `AssertionError` with one line, also where Python runs without assertions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from hwnas._api._errors import Errors


def require(holds: object, fault: str) -> None:
    """Raise `AssertionError` with the line `fault` unless `holds` is true."""
    if not holds:
        raise AssertionError(fault)


def require_close(got: npt.ArrayLike, expected: npt.ArrayLike, tolerance: float, fault: str) -> None:
    """Raise `AssertionError` unless two arrays agree.

    Args:
        got: The values to judge.
        expected: The values that they must have, of the same shape.
        tolerance: The largest difference, absolute and relative to `expected`.
        fault: What is wrong where they differ; the largest difference follows it.
    """
    a, b = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    require(a.shape == b.shape, f"{fault}: the shapes are {a.shape} and {b.shape}")
    if not np.allclose(a, b, rtol=tolerance, atol=tolerance):
        raise AssertionError(f"{fault}: they differ by up to {float(np.abs(a - b).max()):.3g}")


def require_json(value: object, what: str) -> None:
    """Raise `AssertionError` unless JSON holds a value and gives it back equal."""
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what} must be JSON-able: {error}") from None
    require(same, f"{what} must be read back from JSON as they are; use lists, not tuples, and texts as keys")


@contextmanager
def errors_as_faults() -> Iterator[None]:
    """Raise the errors that hwnas has for people as `AssertionError`, with the same line."""
    try:
        yield
    except Errors as error:
        raise AssertionError(str(error)) from error
