"""Shapes of all tensors of a file, and the values of those that are constant, found node by node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from profilers._errors import ModelFileError
from profilers._read._attributes import Array, attributes_of, describe, one_line
from profilers._read._fold import folded_values
from profilers._read._limits import MAX_NODES, MAX_RANK, MAX_TENSOR_BYTES

Extents = tuple[int, ...]
"""Shape of a tensor with its batch axis; ``()`` for a scalar."""
_POOLS = ("MaxPool", "AveragePool", "LpPool")
_KEEP_SHAPE = ("GroupNormalization", "MeanVarianceNormalization")
"""Operators that ONNX has no rule for in some opsets, whose output is like their first input."""


@dataclass(frozen=True)
class TensorType:
    """Element type and extents of a tensor, batch axis included.

    Attributes:
        element: A number of `onnx.TensorProto.DataType`.
        shape: Its extents.
    """

    element: int
    shape: Extents

    @property
    def is_float(self) -> bool:
        """Whether the elements are 32-bit floats."""
        return self.element == int(TensorProto.FLOAT)


@dataclass
class FileGraph:
    """A file's graph with everything known that follows from the file alone.

    Attributes:
        opset: Version of the default operator set.
        inputs: Types of the inputs that are fed, by name, in order.
        outputs: Names of the outputs, in order.
        nodes: The nodes that are not constant and reach an output, in topological order.
        types: The type of every tensor.
        constants: The value of every constant tensor.
        readers: Nodes that read each tensor; ``None`` stands for the graph's outputs.
    """

    opset: int
    inputs: dict[str, TensorType]
    outputs: tuple[str, ...]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    types: dict[str, TensorType] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    readers: dict[str, list[onnx.NodeProto | None]] = field(default_factory=dict)


def infer(
    graph: onnx.GraphProto, opset: int, inputs: Mapping[str, TensorType], stored: Mapping[str, Array], max_bytes: int
) -> FileGraph:
    """Find the type of every tensor and the value of every constant one.

    Args:
        graph: The file's graph.
        opset: Version of its default operator set.
        inputs: Types of the inputs that are fed.
        stored: Values of the initialisers.
        max_bytes: Limit of the constants.

    Raises:
        ModelFileError: A node is malformed or unknown, or a shape is not known before it runs.
    """
    result = FileGraph(opset, dict(inputs), tuple(output.name for output in graph.output))
    result.types |= inputs
    result.constants |= stored
    result.types |= {name: _type_of(value) for name, value in stored.items()}
    if len(graph.node) > MAX_NODES:
        raise ModelFileError(f"the graph has {len(graph.node)} nodes; hwnas reads at most {MAX_NODES}")
    spent = sum(value.nbytes for value in stored.values())
    live = _live_nodes(_sorted_nodes(graph.node, result.types), result.outputs)
    read = {name for node in live for name in node.input if name} | set(result.outputs)
    for node in live:
        values = _extents(node, result.types) or folded_values(node, result.constants, opset)
        if values is None:
            _infer_node(node, result, read)
            result.nodes.append(node)
            continue
        for name, value in zip(filter(None, node.output), values, strict=False):
            result.constants[name] = value
            result.types[name] = _type_of(value)
            spent += value.nbytes
        if spent > max_bytes:
            raise ModelFileError(f"{describe(node)}: the constants of the file take more than {max_bytes} bytes")
    for name in result.outputs:
        if name not in result.types:
            raise ModelFileError(f"no node computes the output {name!r}")
    _drop_dead_nodes(result)
    return result


def _type_of(value: Array) -> TensorType:
    return TensorType(int(helper.np_dtype_to_tensor_dtype(value.dtype)), value.shape)


def _sorted_nodes(nodes: Sequence[onnx.NodeProto], known: Mapping[str, TensorType]) -> list[onnx.NodeProto]:
    """Check that every node reads tensors that exist before it and writes new ones."""
    written = {*known, ""}
    for node in nodes:
        for name in node.input:
            if name not in written:
                raise ModelFileError(f"{describe(node)}: it reads {name!r}, which no earlier node writes")
        for name in node.output:
            if name in written and name:
                raise ModelFileError(f"{describe(node)}: it writes {name!r}, which exists already")
            written.add(name)
    return list(nodes)


def _live_nodes(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes that reach an output: what the others are does not matter."""
    needed, live = set(outputs), list[onnx.NodeProto]()
    for node in reversed(nodes):
        if needed.intersection(filter(None, node.output)):
            needed.update(node.input)
            live.append(node)
    return live[::-1]


