"""CIFAR-10 as it is distributed: the binary and the Python layout (Krizhevsky 2009), read as data and never run.

Both hold five train batches and a test batch of 32x32 colour images, each row the red, green and blue plane.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwnas._errors import DataError
from hwnas.data._images import ImageArray, LabelArray
from hwnas.data._names import shown
from hwnas.data._pickled import ByteArray, RefusedError, read_plain
from hwnas.data._pixels import fitting
from hwnas.data._source import Canvas, Source
from latency_tables import open_regular

SIDE, CHANNELS = 32, 3
PIXELS = CHANNELS * SIDE * SIDE
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
_FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
"""What the archives unpack to; the folder that holds one of them will do as well."""
_AGAIN = "copy or download the set again"
_LARGEST = {".bin": 2**40, "": 2**30, "meta": 2**20}
"""Most bytes of a file: binary batches are read in pieces, pickles (31 MB each in the set) as a whole."""
_ROWS = 1024


def find_cifar(root: Path) -> tuple[Path, str] | None:
    """Return where a folder holds CIFAR-10 and the suffix of its files (``".bin"`` or ``""``); else None."""
    for folder in (root, *(root / name for name in _FOLDERS)):
        for suffix in (".bin", ""):
            if any((folder / f"{name}{suffix}").is_file() for name in (*TRAIN, TEST)):
                return folder, suffix
    return None


def open_cifar(folder: Path, suffix: str, image_size: int | None) -> Source:
    """Return class names in the set's own order, the train part (all five batches in order) and the test part.

    Args:
        folder: Where the files are.
        suffix: ``".bin"`` for the binary layout, ``""`` for the Python layout.
        image_size: See `hwnas.data.load_data`.

    Raises:
        DataError: A file is absent, cut off, of another content, or a pickle of anything but what the set holds.
    """
    meta = "batches.meta.txt" if suffix else "batches.meta"
    for name in (meta, *(f"{name}{suffix}" for name in (*TRAIN, TEST))):
        if not (folder / name).is_file():
            raise DataError(f"data {shown(folder)}: {name} is missing; {_AGAIN}")
    classes = _class_names(folder / meta, binary=bool(suffix))
    files = {"train": [folder / f"{name}{suffix}" for name in TRAIN], "test": [folder / f"{TEST}{suffix}"]}
    labels_of = {part: [_labels(path, len(classes)) for path in paths] for part, paths in files.items()}
    for path, labels in zip(files["train"], labels_of["train"], strict=True):
        if len(labels) != len(labels_of["train"][0]):
            raise DataError(
                f"data {shown(path)}: {len(labels)} images, but {len(labels_of['train'][0])} in "
                f"{files['train'][0].name}; {_AGAIN}"
            )

    def fill(canvas: Canvas) -> None:
        """Read all images."""
        for part, paths in files.items():
            first = 0
            for path in paths:
                first = _put(canvas, part, first, path, image_size)

    return Source(classes, {part: np.concatenate(labels) for part, labels in labels_of.items()}, fill)


def _put(canvas: Canvas, part: str, first: int, path: Path, image_size: int | None) -> int:
    """Put a batch onto the canvas; return the place of the next one. On return nothing holds the file's bytes."""
    for rows in _batch(path):
        images = rows[:, 1:] if path.suffix else rows
        canvas.put(part, first, images.reshape(-1, CHANNELS, SIDE, SIDE), fitting(image_size))
        first += len(rows)
    return first


def _class_names(path: Path, *, binary: bool) -> list[str]:
    if binary:
        try:
            names_read: Sequence[object] = _content(path, "meta").decode("utf-8").split()
        except UnicodeDecodeError:
            raise DataError(f"data {shown(path)}: is not a text file of class names; {_AGAIN}") from None
    else:
        names_read = _entry(path, _unpickle(path, "meta"), "label_names", list)
    names = [name.decode("latin-1") if isinstance(name, bytes) else name for name in names_read]
    texts = [name for name in names if isinstance(name, str)]
    if len(texts) != len(names) or len(set(texts)) != len(texts) or not 2 <= len(texts) <= 256:
        raise DataError(f"data {shown(path)}: {len(names)} class names; there must be 2-256 different ones; {_AGAIN}")
    return texts


