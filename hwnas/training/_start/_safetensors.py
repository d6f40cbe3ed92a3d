"""A strict reader of safetensors files; it trusts nothing that a file says of itself.

Format: 8 bytes (little endian) with the length of a JSON header, the header, then the data of all tensors without gaps
(https://github.com/huggingface/safetensors, section "Format").
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from latency_tables import strict_json

FloatArray = npt.NDArray[np.float32]

MOST_HEADER = 100_000_000
_MOST_TENSORS, _MOST_AXES = 100_000, 8
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}
"""Bytes of one value by the name of its type."""
_READ = ("F32", "F16", "BF16")


def parse_safetensors(content: bytes) -> dict[str, FloatArray]:
    """Read all tensors of floats.

    Args:
        content: The whole file.

    Returns:
        Tensors of float32, float16 and bfloat16 by name as float32.

    Raises:
        ValueError: Saying what is wrong with the file.
    """
    if len(content) < 8:
        raise ValueError("it has fewer than 8 bytes")
    length = int.from_bytes(content[:8], "little")
    if length > min(MOST_HEADER, len(content) - 8):
        raise ValueError(f"its header should have {length} bytes, more than the file")
    data = memoryview(content)[8 + length :]
    entries = _entries(content[8 : 8 + length], len(data))
    return {name: _array(kind, data[start:end], shape) for name, kind, shape, start, end in entries if kind in _READ}


def _entries(header: bytes, size: int) -> list[tuple[str, str, tuple[int, ...], int, int]]:
    """Return name, type, shape, start and end of each tensor, whose data fill `size` bytes without gap or overlap."""
    try:
        stated = strict_json(header.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("its header is not JSON") from None
    if not isinstance(stated, dict):
        raise ValueError("its header is not a JSON object")
    stated.pop("__metadata__", None)
    if len(stated) > _MOST_TENSORS:
        raise ValueError(f"it holds more than {_MOST_TENSORS} tensors")
    entries = sorted((_entry(name, entry) for name, entry in stated.items()), key=lambda entry: entry[3:])
    position = 0
    for name, _, _, start, end in entries:
        if start != position:
            raise ValueError(f"the data of tensor {name!r:.80} start at byte {start}, expected {position}")
        position = end
    if position != size:
        raise ValueError(f"its tensors need {position} bytes of data, the file has {size}")
    return entries


def _entry(name: str, entry: Any) -> tuple[str, str, tuple[int, ...], int, int]:
    """Return name, type, shape, start and end of a tensor, checked against each other."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r:.80} must state dtype, shape and data_offsets alone")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _BYTES:
        raise ValueError(f"tensor {name!r:.80} has unknown dtype {kind!r:.40}")
    if not _extents(shape) or len(shape) > _MOST_AXES:
        raise ValueError(f"tensor {name!r:.80} has an impossible shape {shape!r:.80}")
    if not _extents(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * _BYTES[kind]:
        raise ValueError(f"tensor {name!r:.80} of {kind} {shape!r:.80} does not fit its data_offsets {offsets!r:.80}")
    return name, kind, tuple(shape), offsets[0], offsets[1]


def _extents(values: object) -> bool:
    """Return whether a value is a list of counts."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**48 for value in values)


def _array(kind: str, data: memoryview, shape: tuple[int, ...]) -> FloatArray:
    """Return values as float32."""
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, dtype="<f2" if kind == "F16" else "<f4").astype(np.float32).reshape(shape)
