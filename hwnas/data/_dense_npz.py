"""``.npz`` files whose targets are maps: inputs ``(n, channels, ...)``, values or class indices for every place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError
from hwnas.data._dense import (
    IGNORED,
    MOST_CLASSES,
    DenseData,
    DenseSplit,
    assemble_dense,
    numbered_classes,
    pixel_text,
    require_classes,
)
from hwnas.data._names import shown
from hwnas.data._npy import Npz, Stored
from hwnas.data._npz import PARTS, parts_in
from hwnas.data._splits import subset_of_any

Array = npt.NDArray[Any]
_CLASSES = "classes"
_MOST_AXES = 2


def is_dense_npz(path: Path) -> bool:
    """Return whether the train targets of a file are maps.

    Raises:
        DataError: It cannot be read.
    """
    with Npz(path) as archive:
        return _kind(archive.stored("x_train"), archive.stored("y_train")) != ""


def load_dense_npz(spec: str, *, seed: int, limit: int | None) -> DenseData:
    """Load inputs and targets.

    Args:
        spec: The file, with ``x_train`` ``(n, channels, ...)`` and ``y_train``, perhaps ``x_test``, ``y_test``,
            ``x_val``, ``y_val``. Floats ``(n, channels_out, ...)`` are values to predict, integers ``(n, ...)`` class
            indices. One or two axes follow the channels.
        seed: Decides the validation part.
        limit: Most samples of each part.

    Raises:
        DataError: One line that names the array at fault.
    """
    path = Path(spec)
    parts = {}
    with Npz(path) as archive:
        stored = {part: _described(path, archive, word) for part, word in parts_in(archive).items()}
        kind = _one_kind(path, stored)
        for part, (inputs, targets) in stored.items():
            chosen = subset_of_any(inputs.shape[0], limit)
            x = _taken(archive, inputs, chosen)
            if x.dtype != np.uint8:
                x = _finite(path, inputs.key, x, chosen)
            own = _indices if kind == "segmentation" else _values
            parts[part] = DenseSplit(x, own(path, targets.key, _taken(archive, targets, chosen), chosen))
    classes: tuple[str, ...] = ()
    if kind == "segmentation":
        classes = numbered_classes(parts)
        require_classes(spec, parts, lambda part, index: f"{shown(spec)}: y_{PARTS[part]}[{index}]", len(classes))
    return assemble_dense(spec, parts, classes, [], seed)


def _kind(inputs: Stored, targets: Stored) -> str:
    """Return ``segmentation`` or ``regression``; empty where the targets are no maps."""
    extents = inputs.shape[2:]
    if not 1 <= len(extents) <= _MOST_AXES or inputs.shape[0] != targets.shape[0]:
        return ""
    if targets.dtype.kind in "iu" and targets.shape[1:] == extents:
        return "segmentation"
    regression = targets.dtype.kind == "f" and targets.shape[2:] == extents and len(targets.shape) == len(inputs.shape)
    return "regression" if regression else ""


def _described(path: Path, archive: Npz, word: str) -> tuple[Stored, Stored]:
    archive.require(f"x_{word}", f"y_{word}")
    inputs, targets = archive.stored(f"x_{word}"), archive.stored(f"y_{word}")
    if inputs.shape[0] != targets.shape[0]:
        raise DataError(
            f"data {shown(path)}: {inputs.shape[0]} samples in x_{word}, but {targets.shape[0]} in y_{word}; "
            "give one map for each"
        )
    if inputs.dtype.kind not in "fiu" or 0 in inputs.shape:
        raise DataError(f"data {shown(path)}: x_{word} must hold numbers, got {inputs.dtype} {inputs.shape}")
    if not _kind(inputs, targets):
        raise DataError(
            f"data {shown(path)}: x_{word} has shape {inputs.shape} and y_{word} {targets.dtype} {targets.shape}; give "
            "x (n, channels, ...) and y floats (n, channels_out, ...) or integers (n, ...) with the same one or two "
            "last axes"
        )
    return inputs, targets


def _one_kind(path: Path, stored: Mapping[str, tuple[Stored, Stored]]) -> str:
    """Return what the targets of all parts are.

    Raises:
        DataError: Parts differ in type or shape.
    """
    (x, y), kind = stored["train"], _kind(*stored["train"])
    for part, (inputs, targets) in stored.items():
        word = PARTS[part]
        if _kind(inputs, targets) != kind or inputs.shape[1:] != x.shape[1:] or targets.shape[1:] != y.shape[1:]:
            raise DataError(
                f"data {shown(path)}: samples of x_{word} and y_{word} are {inputs.shape[1:]} and {targets.dtype} "
                f"{targets.shape[1:]}, those of x_train and y_train {x.shape[1:]} and {y.dtype} {y.shape[1:]}; "
                "give all parts one shape and type"
            )
        if (inputs.dtype == np.uint8) != (x.dtype == np.uint8):
            raise DataError(
                f"data {shown(path)}: x_{word} is {inputs.dtype}, but x_train is {x.dtype}; make them equal"
            )
    return kind


def _taken(archive: Npz, stored: Stored, chosen: npt.NDArray[np.int64]) -> Array:
    """Return the chosen rows of an array."""
    rows = []
    for first, piece in archive.pieces(stored):
        inside = chosen[(chosen >= first) & (chosen < first + len(piece))] - first
        rows.append(np.array(piece[inside]))
    return np.concatenate(rows)


def _finite(path: Path, key: str, values: Array, chosen: npt.NDArray[np.int64]) -> Array:
    """Return float32 values.

    Raises:
        DataError: One of them is NaN or infinite; it names the sample, the channel and the place.
    """
    result = values.astype(np.float32)
    for row, sample in enumerate(result):
        if not np.isfinite(sample).all():
            channel, *place = (int(n) for n in np.argwhere(~np.isfinite(sample))[0])
            raise DataError(
                f"data {shown(path)}: {key}[{chosen[row]}] holds {sample[(channel, *place)]:g} in channel {channel}, "
                f"{pixel_text(tuple(place))}; replace it, or remove the sample"
            )
    return result


def _values(path: Path, key: str, values: Array, chosen: npt.NDArray[np.int64]) -> Array:
    """Return values to predict; the relative error of an all-zero map would not be a number."""
    result = _finite(path, key, values, chosen)
    for row, sample in enumerate(result):
        if not sample.any():
            raise DataError(
                f"data {shown(path)}: {key}[{chosen[row]}] is zero everywhere, so no error can be relative to it; "
                "remove the sample"
            )
    return result


def _indices(path: Path, key: str, values: Array, chosen: npt.NDArray[np.int64]) -> Array:
    """Return class indices as uint8."""
    for row, sample in enumerate(values):
        wrong = (sample < 0) | (sample > IGNORED)
        if wrong.any():
            place = tuple(int(n) for n in np.argwhere(wrong)[0])
            raise DataError(
                f"data {shown(path)}: {key}[{chosen[row]}] holds the class index {int(sample[place])} at "
                f"{pixel_text(place)}; use 0 to {MOST_CLASSES - 1}, or {IGNORED} for places to ignore"
            )
    return values.astype(np.uint8)
