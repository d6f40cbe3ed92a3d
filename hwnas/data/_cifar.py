"""CIFAR-10 as it is distributed: the binary and the Python layout (Krizhevsky 2009), read as data and never run.

Both hold five train batches and a test batch of 32x32 colour images, each row the red, green and blue plane.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np

from hwnas._errors import DataError
from hwnas.data._images import ImageArray, LabelArray, Split
from hwnas.data._pixels import fit_all
from hwnas.data._splits import subset

SIDE, CHANNELS = 32, 3
PIXELS = CHANNELS * SIDE * SIDE
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
_FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
"""What the archives unpack to; the folder that holds one of them will do as well."""
_AGAIN = "copy or download the set again"


def find_cifar(root: Path) -> tuple[Path, str] | None:
    """Where a folder holds CIFAR-10 and the suffix of its files (``".bin"`` or ``""``); None where it does not."""
    for folder in (root, *(root / name for name in _FOLDERS)):
        for suffix in (".bin", ""):
            if any((folder / f"{name}{suffix}").is_file() for name in (*TRAIN, TEST)):
                return folder, suffix
    return None


def read_cifar(
    folder: Path, suffix: str, image_size: int | None, limit: int | None
) -> tuple[list[str], dict[str, Split]]:
    """Class names in the set's own order, the train part (all five batches in order) and the test part.

    Args:
        folder: where the files are.
        suffix: ``".bin"`` for the binary layout, ``""`` for the Python layout.
        image_size: see `hwnas.data.load_data`.
        limit: see `hwnas.data.load_data`.

    Raises:
        DataError: a file is absent, cut off, of another content, or a pickle of anything but what the set holds.
    """
    meta, read = ("batches.meta.txt", _read_binary) if suffix else ("batches.meta", _read_python)
    needed = [meta, *(f"{name}{suffix}" for name in (*TRAIN, TEST))]
    for name in needed:
        if not (folder / name).is_file():
            raise DataError(f"data {folder}: {name} is missing; {_AGAIN}")
    classes = _class_names(folder / meta, binary=bool(suffix))
    *batches, test = [read(folder / name, len(classes)) for name in needed[1:]]
    for name, (_, labels) in zip(needed[1:], batches, strict=False):
        if len(labels) != len(batches[0][1]):
            raise DataError(
                f"data {folder / name}: {len(labels)} images, but {len(batches[0][1])} in {needed[1]}; {_AGAIN}"
            )
    images = np.concatenate([images for images, _ in batches])
    parts = {"train": (images, np.concatenate([labels for _, labels in batches])), "test": test}
    found = {}
    for part, (pixels, labels) in parts.items():
        keep = subset(str(folder), labels, limit, needed=2 if part == "train" else 1)
        chosen = np.ascontiguousarray(pixels[keep])
        found[part] = Split(chosen if image_size is None else fit_all(chosen, image_size), labels[keep])
    return classes, found


def _class_names(path: Path, *, binary: bool) -> list[str]:
    if binary:
        try:
            found: Sequence[object] = path.read_text(encoding="utf-8").split()
        except UnicodeDecodeError:
            raise DataError(f"data {path}: is no text file of class names; {_AGAIN}") from None
    else:
        found = _entry(path, _unpickle(path), "label_names", list)
    names = [name.decode("latin-1") if isinstance(name, bytes) else name for name in found]
    if any(not isinstance(name, str) for name in names) or len(set(names)) != len(names) or not 2 <= len(names) <= 256:
        raise DataError(f"data {path}: {len(names)} class names; there must be 2-256 different ones; {_AGAIN}")
    return [str(name) for name in names]


def _read_binary(path: Path, classes: int) -> tuple[ImageArray, LabelArray]:
    """Images ``(N, 3, 32, 32)`` and labels ``(N,)``: rows of one byte for the label and 3,072 for the pixels."""
    data = np.fromfile(path, dtype=np.uint8)
    if not len(data) or len(data) % (1 + PIXELS):
        raise DataError(f"data {path}: {len(data):,} bytes are no whole number of rows of {1 + PIXELS:,}; {_AGAIN}")
    rows = data.reshape(-1, 1 + PIXELS)
    return _checked(path, rows[:, 1:], rows[:, 0].astype(np.int64), classes)


def _read_python(path: Path, classes: int) -> tuple[ImageArray, LabelArray]:
    """The same from a pickled dictionary with ``data`` ``(N, 3072)`` uint8 and ``labels``, a list of N integers."""
    batch = _unpickle(path)
    labels = _entry(path, batch, "labels", list)
    if any(type(label) is not int or not -(2**31) <= label < 2**31 for label in labels):
        raise DataError(f"data {path}: labels holds something else than integers; {_AGAIN}")
    rows = _entry(path, batch, "data", _Array).rows
    if rows is None or rows.ndim != 2 or rows.shape[1] != PIXELS:
        shape = None if rows is None else rows.shape
        raise DataError(f"data {path}: data has shape {shape}, not (N, {PIXELS}); {_AGAIN}")
    if not len(rows) or len(rows) != len(labels):
        raise DataError(f"data {path}: {len(rows)} images, but {len(labels)} labels; {_AGAIN}")
    return _checked(path, rows, np.array(labels, dtype=np.int64), classes)


def _checked(path: Path, rows: ImageArray, labels: LabelArray, classes: int) -> tuple[ImageArray, LabelArray]:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        place = int(wrong[0])
        raise DataError(
            f"data {path}: image {place} has the label {labels[place]}, but there are {classes} class names; {_AGAIN}"
        )
    return rows.reshape(-1, CHANNELS, SIDE, SIDE), labels


def _entry(path: Path, record: dict[Any, Any], name: str, kind: type[Any]) -> Any:
    """One entry of a pickled dictionary; Python 2 wrote its keys as bytes."""
    value = record.get(name.encode(), record.get(name))
    if not isinstance(value, kind):
        raise DataError(f"data {path}: holds no {name} like CIFAR-10's; {_AGAIN}")
    return value


def _unpickle(path: Path) -> dict[Any, Any]:
    """The dictionary in a pickle of plain containers, numbers, text and arrays of bytes.

    Raises:
        DataError: it asks for anything else, or is damaged.
    """
    try:
        record = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(
            f"data {path}: asks for {error}, which CIFAR-10 does not hold; nothing of it was run, "
            "do not trust this file"
        ) from None
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        ImportError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        raise DataError(f"data {path}: is no readable batch of CIFAR-10; {_AGAIN}") from None
    if not isinstance(record, dict):
        raise DataError(f"data {path}: holds no dictionary like CIFAR-10's batches; {_AGAIN}")
    return record


class _RefusedError(Exception):
    """A pickle names something that no file of the set holds."""


class _Dtype:
    """Stands for `numpy.dtype`: the one of bytes, whatever else a file asks for is refused."""

    def __init__(self, name: object, *_: object) -> None:
        if name not in ("u1", b"u1"):
            raise _RefusedError(f"arrays of type {str(name)[:20]}")

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment mean nothing for bytes."""


class _Array:
    """Stands for `numpy.ndarray` and for the function that numpy's pickles make an empty one with.

    Attributes:
        rows: the array, once its state is read.
    """

    def __init__(self, *_: object) -> None:
        self.rows: ImageArray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Version, shape, type, whether the first axis runs fastest, and the bytes themselves."""
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes) or any(type(n) is not int for n in shape):
            raise ValueError("no array of bytes")
        self.rows = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


class _PlainUnpickler(pickle.Unpickler):
    """Builds containers, numbers, text and the two stand-ins above; no name in a file reaches any library."""

    _STAND_INS: ClassVar[dict[tuple[str, str], type[Any]]] = {
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): _Array,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
    }

    def find_class(self, module: str, name: str) -> type[Any]:
        """One of the stand-ins."""
        found = self._STAND_INS.get((module, name))
        if found is None:
            raise _RefusedError(f"{module}.{name}"[:80])
        return found

    def persistent_load(self, pid: object) -> NoReturn:
        """The set has no persistent objects."""
        raise _RefusedError("a persistent object")
