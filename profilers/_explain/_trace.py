"""Which nodes of the file each executed node executes, and what they compute."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import shape_inference

from profilers._explain._graph import BLOCKED_DOMAIN, REORDERS, ExecutedGraph, ExecutedNode, names_read
from profilers._read._macs import node_macs

_SUFFIX = "_nchwc"
"""Ends the name of a blocked node, which is otherwise that of the tensor that the file's node writes."""
_RESHAPES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}
Shapes = Mapping[str, tuple[int, ...]]


class Trace:
    """The nodes of a file by the executed node that contains them.

    Args:
        file: The model before the runtime's optimisations, with fixed shapes.
        graph: The graph that is executed.
        executed: Shapes of its tensors by name, for what cannot be inferred from the file.
    """

    def __init__(self, file: onnx.ModelProto, graph: ExecutedGraph, executed: Shapes | None = None) -> None:
        self._graph = graph
        self._nodes = list(file.graph.node)
        self._producer = {name: number for number, node in enumerate(self._nodes) for name in node.output if name}
        self._readers: dict[str, list[int]] = {}
        for number, node in enumerate(self._nodes):
            for name in names_read(node):
                self._readers.setdefault(name, []).append(number)
        self.shapes = {**(executed or {}), **_shapes(file)}
        self._owner: dict[int, int] = {}
        self._claim_anchors(graph)
        self._claim_sums(graph)
        self._claim_fused(file)
        self._contents: dict[int, list[onnx.NodeProto]] = {}
        for number, owner in sorted(self._owner.items()):
            self._contents.setdefault(owner, []).append(self._nodes[number])

    def _claim_anchors(self, graph: ExecutedGraph) -> None:
        for number, node in enumerate(graph.nodes):
            for name in (*node.writes, node.proto.name.removesuffix(_SUFFIX)):
                producer = self._producer.get(name)
                if producer is None or (_is_reorder(node) and self._nodes[producer].op_type != "Transpose"):
                    continue  # a layout change executes a Transpose of the file at most
                self._owner.setdefault(producer, self._computing(number, producer))

    def _claim_sums(self, graph: ExecutedGraph) -> None:
        """Give a blocked convolution the sum, and the activation after it, that the runtime fused into it."""
        owned = {owner: file for file, owner in sorted(self._owner.items())}
        for number, node in enumerate(graph.nodes):
            if node.proto.domain != BLOCKED_DOMAIN or number not in owned:
                continue
            steps: list[tuple[str, ...]] = [("Add", "Sum")] if len(node.proto.input) > 3 and node.proto.input[3] else []
            steps += [(a.s.decode(errors="replace"),) for a in node.proto.attribute if a.name == "activation"]
            last = owned[number]
            for kinds in steps:
                after = [n for name in self._nodes[last].output for n in self._readers.get(name, [])]
                if len(after) != 1 or after[0] in self._owner or self._nodes[after[0]].op_type not in kinds:
                    break
                last = after[0]
                self._owner[last] = number

    def _claim_fused(self, file: onnx.ModelProto) -> None:
        """Give the rest to what reads it; what depends on constants alone is computed before the first run."""
        live = {value.name for value in file.graph.input}
        for node in self._nodes:
            if any(name in live for name in names_read(node)):
                live.update(node.output)
        for number in reversed(range(len(self._nodes))):
            if number in self._owner or not live.intersection(self._nodes[number].output):
                continue
            after = [n for name in self._nodes[number].output for n in self._readers.get(name, [])]
            owners = [self._owner[n] for n in after if n in self._owner]
            if owners:
                self._owner[number] = self._computing(min(owners), number)

    def _computing(self, number: int, node: int) -> int:
        """Return the executed node that computes a node of the file, given the one that writes its result.

        The runtime computes a MatMul of 3 axes as a Gemm of 2, and a Reshape of its own writes the result.
        """
        executed = self._graph.nodes[number]
        if executed.proto.op_type != "Reshape" or self._nodes[node].op_type in _RESHAPES or not executed.reads:
            return number
        return self._graph.producer.get(executed.reads[0], number)

    def nodes_of(self, number: int) -> list[onnx.NodeProto]:
        """Return the file's nodes that an executed node contains, in their order."""
        return self._contents.get(number, [])

    def macs(self, number: int) -> int:
        """Return the multiply-accumulates of an executed node."""
        writes = self._graph.nodes[number].writes
        written = self.shapes.get(writes[0]) if writes else None
        return sum(node_macs(node, self.shapes, written) for node in self.nodes_of(number))

    def convolution(self, number: int) -> tuple[int, int, int] | None:
        """Return input channels, output channels and groups of an executed convolution; None for anything else."""
        for node in self.nodes_of(number):
            weight = self.shapes.get(node.input[1]) if node.op_type == "Conv" else None
            if weight:
                groups = next((a.i for a in node.attribute if a.name == "group"), 1)
                return weight[1] * groups, weight[0], groups
        return None


def _is_reorder(node: ExecutedNode) -> bool:
    return node.proto.op_type in REORDERS


def _shapes(file: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that follow from the file; large constants take part without their numbers."""
    bare = onnx.ModelProto()
    bare.CopyFrom(file)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in bare.graph.initializer}
    for tensor in bare.graph.initializer:
        if math.prod(tensor.dims) > 64:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data"):
                tensor.ClearField(field)
    try:
        inferred = shape_inference.infer_shapes(bare, data_prop=True)
    except Exception:  # an operator that onnx does not know: shapes stay unknown
        return shapes
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        axes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(axis.HasField("dim_value") for axis in axes):
            shapes[value.name] = tuple(axis.dim_value for axis in axes)
    return shapes
