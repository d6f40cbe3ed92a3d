"""Networks of mixed precision: some ops in int8, the others in float32, with a node wherever a tensor changes sides.

An int8 op reads and writes int8 tensors. Inside a composite op, or behind a convolution, stand functions that ONNX
Runtime computes in float32 (hard swish, say); their conversions belong to the op, in networks as in the chains that
price it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from latency_tables import Node, Op, OpGraph
from profilers._operators import expand, parts_of, primitive_of
from profilers._operators._convert import FLOAT, INT8, Convert, convert_op

_HALF = {"fp16": "float16", "bf16": "bfloat16"}


def float_only(op: Op) -> bool:
    """Return whether an op computes in float32 in networks of every precision."""
    return all(primitive_of(part).float_only for part in parts_of(op))


def mixed_graph(graph: OpGraph, int8: Collection[str], *, reads: str = FLOAT, writes: str = FLOAT) -> OpGraph:
    """Return a graph with some nodes in int8, and conversions where a tensor passes between int8 and float32 nodes.

    The names of nodes, and so of weights, stay. A tensor is converted to int8 once, however many nodes read it, and to
    float32 once for each node that reads it: so does ONNX Runtime, which gives each of them a DequantizeLinear.

    Args:
        graph: A float32 graph as it is executed.
        int8: Names of the nodes that compute in int8; those of `float_only` ops stay in float32.
        reads: Dtype of the graph's inputs.
        writes: Dtype of the graph's outputs.
    """
    held = dict.fromkeys(graph.input_names, reads)
    nodes: list[Node] = []

    def converted(tensor: str, dtype: str, reader: str) -> str:
        """Return the name of a tensor in a dtype; the first use of it appends the conversion."""
        if held[tensor] == dtype:
            return tensor
        name = f"{tensor}:{dtype}" if dtype == INT8 else f"{tensor}:{reader}"
        if name not in held:
            nodes.append(Node(name, convert_op(graph.shape_of(tensor), dtype), (tensor,)))
            held[name] = dtype
        return name

    for node in graph.nodes:
        dtype = INT8 if node.name in int8 and not float_only(node.op) else FLOAT
        inputs = tuple(converted(name, dtype, node.name) for name in node.inputs)
        nodes.append(Node(node.name, replace(node.op, dtype=dtype), inputs))
        held[node.name] = dtype
    outputs = tuple(converted(name, writes, writes) for name in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def graph_at(graph: OpGraph, precision: str) -> OpGraph:
    """Return a graph as a precision executes it, or a part of a network: what its weights and tensors take follows.

    In int8 the inputs and outputs are int8, too, as runtimes for microcontrollers pass them; float-only ops keep
    float32, with a conversion before and behind them.

    Args:
        graph: As a space builds it.
        precision: ``"int8"``, ``"fp16"`` or ``"bf16"``. The graphs of ``"fp32"`` and ``"mixed"`` stay.
    """
    if precision == "int8":
        return mixed_graph(graph, {node.name for node in graph.nodes}, reads=INT8, writes=INT8)
    if precision not in _HALF:
        return graph
    nodes = (replace(node, op=replace(node.op, dtype=_HALF[precision])) for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def int8_nodes(graph: OpGraph) -> frozenset[str]:
    """Return the names of the primitive nodes of a network that compute in int8, as `quantize_model` takes them."""
    live = expand(graph.without_dead_code())
    return frozenset(node.name for node in live.nodes if node.op.dtype == INT8 and node.op.kind != Convert.kind)


def quantised_nodes(graph: OpGraph, precision: str) -> frozenset[str] | None:
    """Return what `quantize_model` quantises of a network: its int8 nodes for ``"mixed"``, else all that it can."""
    return int8_nodes(graph) if precision == "mixed" else None
