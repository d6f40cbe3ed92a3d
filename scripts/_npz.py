"""Arrays of generated tasks: both parts, and their file."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latency_tables import write_atomic

TEST_SHARE = 0.25
"""Samples of the test part, as a share of those of the train part."""
Array = npt.NDArray[Any]


def both_parts(draw: Callable[[str, int, int], tuple[Array, Array]], count: int, seed: int) -> dict[str, Array]:
    """Return the arrays of a task: ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Args:
        draw: Draws inputs and targets; gets the name of the part, the number of samples, and a seed of the part's own.
        count: Samples of the train part.
        seed: Decides everything.
    """
    arrays: dict[str, Array] = {}
    for number, (part, own) in enumerate((("train", count), ("test", round(TEST_SHARE * count)))):
        arrays[f"x_{part}"], arrays[f"y_{part}"] = draw(part, own, 2 * seed + number)
    return arrays


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays into one compressed file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
