"""A network as it ships: batch norms folded into the convolutions before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from latency_tables import Node, OpGraph
from profilers._operators import expand, primitive_of
from profilers._operators._base import FloatArray
from profilers._operators._dense import folded_op
from profilers._weights import node_weights


def folded_graph(graph: OpGraph) -> OpGraph:
    """Write the graph in primitive ops, with a bias in place of each convolution's batch norm.

    Nodes that shared weights share none here: their batch norms differ, so their folded weights do.
    """
    live = expand(graph)
    nodes = tuple(Node(_alone(node.name), folded_op(node.op), tuple(map(_alone, node.inputs))) for node in live.nodes)
    return replace(live, nodes=nodes, outputs=tuple(map(_alone, live.outputs)))


def folded_weights(graph: OpGraph, weights: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Fold the weights of `graph` into those of `folded_graph`, by ``"node.parameter"``.

    Raises:
        OperatorError: A weight is missing or of the wrong shape.
    """
    folded: dict[str, FloatArray] = {}
    for node in expand(graph).nodes:
        operator = primitive_of(node.op)
        own = node_weights(weights, node.name, operator.parameters(node.op))
        values = operator.fold(node.op, own) if folded_op(node.op) != node.op else own
        folded |= {f"{_alone(node.name)}.{name}": value for name, value in values.items()}
    return folded


def _alone(node: str) -> str:
    """Return a node's name without what lets it share weights (`weight_name`)."""
    return node.replace("@", "~")
