"""Attributes of ONNX nodes as plain values, and how errors name a node."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from profilers._errors import ModelFileError

Array = npt.NDArray[Any]


def describe(node: onnx.NodeProto) -> str:
    """Name a node for an error: its name, or that of its first output, and its op type."""
    name = node.name or (node.output[0] if node.output else "")
    return f"node {name[:80]!r} ({node.op_type[:40]})"


def one_line(error: Exception, most: int = 200) -> str:
    """Return the text of an error of other code in one line of at most that length."""
    return " ".join(str(error).split())[:most]


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name.

    Raises:
        ModelFileError: An attribute has no type or stands twice.
    """
    values: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.name in values:
            raise ModelFileError(f"{describe(node)}: the attribute {attribute.name[:40]!r} stands twice")
        try:
            values[attribute.name] = helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ModelFileError(f"{describe(node)}: {one_line(error)}") from None
    return values


def integers(node: onnx.NodeProto, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """Return an attribute that is a list of integers."""
    value = attributes_of(node).get(name)
    return default if value is None else tuple(int(n) for n in value)


def float_array(value: Array) -> npt.NDArray[np.float32]:
    """Return a contiguous copy in 32-bit floats."""
    return np.ascontiguousarray(value, dtype=np.float32)
