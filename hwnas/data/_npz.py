"""``.npz`` files with ``x_train``, ``y_train`` and optionally ``x_test``, ``y_test``, ``x_val``, ``y_val``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._forms import IMAGES, Form
from hwnas.data._images import LabelArray
from hwnas.data._names import shown
from hwnas.data._npy import Array, Npz, Stored
from hwnas.data._pixels import fitting
from hwnas.data._ranges import LEVELS, UNIT, Found, to_levels
from hwnas.data._source import Canvas, Source

PARTS = {"train": "train", "test": "test", "validation": "val"}
"""The word of each part in the names of arrays: ``x_val``."""


def parts_in(archive: Npz) -> dict[str, str]:
    """Return the words of the parts that a file has; one without a train part is refused when that is read."""
    return {part: word for part, word in PARTS.items() if part == "train" or f"x_{word}" in archive}


def class_indices(path: Path, labels: Mapping[str, Array]) -> tuple[list[str], dict[str, LabelArray]]:
    """Return class names, the train labels in order, and the index of the class of each label.

    Args:
        path: The file, for errors.
        labels: Whole numbers of each part.

    Raises:
        DataError: There is a single class, or a part has one that the train part lacks.
    """
    values = np.unique(labels["train"])
    if len(values) < 2:
        raise DataError(
            f"data {shown(path)}: only one class, '{values[0]}', in y_train; classification needs at least two"
        )
    indices = {}
    for part, numbers in labels.items():
        unknown = np.setdiff1d(numbers, values)
        if len(unknown):
            raise DataError(
                f"data {shown(path)}: y_{PARTS[part]} holds the label {unknown[0]}, which y_train does not; "
                "add train samples of it, or remove it"
            )
        indices[part] = np.searchsorted(values, numbers).astype(np.int64)
    return [str(value) for value in values], indices


def open_npz(path: Path, image_size: int | None, form: Form = IMAGES, frames: int | None = None) -> Source:
    """Return class names (the train labels in order) and the parts that the file has.

    Args:
        path: The file.
        image_size: Height and width to bring every image to; None to keep theirs.
        form: How samples lie in it.
        frames: Frames to take of each clip, evenly; None for all.

    Raises:
        DataError: See `hwnas.data.load_data`.
    """
    with Npz(path) as archive:
        raw = {part: _checked(path, word, archive, form) for part, word in parts_in(archive).items()}
        _require_one_size(path, {part: images.shape for part, (images, _) in raw.items()}, form, image_size, frames)
        classes, labels = class_indices(path, {part: numbers for part, (_, numbers) in raw.items()})
        scale = _scale(archive, {part: images for part, (images, _) in raw.items()})

    change = fitting(image_size, frames)

    def fill(canvas: Canvas) -> None:
        """Read all images."""
        with Npz(path) as again:
            for part, (images, _) in raw.items():
                for first, piece in again.pieces(images):
                    pixels = piece if piece.dtype == np.uint8 else to_levels(piece, scale)
                    canvas.put(part, first, form.arrange(pixels), change)

    return Source(classes, labels, fill)


def _checked(path: Path, word: str, archive: Npz, form: Form) -> tuple[Stored, LabelArray]:
    """Return the samples of one part as they are stored, and their labels, with matching lengths."""
    for key in (f"x_{word}", f"y_{word}"):
        if key not in archive:
            held = [f"{axis}_{w}" for w in PARTS.values() for axis in "xy" if f"{axis}_{w}" in archive]
            raise DataError(
                f"data {shown(path)}: the array {key} is missing; it holds {', '.join(held) or 'no known array'}"
            )
    images, labels = (archive.stored(f"{axis}_{word}") for axis in "xy")
    if not form.fits(images.shape):
        raise DataError(f"data {shown(path)}: x_{word} has shape {images.shape}; it must be {form.axes}")
    if len(labels.shape) != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"data {shown(path)}: y_{word} must be integers of shape (N,), got {labels.dtype} {labels.shape}"
        )
    if labels.shape[0] != images.shape[0]:
        raise DataError(
            f"data {shown(path)}: {images.shape[0]} {form.noun} in x_{word}, but {labels.shape[0]} labels in y_{word}; "
            "give one label for each"
        )
    numbers = np.concatenate([piece for _, piece in archive.pieces(labels)])
    if labels.dtype.kind == "u" and int(numbers.max()) >= 2**63:
        raise DataError(f"data {shown(path)}: y_{word} holds the label {numbers.max()}; labels must be below 2**63")
    return images, numbers.astype(np.int64)


def _require_one_size(
    path: Path, shapes: Mapping[str, tuple[int, ...]], form: Form, image_size: int | None, frames: int | None
) -> None:
    sizes = {}
    for part, shape in shapes.items():
        size = list(form.sizes(shape))
        if image_size is not None:
            size[-2:] = image_size, image_size
        if frames is not None:
            if size[0] < frames:
                raise DataError(
                    f"data {shown(path)}: clips of x_{PARTS[part]} have {size[0]} frames, fewer than --frames "
                    f"{frames}; lower it"
                )
            size[0] = frames
        sizes[part] = "x".join(map(str, (*size, form.channels(shape))))
    for part, text in sizes.items():
        if text != sizes["train"]:
            raise DataError(
                f"data {shown(path)}: {form.noun} of x_{PARTS[part]} are {text}, those of x_train {sizes['train']}; "
                "make all of one shape"
            )


def _scale(archive: Npz, parts: dict[str, Stored]) -> float:
    """Return the conversion of the images of all parts to 0-255.

    Raises:
        DataError: They are of types or values that stand for no grey levels, or not for the same ones.
    """
    scale = LEVELS
    for part, images in parts.items():
        key = f"x_{PARTS[part]}"
        if images.dtype.kind == "f" and images.dtype.itemsize <= 8:
            extremes = Found.of(piece for _, piece in archive.pieces(images))
            if part == "train" and extremes.scale is not None:
                scale = extremes.scale
            elif part == "train" or not extremes.fits(scale):
                wanted = "0-1, 0-255 or uint8"
                if part != "train":
                    wanted = "0-1 like x_train" if scale == UNIT else "0-255 like x_train"
                raise DataError(
                    f"data {shown(archive.path)}: {key} holds values from {extremes.low:g} to {extremes.high:g}; "
                    f"give {wanted}"
                )
        elif images.dtype != np.uint8 or scale != LEVELS:
            wanted = "uint8 or float" if part == "train" else "the type of x_train"
            raise DataError(f"data {shown(archive.path)}: {key} is of type {images.dtype}; give {wanted}")
    return scale
