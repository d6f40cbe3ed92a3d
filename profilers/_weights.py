"""Weights of a graph as plain arrays, by name ``"node.parameter"``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

import numpy as np

from latency_tables import Node, Op, OpGraph
from profilers._errors import OperatorError
from profilers._operators import Parameter, expand, parts_of, primitive_of, weight_name
from profilers._operators._base import FloatArray


def graph_parameters(graph: OpGraph) -> Iterator[tuple[str, Parameter]]:
    """List every weight tensor of `graph` with its name ``"node.parameter"``, in the graph's order.

    A tensor that nodes share is listed once.

    Raises:
        OperatorError: Nodes that share a tensor by their names (`weight_name`) need different ones.
    """
    seen: dict[str, tuple[str, Parameter]] = {}
    for node, _, full, parameter in _owned_parameters(graph):
        if full not in seen:
            seen[full] = node.name, parameter
            yield full, parameter
        elif seen[full][1] != parameter:
            first, other = seen[full]
            alike = other.shape == parameter.shape
            need = "use it differently" if alike else f"need {other.shape} and {parameter.shape}"
            raise OperatorError(
                f"nodes {first} and {node.name} share the weight {full} by their names, but {need}; give them equal "
                f"{'attributes' if alike else 'shapes'}, or other names before the @"
            )


def random_weights(graph: OpGraph, seed: int = 0, tied: Collection[Op] = ()) -> dict[str, FloatArray]:
    """Draw He-initialised weights for every node, so that activations stay of order one while measuring.

    Args:
        graph: The network.
        seed: Seed of the draws.
        tied: Ops all of whose nodes get the same weights.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, FloatArray] = {}
    first: dict[tuple[Op, str], FloatArray] = {}
    for node, name, full, parameter in _owned_parameters(graph):
        value = first.get((node.op, name)) if node.op in tied else weights.get(full)
        weights[full] = initial_value(parameter, rng) if value is None else value
        first[node.op, name] = weights[full]
    return weights


def _owned_parameters(graph: OpGraph) -> Iterator[tuple[Node, str, str, Parameter]]:
    """List each node's weights: the node in `graph`, the name within it, the full name, and the description."""
    parts = iter(expand(graph).nodes)
    for node in graph.nodes:
        for part in islice(parts, len(parts_of(node.op))):
            for name, parameter in primitive_of(part.op).parameters(part.op).items():
                inner = f"{part.name}.{name}"[len(node.name) :]
                yield node, inner, weight_name(part.name, name, parameter), parameter


def initial_value(parameter: Parameter, rng: np.random.Generator) -> FloatArray:
    """Draw the starting value of one weight tensor from `rng`."""
    if parameter.init == "he":
        deviation = np.float32(np.sqrt(2.0 / parameter.fan_in))
        return rng.standard_normal(parameter.shape, dtype=np.float32) * deviation
    fill = np.float32(1.0 if parameter.init == "one" else 0.0)
    return np.full(parameter.shape, fill, dtype=np.float32)


def node_weights(weights: Mapping[str, FloatArray], node: str, names: Mapping[str, Parameter]) -> dict[str, FloatArray]:
    """Look up the weights of one node and check them against what its operator needs.

    Raises:
        OperatorError: A weight is absent or of the wrong shape.
    """
    own = {}
    for name, parameter in names.items():
        full = weight_name(node, name, parameter)
        value = weights.get(full)
        if value is None:
            raise OperatorError(f"the weight {full} is missing")
        if value.shape != parameter.shape:
            raise OperatorError(f"the weight {full} must have the shape {parameter.shape}, got {value.shape}")
        own[name] = value
    return own
