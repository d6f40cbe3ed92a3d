"""Nodes whose inputs are all constant: their values, computed while reading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from profilers._errors import ModelFileError
from profilers._read._attributes import Array, attributes_of, describe, one_line
from profilers._read._limits import MAX_FOLDED_ELEMENTS

SOFTMAX_ALONG_AN_AXIS = 13
"""Opset from which Softmax, LogSoftmax and Hardmax take one axis alone."""

_ELEMENTWISE = {
    "Abs",
    "Add",
    "And",
    "Cast",
    "Ceil",
    "Clip",
    "Cos",
    "Div",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Sqrt",
    "Sub",
    "Tanh",
    "Where",
    "Trilu",
    "CumSum",
}
_MOVING = {
    "Concat",
    "Flatten",
    "GatherElements",
    "LogSoftmax",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Softmax",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "ScatterND",
    "ScatterElements",
}
"""Operators whose result is about as large as their inputs, or smaller."""


def folded_values(node: onnx.NodeProto, constants: Mapping[str, Array], opset: int) -> list[Array] | None:
    """Return the values of a node's outputs where its inputs are constant; ``None`` where they are not.

    Raises:
        ModelFileError: The values cannot be computed, or they are too large.
    """
    if node.domain not in ("", "ai.onnx") or not all(name in constants for name in node.input if name):
        return None
    values = [constants[name] if name else None for name in node.input]
    try:
        if node.op_type == "Constant":
            return [_constant(node)]
        if node.op_type == "ConstantOfShape":
            return [_filled(node, values)]
        if node.op_type == "Identity" and len(values) == 1 and values[0] is not None:
            return [values[0]]
        if node.op_type in ("Softmax", "LogSoftmax") and opset < SOFTMAX_ALONG_AN_AXIS and values[0] is not None:
            return [_flat_softmax(node, values[0])]
        return _evaluated(node, values, opset)
    except ModelFileError:
        raise
    except Exception as error:  # whatever numpy or ONNX's reference raise for a malformed node
        raise ModelFileError(f"{describe(node)}: {one_line(error)}") from None


def _flat_softmax(node: onnx.NodeProto, x: Array) -> Array:
    """Return what Softmax and LogSoftmax meant before opset 13: the axes from `axis` on are one."""
    axis = int(attributes_of(node).get("axis", 1))
    if not -x.ndim <= axis <= x.ndim:
        raise ModelFileError(f"{describe(node)}: it has no axis {axis}")
    rows = x.reshape(math.prod(x.shape[: axis if axis >= 0 else axis + x.ndim]), -1)
    rows = rows - rows.max(1, keepdims=True)
    logarithms = rows - np.log(np.exp(rows).sum(1, keepdims=True))
    result: Array = logarithms if node.op_type == "LogSoftmax" else np.exp(logarithms)
    return result.reshape(x.shape).astype(x.dtype)


def _constant(node: onnx.NodeProto) -> Array:
    attributes = attributes_of(node)
    if len(attributes) != 1:
        raise ModelFileError(f"{describe(node)}: a constant needs one value")
    ((name, value),) = attributes.items()
    if name == "value":
        return stored_array(value, describe(node))
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if name not in kinds:
        raise ModelFileError(f"{describe(node)}: hwnas cannot read a constant of the kind {name!r}")
    return np.array(value, dtype=kinds[name])


def stored_array(tensor: onnx.TensorProto, where: str) -> Array:
    """Return the values of a tensor that is stored in the file itself.

    Raises:
        ModelFileError: Its size or type is not what its extents say.
    """
    count = math.prod(tensor.dims)
    if min(tensor.dims, default=1) < 0 or tensor.HasField("segment"):
        raise ModelFileError(f"{where}: a tensor has the extents {tuple(tensor.dims)}")
    held = len(tensor.raw_data) + 8 * sum(
        len(part)
        for part in (
            tensor.float_data,
            tensor.int32_data,
            tensor.int64_data,
            tensor.double_data,
            tensor.uint64_data,
            tensor.string_data,
        )
    )
    if count > 2 * held:  # two 4-bit integers share a byte
        raise ModelFileError(f"{where}: a tensor says that it has {count} elements, but holds {held} bytes")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelFileError(f"{where}: only initialisers may be stored outside the file")
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # whatever ONNX raises for a malformed tensor
        raise ModelFileError(f"{where}: hwnas cannot read a tensor: {one_line(error)}") from None


def _filled(node: onnx.NodeProto, values: Sequence[Array | None]) -> Array:
    """Return ConstantOfShape as a view of one element, whatever its size."""
    (shape,) = values
    if shape is None or shape.ndim > 1 or shape.size > 8 or (shape < 0).any() or math.prod(shape.tolist()) > 1 << 31:
        raise ModelFileError(f"{describe(node)}: the shape is malformed or too large")
    value = attributes_of(node).get("value")
    fill = np.zeros(1, np.float32) if value is None else stored_array(value, describe(node)).reshape(-1)
    return np.broadcast_to(fill[:1].reshape(()), tuple(int(n) for n in np.atleast_1d(shape)))


def _evaluated(node: onnx.NodeProto, values: Sequence[Array | None], opset: int) -> list[Array] | None:
    """Compute a node with ONNX's reference implementation, if its type is known to be harmless."""
    given = [value for value in values if value is not None]
    if node.op_type in _ELEMENTWISE:
        size = math.prod(np.broadcast_shapes(*(value.shape for value in given)))
    elif node.op_type in _MOVING:
        size = sum(value.size for value in given)
    else:
        size = _stated_size(node, given)
    if size < 0 or not given:
        return None
    if node.op_type == "Split" and attributes_of(node).get("num_outputs", 0) > len(node.output):
        raise ModelFileError(f"{describe(node)}: num_outputs is more than its {len(node.output)} outputs")
    if size > MAX_FOLDED_ELEMENTS:
        if node.op_type in ("Unsqueeze", "Squeeze", "Reshape", "Transpose"):
            return None
        raise ModelFileError(f"{describe(node)}: it computes a constant of {size} elements; store the result instead")
    return _reference(node, values, opset)