def _labels(path: Path, classes: int) -> LabelArray:
    """Return labels ``(N,)`` of a batch, each below the number of classes."""
    if path.suffix:
        labels = np.concatenate([rows[:, 0] for rows in _batch(path)]).astype(np.int64)
    else:
        batch = _unpickle(path, "")
        listed = _entry(path, batch, "labels", list)
        if any(type(label) is not int or not -(2**31) <= label < 2**31 for label in listed):
            raise DataError(f"data {shown(path)}: labels must be integers; {_AGAIN}")
        labels, rows = np.array(listed, dtype=np.int64), _rows(path, batch)
        if not len(rows) or len(rows) != len(labels):
            raise DataError(f"data {shown(path)}: {len(rows)} images, but {len(labels)} labels; {_AGAIN}")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        place = int(wrong[0])
        raise DataError(
            f"data {shown(path)}: image {place} has the label {labels[place]}, but there are {classes} class names; "
            f"{_AGAIN}"
        )
    return labels


def _batch(path: Path) -> Iterator[ImageArray]:
    """Yield rows of a batch, some at a time: the 3,072 pixels of each image, in the binary layout behind a label."""
    if not path.suffix:
        rows = _rows(path, _unpickle(path, ""))
        for first in range(0, len(rows), _ROWS):
            yield rows[first : first + _ROWS]
        return
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size or size % (1 + PIXELS) or size > _LARGEST[".bin"]:
            raise DataError(
                f"data {shown(path)}: {size:,} bytes are not a multiple of {1 + PIXELS:,}, the size of one "
                f"image; {_AGAIN}"
            )
        while piece := file.read(_ROWS * (1 + PIXELS)):
            if len(piece) % (1 + PIXELS):
                raise DataError(f"data {shown(path)}: it changed while it was read; try again")
            yield np.frombuffer(piece, np.uint8).reshape(-1, 1 + PIXELS)


def _rows(path: Path, batch: dict[Any, Any]) -> ImageArray:
    """Return ``data`` of a pickled batch, ``(N, 3072)``."""
    rows: ImageArray | None = _entry(path, batch, "data", ByteArray).rows
    if rows is None or rows.ndim != 2 or rows.shape[1] != PIXELS:
        shape = None if rows is None else rows.shape
        raise DataError(f"data {shown(path)}: data has shape {shape}, not (N, {PIXELS}); {_AGAIN}")
    return rows


def _entry(path: Path, record: dict[Any, Any], name: str, kind: type[Any]) -> Any:
    """Return one entry of a pickled dictionary; Python 2 wrote its keys as bytes."""
    value = record.get(name.encode(), record.get(name))
    if not isinstance(value, kind):
        raise DataError(f"data {shown(path)}: has no entry {name} like CIFAR-10's; {_AGAIN}")
    return value


def _content(path: Path, kind: str) -> bytes:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _LARGEST[kind]:
            raise DataError(f"data {shown(path)}: is larger than any such file of CIFAR-10; {_AGAIN}")
        return file.read(size)


def _unpickle(path: Path, kind: str) -> dict[Any, Any]:
    """Return the dictionary in a pickle of plain containers, numbers, text and arrays of bytes.

    Raises:
        DataError: It asks for anything else, or is damaged.
    """
    try:
        record = read_plain(_content(path, kind))
    except RefusedError as error:
        raise DataError(
            f"data {shown(path)}: asks for {error}, which CIFAR-10 does not hold; nothing was executed; "
            "do not trust this file"
        ) from None
    except DataError:
        raise
    except (EOFError, ValueError, TypeError, OverflowError, struct.error):
        raise DataError(f"data {shown(path)}: is not a readable batch of CIFAR-10; {_AGAIN}") from None
    if not isinstance(record, dict):
        raise DataError(f"data {shown(path)}: does not contain a dictionary like CIFAR-10's batches; {_AGAIN}")
    return record
