"""Operators: what each computes, costs and is in ONNX and torch, stated once."""

from __future__ import annotations

from dataclasses import replace

from latency_tables import GraphBuilder, Node, Op, OpGraph
from profilers._operators._base import BatchNorm, Composite, Emitter, Operator, Parameter, Primitive, weight_name
from profilers._operators._logmel import MOST_PIECES, MOST_SAMPLES, empty_mel_bands
from profilers._operators._registry import (
    OPERATOR_GROUP,
    operator_kinds,
    operator_of,
    primitive_of,
    register_operator,
    remembered,
)


@remembered
def _expanded_op(op: Op) -> OpGraph | None:
    operator = operator_of(op)
    operator.check(op)
    if not isinstance(operator, Composite):
        return None
    part = expand(operator.expand(op))
    if op.dtype == Op.dtype:
        return part
    return replace(part, nodes=tuple(replace(node, op=replace(node.op, dtype=op.dtype)) for node in part.nodes))


@remembered
def parts_of(op: Op) -> tuple[Op, ...]:
    """Return the primitive ops that an op consists of: itself, if it is primitive.

    Raises:
        OperatorError: It is unknown or contradicts its operator.
    """
    part = _expanded_op(op)
    return (op,) if part is None else tuple(node.op for node in part.nodes)


def expand(graph: OpGraph) -> OpGraph:
    """Write the graph in primitive operators; a composite node's parts are called ``"node.part"``.

    Raises:
        OperatorError: An op is unknown or contradicts its operator.
    """
    builder = GraphBuilder(dict(graph.inputs))
    names: dict[str, str] = {name: name for name in graph.input_names}
    for node in graph.nodes:
        names[node.name] = _splice(builder, node, names)
    return builder.build(*(names[name] for name in graph.outputs))


def trained_graph(graph: OpGraph) -> OpGraph:
    """Return the part of a network that is trained: without the post-processing of its outputs.

    Raises:
        OperatorError: An op is unknown.
    """
    outputs = tuple(_before_post_processing(graph, name) for name in graph.outputs)
    return graph if outputs == graph.outputs else replace(graph, outputs=outputs).without_dead_code()


def _before_post_processing(graph: OpGraph, name: str) -> str:
    by_name = {node.name: node for node in graph.nodes}
    while name in by_name and operator_of(by_name[name].op).post_processing:
        name = by_name[name].inputs[0]
    return name


def _splice(builder: GraphBuilder, node: Node, names: dict[str, str]) -> str:
    part = _expanded_op(node.op)
    if part is None:
        return builder.add(node.name, node.op, *(names[i] for i in node.inputs))
    return builder.splice(part, prefix=f"{node.name}.", at=[names[name] for name in node.inputs])


__all__ = [
    "MOST_PIECES",
    "MOST_SAMPLES",
    "OPERATOR_GROUP",
    "BatchNorm",
    "Composite",
    "Emitter",
    "Operator",
    "Parameter",
    "Primitive",
    "empty_mel_bands",
    "expand",
    "operator_kinds",
    "operator_of",
    "parts_of",
    "primitive_of",
    "register_operator",
    "remembered",
    "trained_graph",
    "weight_name",
]
