"""Initialisers that are stored outside of the file: only beside it, and only what their extents say."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
from onnx import helper

from profilers._errors import ModelFileError


def external_tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield every tensor with external data in a model: initialisers, attributes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in value if field.is_repeated else (value,):
            if field.message_type.name == "TensorProto" and part.data_location == onnx.TensorProto.EXTERNAL:
                yield part
            else:
                yield from external_tensors(part)


def take_external(tensor: onnx.TensorProto, folder: Path | None, max_bytes: int, limit: int) -> int:
    """Put external data into its tensor; return its bytes.

    Args:
        tensor: The tensor.
        folder: The model's folder; None where the model is not a file.
        max_bytes: Most bytes of the tensor: what is left of the limit.
        limit: Most bytes of the model.

    Raises:
        ModelFileError: Its location, size or type is not one that is read.
    """
    content = _external_bytes(tensor, folder, max_bytes, limit)
    tensor.ClearField("data_location")
    tensor.ClearField("external_data")
    tensor.raw_data = content
    return len(content)


def _external_bytes(tensor: onnx.TensorProto, folder: Path | None, max_bytes: int, limit: int) -> bytes:
    """Read the numbers of a tensor from a file in the model's folder (or below it).

    Args and errors are those of `take_external`.
    """
    where = f"initialiser {tensor.name[:80]!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ModelFileError(
            f"{where}: it is stored in the file {location[:80]!r}; save the model as one file, or give the file itself"
        )
    path = _beside(folder, location, where)
    size = math.prod(tensor.dims) * _element_bytes(tensor, where)
    offset, length = _number(entries, "offset", 0, where), _number(entries, "length", size, where)
    if length != size:
        raise ModelFileError(f"{where}: its shape needs {size} bytes, the file states {length}")
    if size > max_bytes:
        largest = f"{limit} bytes" if limit % 2**30 else f"{limit // 2**30} GiB"
        raise ModelFileError(f"{where}: the model is larger than {largest}")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size < offset + size:
                raise ModelFileError(f"{where}: the file {location[:80]!r} ends before its {size} bytes at {offset}")
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        raise ModelFileError(f"{where}: cannot read the file {location[:80]!r}: {error.strerror or error}") from None
    if len(content) != size:
        raise ModelFileError(f"{where}: the file {location[:80]!r} ends before its {size} bytes at {offset}")
    return content


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


def _element_bytes(tensor: onnx.TensorProto, where: str) -> int:
    """Return the bytes of an element, if its type is one whose bytes are the values."""
    plain = {
        onnx.TensorProto.DataType.Value(name)
        for name in (
            "FLOAT",
            "DOUBLE",
            "FLOAT16",
            "BFLOAT16",
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
        raise ModelFileError(f"{where}: hwnas cannot read the element type {tensor.data_type} from other files")
    return int(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize)


def _number(entries: dict[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ModelFileError(f"{where}: its {key} must be a number of bytes, got {text[:40]!r}")
    return int(text)
