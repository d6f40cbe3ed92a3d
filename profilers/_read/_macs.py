"""Multiply-accumulates of ONNX nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx

RECURRENT = ("LSTM", "GRU", "RNN")
"""Operators that multiply once for each step of a sequence."""


def node_macs(
    node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]], otherwise: tuple[int, ...] | None = None
) -> int:
    """Return the multiply-accumulates of a node; 0 where a shape is unknown or nothing is multiplied.

    Args:
        node: The node.
        shapes: Shapes of tensors by name, batch axis included.
        otherwise: Shape of its output where `shapes` has none.
    """
    read = [shapes.get(name) for name in node.input]
    written = shapes.get(node.output[0], otherwise) if node.output else None
    if len(read) < 2 or read[0] is None or read[1] is None:
        return 0
    first, second = read[0], read[1]
    if node.op_type == "Conv" and written is not None:
        return math.prod(written) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    if node.op_type == "MatMul" and written is not None:
        return math.prod(written) * first[-1]
    if node.op_type == "Gemm" and written is not None:
        transposed = next((a.i for a in node.attribute if a.name == "transA"), 0)
        return math.prod(written) * first[0 if transposed else -1]
    if node.op_type in RECURRENT and len(read) > 2 and read[2] is not None:
        return first[0] * first[1] * (math.prod(second) + math.prod(read[2]))
    return 0
