"""Initialisers that are stored outside of the file: only beside it, and only what their extents say."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from onnx import helper

from profilers._errors import ModelFileError
from profilers._read._attributes import Array


def external_array(tensor: onnx.TensorProto, folder: Path | None, max_bytes: int) -> Array:
    """Read a tensor from a file in the model's folder (or below it).

    Args:
        tensor: The initialiser.
        folder: The model's folder; None where the model is not a file.
        max_bytes: Most bytes of the tensor.

    Raises:
        ModelFileError: Its location, size or type is not one that is read.
    """
    where = f"initialiser {tensor.name[:80]!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ModelFileError(f"{where}: it is stored in the file {location[:80]!r}; read the model from its file")
    path = _beside(folder, location, where)
    dtype = _element(tensor, where)
    size = math.prod(tensor.dims) * dtype.itemsize
    offset, length = _number(entries, "offset", 0, where), _number(entries, "length", size, where)
    if size > max_bytes or length != size:
        raise ModelFileError(
            f"{where}: its extents take {size} bytes; the file states {length}, and {max_bytes} may be read"
        )
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size < offset + size:
                raise ModelFileError(f"{where}: the file {location[:80]!r} ends before its {size} bytes at {offset}")
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        raise ModelFileError(f"{where}: the file {location[:80]!r} cannot be read: {error.strerror or error}") from None
    if len(content) != size:
        raise ModelFileError(f"{where}: the file {location[:80]!r} ends before its {size} bytes at {offset}")
    return np.frombuffer(content, dtype=dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(tuple(tensor.dims))


def _beside(folder: Path, location: str, where: str) -> Path:
    """Return the path of a location, which must be an ordinary file in the folder or below it, without links out."""
    parts = PurePosixPath(location).parts
    windows = PureWindowsPath(location)
    if (
        not parts
        or PurePosixPath(location).is_absolute()
        or windows.drive
        or windows.root
        or ".." in (*parts, *windows.parts)
    ):
        raise ModelFileError(f"{where}: its location {location[:80]!r} is outside of the model's folder")
    if "\0" in location:
        raise ModelFileError(f"{where}: its location is not the name of a file")
    path, real = folder.joinpath(*parts), folder.resolve()
    if not path.resolve().is_relative_to(real):
        raise ModelFileError(f"{where}: its location {location[:80]!r} is outside of the model's folder")
    if not path.resolve().is_file():
        raise ModelFileError(f"{where}: there is no file {location[:80]!r} beside the model")
    return path.resolve()


def _element(tensor: onnx.TensorProto, where: str) -> np.dtype[np.generic]:
    """Return the element type, if it is one whose bytes are the values."""
    plain = {
        onnx.TensorProto.DataType.Value(name)
        for name in (
            "FLOAT",
            "DOUBLE",
            "FLOAT16",
            "INT8",
            "INT16",
            "INT32",
            "INT64",
            "UINT8",
            "UINT16",
            "UINT32",
            "UINT64",
            "BOOL",
        )
    }
    if tensor.data_type not in plain or min(tensor.dims, default=1) < 0:
        raise ModelFileError(f"{where}: its element type {tensor.data_type} is not read from other files")
    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))


def _number(entries: dict[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ModelFileError(f"{where}: its {key} must be a number of bytes, got {text[:40]!r}")
    return int(text)