def _extents(node: onnx.NodeProto, types: Mapping[str, TensorType]) -> list[Array] | None:
    """Return what a Shape or Size node computes: extents are known before the network runs."""
    if node.op_type not in ("Shape", "Size") or node.domain not in ("", "ai.onnx") or len(node.input) != 1:
        return None
    shape = types[node.input[0]].shape
    if node.op_type == "Size":
        return [np.array(math.prod(shape), dtype=np.int64)]
    attributes = attributes_of(node)
    return [np.array(shape[slice(attributes.get("start"), attributes.get("end"))], dtype=np.int64)]


def _infer_node(node: onnx.NodeProto, graph: FileGraph, read: set[str]) -> None:
    """Infer the types of those outputs of a node that are in `read` with ONNX's own rules."""
    where = describe(node)
    if node.domain not in ("", "ai.onnx"):
        of_runtime = node.domain.startswith(("com.microsoft", "ai.onnx."))
        remedy = (
            "give the file from before ONNX Runtime optimised it"
            if of_runtime
            else "if it is a function in the file, write the file with onnx.inliner.inline_local_functions(model)"
        )
        raise ModelFileError(f"{where}: hwnas reads only ONNX's own operators, not those of {node.domain!r}; {remedy}")
    attributes = attributes_of(node)
    if any(isinstance(value, onnx.GraphProto) for value in attributes.values()):
        raise ModelFileError(
            f"{where}: hwnas cannot read If, Loop or Scan here; export the model without it (hwnas explain accepts it)"
        )
    try:
        schema = onnx.defs.get_schema(node.op_type, graph.opset)
    except onnx.defs.SchemaError:
        raise ModelFileError(f"{where}: ONNX has no such operator in opset {graph.opset}") from None
    types = {name: _proto(graph.types[name]) for name in node.input if name}
    values = {
        name: onnx.numpy_helper.from_array(np.array(graph.constants[name], order="C"), name)
        for name in node.input
        if name in graph.constants and graph.constants[name].size <= 1024
    }
    try:
        results = (
            dict.fromkeys(node.output, types[node.input[0]])
            if node.op_type in _KEEP_SHAPE
            else onnx.shape_inference.infer_node_outputs(
                schema, node, types, values, opset_imports=[helper.make_opsetid("", graph.opset)]
            )
        )
        if node.op_type in _POOLS and attributes.get("ceil_mode", 0):
            given = graph.types[node.input[0]].shape
            results = {name: _without_windows_outside(made, given, attributes) for name, made in results.items()}
    except Exception as error:  # whatever ONNX's rules raise for a malformed node
        raise ModelFileError(f"{where}: {one_line(error)}") from None
    for name in node.output:
        if name in read:
            graph.types[name] = _known_type(where, name, results.get(name))


def _without_windows_outside(result: onnx.TypeProto, given: Extents, attributes: Mapping[str, Any]) -> onnx.TypeProto:
    """Return a pooling's type without last windows that begin behind the input: no runtime computes them.

    ONNX's rules counted them before opset 22.
    """
    axes = len(given) - 2
    strides, pads = attributes.get("strides", (1,) * axes), attributes.get("pads", (0,) * 2 * axes)
    sizes = [int(dim.dim_value) for dim in result.tensor_type.shape.dim[2:]]
    for axis, (size, n, stride, pad) in enumerate(zip(sizes, given[2:], strides, pads[:axes], strict=True)):
        if size > 1 and (size - 1) * stride >= n + pad:
            result.tensor_type.shape.dim[2 + axis].dim_value = size - 1
    return result


def _proto(known: TensorType) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(known.element, known.shape)


def _known_type(where: str, name: str, result: onnx.TypeProto | None) -> TensorType:
    """Return an inferred type.

    Raises:
        ModelFileError: It is unknown, not that of a tensor, or too large.
    """
    if result is None or result.WhichOneof("value") != "tensor_type":
        raise ModelFileError(f"{where}: its output {name!r} is not a tensor whose type is known")
    tensor = result.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        raise ModelFileError(f"{where}: the shape of its output {name!r} is not known before it runs")
    shape = tuple(int(dim.dim_value) for dim in tensor.shape.dim)
    if any(n < 1 for n in shape) or len(shape) > MAX_RANK or math.prod(shape) * 4 > MAX_TENSOR_BYTES:
        raise ModelFileError(f"{where}: its output {name!r} has the shape {shape}, which is empty or too large")
    return TensorType(int(tensor.elem_type), shape)


def _drop_dead_nodes(graph: FileGraph) -> None:
    """Leave out nodes that reach an output through constants alone, and count who reads what."""
    graph.nodes = _live_nodes(graph.nodes, graph.outputs)
    for node in graph.nodes:
        for name in node.input:
            graph.readers.setdefault(name, []).append(node)
    for name in graph.outputs:
        graph.readers.setdefault(name, []).append(None)