def _stated_size(node: onnx.NodeProto, given: Sequence[Array]) -> int:
    """Return how many elements a node makes whose inputs say it; -1 for an unknown type."""
    if node.op_type == "Range" and len(given) == 3:
        start, limit, delta = (float(value.reshape(-1)[0]) for value in given)
        return max(0, math.ceil((limit - start) / delta))
    if node.op_type == "Expand" and len(given) == 2:
        return math.prod(np.broadcast_shapes(given[0].shape, tuple(int(n) for n in given[1])))
    if node.op_type == "Tile" and len(given) == 2:
        return given[0].size * math.prod(abs(int(n)) for n in given[1])
    if node.op_type in ("Gather", "GatherND") and len(given) == 2:
        return max(given[0].size + given[1].size, _gathered_size(node, *given))
    return -1


def _gathered_size(node: onnx.NodeProto, data: Array, indices: Array) -> int:
    """Return how many elements a Gather or GatherND makes: a part of the data for each index."""
    attributes = attributes_of(node)
    if node.op_type == "Gather":
        rest: list[int] = list(data.shape)
        del rest[int(attributes.get("axis", 0))]
        return indices.size * math.prod(rest)
    taken = int(attributes.get("batch_dims", 0)) + indices.shape[-1]
    return math.prod(indices.shape[:-1]) * math.prod(data.shape[taken:])


def _reference(node: onnx.NodeProto, values: Sequence[Array | None], opset: int) -> list[Array]:
    from onnx.reference import ReferenceEvaluator

    names = [f"x{i}" if value is not None else "" for i, value in enumerate(values)]
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(names)
    body = helper.make_graph(
        [copy],
        "constant",
        [helper.make_value_info(name, onnx.TypeProto()) for name in names if name],
        [helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)])
    fed = {name: np.asarray(value) for name, value in zip(names, values, strict=True) if name}
    results: Any = ReferenceEvaluator(model).run(None, fed)
    return [np.asarray(result) for result in results]
