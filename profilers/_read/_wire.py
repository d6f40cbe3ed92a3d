"""How many messages a file holds, counted before it is parsed: each takes far more memory than its bytes.

Protocol buffers (https://protobuf.dev/programming-guides/encoding) are fields of a number, a wire type and a value; a
message inside a message is a field with a length. Weights are one field each and are stepped over.
"""

from __future__ import annotations

from collections.abc import Mapping

from profilers._errors import ModelFileError
from profilers._read._limits import MAX_DEPTH, MAX_MESSAGES

_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 8: "Leaf", 14: "Leaf", 20: "Training", 25: "Function", 26: "Leaf"},
    "Training": {1: "Graph", 2: "Graph", 3: "Leaf", 4: "Leaf"},
    "Function": {7: "Node", 9: "Leaf", 11: "Attribute", 12: "Value", 14: "Leaf"},
    "Graph": {1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 13: "Value", 14: "Leaf", 15: "Sparse", 16: "Leaf"},
    "Node": {5: "Attribute", 9: "Leaf", 10: "Leaf"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        14: "Type",
        15: "Type",
        22: "Sparse",
        23: "Sparse",
    },
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {3: "Leaf", 13: "Leaf", 16: "Leaf"},
    "Value": {2: "Type", 4: "Leaf"},
    "Type": {1: "TensorType", 4: "Type", 5: "Type", 7: "Type", 8: "TensorType", 9: "Type"},
    "TensorType": {1: "Type", 2: "Shape"},
    "Shape": {1: "Leaf"},
    "Leaf": {},
}
"""Fields that hold messages, by the kind of message; `Leaf` stands for all that hold none of interest."""
_STRINGS = {"Attribute": (8, 9), "Node": (1, 2), "Tensor": (6,)}
"""Repeated strings, which take as much memory as messages."""


def check_messages(content: bytes) -> None:
    """Check that a file is well-formed, not nested too deeply, and holds no more messages than are read.

    Raises:
        ModelFileError: It is not.
    """
    view, count = memoryview(content), 0
    pending = [("Model", 0, len(view), 0)]
    while pending:
        kind, start, end, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ModelFileError(f"its messages are nested more than {MAX_DEPTH} deep")
        children, strings = _MESSAGES[kind], _STRINGS.get(kind, ())
        while start < end:
            tag, start = _varint(view, start, end)
            number, wire_type = tag >> 3, tag & 7
            length = 0
            if wire_type == 2:
                length, start = _varint(view, start, end)
            elif wire_type == 0:
                _, start = _varint(view, start, end)
            elif wire_type in (1, 5):
                length = 8 if wire_type == 1 else 4
            else:
                raise ModelFileError("it is not an ONNX file, or it is damaged")
            if length > end - start:
                raise ModelFileError("it is not an ONNX file, or it is damaged: it ends too early")
            if wire_type == 2 and (number in children or number in strings):
                count += 1
                if number in children:
                    pending.append((children[number], start, start + length, depth + 1))
            if count > MAX_MESSAGES:
                raise ModelFileError(f"it holds more than {MAX_MESSAGES} nodes, attributes and names")
            start += length


def _varint(view: memoryview, start: int, end: int) -> tuple[int, int]:
    """Read a variable-length integer; return it and where the next field begins."""
    value = shift = 0
    while start < end and shift < 70:
        byte = view[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
    raise ModelFileError("it is not an ONNX file, or it is damaged")
