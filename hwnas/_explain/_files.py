"""ONNX files of unknown origin: read within limits, and nothing from outside their folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hwnas._common._text import printable
from hwnas._errors import HwnasError
from latency_tables import open_regular

if TYPE_CHECKING:
    import onnx

MOST_BYTES = 2**30
"""Most bytes of a model, its external data included."""
_EXTERNAL = 1
"""`onnx.TensorProto.EXTERNAL`."""


class ModelError(HwnasError, ValueError):
    """An ONNX file that cannot be read or measured."""


def load_untrusted(path: str | Path, max_bytes: int = MOST_BYTES) -> onnx.ModelProto:
    """Read an ONNX file and the external data beside it; nothing outside its folder is read.

    Args:
        path: The file.
        max_bytes: Most bytes of the file and its external data together.

    Returns:
        The model; all its tensors are inside.

    Raises:
        ModelError: The file is missing, too large or no ONNX file, or its external data is not beside it.
    """
    import onnx
    from google.protobuf.message import DecodeError

    place = Path(path)
    content = _read(place, max_bytes, str(place))
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except (DecodeError, RecursionError):
        raise ModelError(f"{_shown(place)} is not an ONNX file") from None
    if not model.HasField("graph") or not model.graph.node:
        raise ModelError(f"{_shown(place)} is not an ONNX file with a graph")
    left = max_bytes - len(content)
    for tensor in external_tensors(model):
        left -= _fetch(tensor, place, left)
    return model


def external_tensors(message: Any) -> Iterator[Any]:
    """Yield every tensor with external data in a model: initialisers, attributes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in value if field.is_repeated else (value,):
            if field.message_type.name == "TensorProto" and part.data_location == _EXTERNAL:
                yield part
            else:
                yield from external_tensors(part)


def _fetch(tensor: Any, model: Path, left: int) -> int:
    """Put external data into the tensor; return its bytes.

    Raises:
        ModelError: The data is not beside the model, cannot be read, or is more than `left` bytes.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location, where = entries.get("location", ""), f"tensor {printable(tensor.name)!r} of {_shown(model)}"
    parts = PurePosixPath(location).parts
    if not location or "\\" in location or "\0" in location or location.startswith("/") or ".." in parts:
        raise ModelError(f"{where} has its data in {printable(location)!r}, which is not beside the file")
    source = model.parent.joinpath(*parts)
    if not source.resolve().is_relative_to(model.parent.resolve()):
        raise ModelError(f"{where} has its data in {printable(location)!r}, which leads out of the file's folder")
    offset, length = _whole(entries.get("offset", "0"), where), _whole(entries.get("length", "-1"), where)
    data = _read(source, left, f"the data of {where}", offset, length)
    tensor.raw_data = data
    tensor.ClearField("data_location")
    tensor.ClearField("external_data")
    return len(data)


def _whole(text: str, where: str) -> int:
    if text == "-1" or (text.isascii() and text.isdigit() and len(text) < 16):
        return int(text)
    raise ModelError(f"{where} has damaged external data: {printable(text)[:40]!r} is not a number of bytes")


def _read(path: Path, most: int, what: str, offset: int = 0, length: int = -1) -> bytes:
    """Read a part of a regular file.

    Raises:
        ModelError: It cannot be read, is shorter than that, or is more than `most` bytes.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            wanted = size - offset if length < 0 else length
            if wanted > most:
                raise ModelError(f"{printable(what)} is larger than {most:,} bytes, the most that is read")
            if wanted < 0 or offset + wanted > size:
                raise ModelError(f"{printable(what)}: {path.name} is too short; copy it again")
            file.seek(offset)
            data = file.read(wanted)
    except OSError as error:
        raise ModelError(f"cannot read {printable(what)}: {error.strerror}") from None
    if len(data) != wanted:
        raise ModelError(f"{printable(what)} became shorter while it was read")
    return data


def _shown(path: Path) -> str:
    return printable(str(path))
