"""``.npz`` files of signals ``(n, channels, length)``: keys as for images, and ``group_train`` for subjects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError
from hwnas.data._names import shown
from hwnas.data._npy import Array, Npz
from hwnas.data._npz import PARTS, class_indices, parts_in
from hwnas.data._signal_data import (
    Choose,
    Cut,
    FloatArray,
    Reading,
    SignalPart,
    SignalSource,
    Targets,
    numbers_note,
)
from hwnas.data._splits import Indices

_ASPECT = 4
"""Arrays ``(n, a, b)`` of floats may be images: signals are at least so many times as long as they have channels."""


def holds_signals(path: Path) -> bool:
    """Return whether ``x_train`` is an array of signals rather than of images, by its header alone.

    Raises:
        DataError: It cannot be read.
    """
    with Npz(path) as archive:
        stored = archive.stored("x_train")
    return len(stored.shape) == 3 and stored.dtype != np.uint8 and stored.shape[2] >= _ASPECT * stored.shape[1]


def open_arrays(path: Path, reading: Reading) -> SignalSource:
    """Return the signals of a file, each a recording of its own.

    Raises:
        DataError: See `hwnas.data.load_signals`.
    """
    given = {
        "--rate": reading.rate,
        "--length": reading.length,
        "--window": reading.window,
        "--hop": reading.hop,
        "--label-column": reading.label_column,
        "--columns": reading.columns or None,
        "--split-by": reading.split_by,
    }
    for option, value in given.items():
        if value is not None:
            hint = (
                "put the arrays group_train, ... into it" if option == "--split-by" else "its signals are cut already"
            )
            raise DataError(f"data {shown(path)}: {option} is not for .npz files: {hint}; leave it out")
    with Npz(path) as archive:
        parts = {part: _part(archive, word) for part, word in parts_in(archive).items()}
        groups = _groups(archive, {part: len(signals) for part, (signals, _) in parts.items()})
    first = parts["train"][0].shape[1:]
    for part, (signals, _) in parts.items():
        if signals.shape[1:] != first:
            raise DataError(
                f"data {shown(path)}: signals of x_{PARTS[part]} are {signals.shape[1:]}, those of x_train {first}; "
                "cut or fill them up to one length"
            )
    signals = np.concatenate([signals for signals, _ in parts.values()]) if len(parts) > 1 else parts["train"][0]
    classes, targets = _targets(path, {part: labels for part, (_, labels) in parts.items()}, reading)

    def cut(chosen: Mapping[str, Indices], choose: Choose) -> Cut:
        """Return the signals of all parts."""
        kept = {part: indices[choose(targets[indices])] for part, indices in chosen.items()}
        made = {part: SignalPart(signals[indices], targets[indices]) for part, indices in kept.items()}
        loading = {"source": "npz", "channels": first[0], "rate": None, "length": first[1]}
        return Cut(made, {**loading, "window": None, "hop": None, "columns": None})

    return SignalSource(
        parts=np.repeat(list(parts), [len(labels) for _, labels in parts.values()]),
        labels=targets.astype(np.int64) if classes else None,
        groups=groups,
        classes=classes,
        cut=cut,
        single=True,
        notes=numbers_note(classes, "y_train") if reading.regression is None else [],
        groups_by="array",
    )


def _whole(archive: Npz, key: str) -> Array:
    stored = archive.stored(key)
    return np.concatenate([piece for _, piece in archive.pieces(stored)]) if 0 not in stored.shape else np.empty(0)


def _part(archive: Npz, word: str) -> tuple[FloatArray, Array]:
    """Return signals and labels of a part."""
    path, key = archive.path, f"x_{word}"
    archive.require(key, f"y_{word}")
    shape = archive.stored(key).shape
    if len(shape) != 3 or 0 in shape:
        raise DataError(
            f"data {shown(path)}: {key} has shape {shape}; signals must be (n, channels, length), each at least 1"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        signals = _whole(archive, key).astype(np.float32)
    bad = np.argwhere(~np.isfinite(signals))
    if len(bad):
        raise DataError(
            f"data {shown(path)}: {key}[{', '.join(map(str, bad[0]))}] is no finite 32-bit number; fill in a number or "
            "remove the signal"
        )
    labels = _whole(archive, f"y_{word}")
    if labels.shape != shape[:1] or labels.dtype.kind not in "iuf" or not np.isfinite(labels).all():
        raise DataError(
            f"data {shown(path)}: y_{word} must be {shape[0]} finite numbers (n,), got {labels.dtype} {labels.shape}"
        )
    return signals, labels


def _groups(archive: Npz, counts: Mapping[str, int]) -> npt.NDArray[np.str_] | None:
    """Return the groups of all signals; None where no array names them."""
    keys = {part: f"group_{PARTS[part]}" for part in counts}
    if not any(key in archive for key in keys.values()):
        return None
    groups = []
    for part, key in keys.items():
        if key not in archive:
            raise DataError(
                f"data {shown(archive.path)}: the array {key} is missing, but another part has groups; add it"
            )
        values = _whole(archive, key)
        if values.shape != (counts[part],) or values.dtype.kind not in "iu":
            raise DataError(
                f"data {shown(archive.path)}: {key} must be {counts[part]} whole numbers (n,), got {values.dtype} "
                f"{values.shape}"
            )
        groups.append(values.astype(np.int64).astype(str))
    return np.concatenate(groups)


def _targets(path: Path, labels: Mapping[str, Array], reading: Reading) -> tuple[tuple[str, ...], Targets]:
    """Return class names and indices into them, or no names and values.

    Raises:
        DataError: Classes are no integers, or values no 32-bit numbers.
    """
    fractions = [part for part, values in labels.items() if values.dtype.kind == "f"]
    if reading.regression or (reading.regression is None and "train" in fractions):
        return (), np.concatenate([_values(path, part, values) for part, values in labels.items()])
    if fractions:
        key = f"y_{PARTS[fractions[0]]}"
        hint = "classes must be integers" if reading.regression is False else "y_train holds integers; give one kind"
        raise DataError(f"data {shown(path)}: {key} holds {labels[fractions[0]].dtype}; {hint}")
    classes, indices = class_indices(path, labels)
    return tuple(classes), np.concatenate(list(indices.values()))


def _values(path: Path, part: str, values: Array) -> FloatArray:
    """Return the values of a part as networks learn them.

    Raises:
        DataError: Naming one that a 32-bit number cannot hold.
    """
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise DataError(
            f"data {shown(path)}: y_{PARTS[part]}[{bad[0]}] is {values[bad[0]]:g}, which no 32-bit number holds; give "
            "the values in another unit"
        )
    return numbers
