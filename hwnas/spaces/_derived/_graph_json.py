"""An op graph as JSON: what the settings of a derived space hold of its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas._errors import SpaceError
from latency_tables import GraphError, Node, Op, OpGraph
from profilers import OperatorError, operator_of


def graph_as_json(graph: OpGraph) -> dict[str, Any]:
    """Return inputs, nodes (name, key of the op, inputs) and outputs."""
    return {
        "inputs": [[name, list(shape)] for name, shape in graph.inputs],
        "nodes": [[node.name, node.op.key, list(node.inputs)] for node in graph.nodes],
        "outputs": list(graph.outputs),
    }


def graph_from_json(content: Mapping[str, Any]) -> OpGraph:
    """Read what `graph_as_json` writes.

    Raises:
        SpaceError: It is something else.
    """
    try:
        inputs = tuple((str(name), tuple(shape)) for name, shape in content["inputs"])
        nodes = tuple(Node(str(name), Op.parse(key), tuple(read)) for name, key, read in content["nodes"])
        for node in nodes:
            operator_of(node.op).check(node.op)
        return OpGraph(inputs[0][1], nodes, tuple(content["outputs"]), inputs)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SpaceError(f"space derived: its graph is not one that hwnas wrote: {error!r:.120}") from None
    except (GraphError, OperatorError) as error:
        raise SpaceError(f"space derived: its graph is damaged: {error}") from None
