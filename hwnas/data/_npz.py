"""``.npz`` files with ``x_train``, ``y_train`` and optionally ``x_test``, ``y_test``, ``x_val``, ``y_val``."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwnas._errors import DataError
from hwnas.data._images import ImageArray, LabelArray, Split
from hwnas.data._pixels import fit_all
from hwnas.data._splits import subset

PARTS = {"train": "train", "test": "test", "validation": "val"}
Array = np.ndarray[Any, np.dtype[Any]]


def read_npz(path: Path, image_size: int | None, limit: int | None) -> tuple[list[str], dict[str, Split]]:
    """Class names (the train labels in order) and the parts that the file has.

    Raises:
        DataError: see `hwnas.data.load_data`.
    """
    arrays = _read_arrays(path)
    raw = {
        part: _checked(path, word, arrays) for part, word in PARTS.items() if f"x_{word}" in arrays or part == "train"
    }
    values = np.unique(raw["train"][1])
    if len(values) < 2:
        raise DataError(f"data {path}: only one class, '{values[0]}', in y_train; classification needs at least two")
    parts = {}
    scale = _scale(raw["train"][0])
    for part, (images, labels) in raw.items():
        unknown = np.setdiff1d(labels, values)
        if len(unknown):
            raise DataError(f"data {path}: y_{PARTS[part]} holds the label {unknown[0]}, which y_train does not")
        indices = np.searchsorted(values, labels).astype(np.int64)
        keep = subset(str(path), indices, limit, needed=4 - len(raw) if part == "train" else 1)
        pixels = _to_bytes(path, f"x_{PARTS[part]}", images, scale)[keep]
        parts[part] = Split(pixels if image_size is None else fit_all(pixels, image_size), indices[keep])
    shapes = {part: split.images.shape[1:] for part, split in parts.items()}
    for part, shape in shapes.items():
        if shape != shapes["train"]:
            raise DataError(
                f"data {path}: images of x_{PARTS[part]} are {_size(shape)}, those of x_train {_size(shapes['train'])}"
            )
    return [str(value) for value in values], parts


def _read_arrays(path: Path) -> dict[str, Array]:
    found: dict[str, Array] = {}
    key = ""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [f"{axis}_{word}" for word in PARTS.values() for axis in "xy"]
            if not hasattr(archive, "files"):
                raise ValueError("a single array")
            for key in (n for n in names if n in archive.files):
                found[key] = archive[key]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        what = f"its array {key} cannot be read (damaged, or Python objects)" if key else "is no readable .npz file"
        raise DataError(f"data {path}: {what}; write it with numpy.savez") from None
    return found


def _checked(path: Path, word: str, arrays: Mapping[str, Array]) -> tuple[Array, LabelArray]:
    """Images of one part as they are and their labels, with matching lengths."""
    for key in (f"x_{word}", f"y_{word}"):
        if key not in arrays:
            raise DataError(f"data {path}: the array {key} is missing; it holds {', '.join(arrays) or 'none of ours'}")
    images, labels = arrays[f"x_{word}"], arrays[f"y_{word}"]
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim not in (3, 4) or channels not in (1, 3) or 0 in images.shape:
        raise DataError(
            f"data {path}: x_{word} has shape {images.shape}; it must be (N, H, W) or (N, H, W, C) with C = 1 or 3"
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"data {path}: y_{word} must be integers of shape (N,), not {labels.dtype} {labels.shape}")
    if len(labels) != len(images):
        raise DataError(f"data {path}: {len(images)} images in x_{word}, but {len(labels)} labels in y_{word}")
    return images, labels.astype(np.int64)


def _scale(images: Array) -> float:
    """What brings the train images to 0-255: floats on 0-1 are spread out, other numbers stay."""
    return 255.0 if np.issubdtype(images.dtype, np.floating) and float(images.max()) <= 1 else 1.0


def _to_bytes(path: Path, key: str, images: Array, scale: float) -> ImageArray:
    """``(N, C, H, W)`` uint8."""
    if images.dtype == np.uint8 and scale == 1:
        pixels = images
    elif np.issubdtype(images.dtype, np.floating):
        low, high, most = float(images.min()), float(images.max()), 255 / scale
        if not (low >= 0 and high <= most):
            wanted = "0-1 like x_train" if most == 1 and key != "x_train" else "0-1, 0-255 or uint8"
            raise DataError(f"data {path}: {key} holds values from {low:g} to {high:g}; give {wanted}")
        pixels = np.round(images * scale).astype(np.uint8)
    else:
        wanted = "uint8 or float" if key == "x_train" else "the type of x_train"
        raise DataError(f"data {path}: {key} is of type {images.dtype}; give {wanted}")
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, (*shape[1:], shape[0])))
