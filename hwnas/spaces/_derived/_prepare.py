"""A model as its space sees it: primitive ops under plain names, fused as they run, with batch norms to train."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwnas._errors import SpaceError
from hwnas.spaces._derived._groups import KNOWN
from latency_tables import INPUT, Node, Op, OpGraph
from profilers import NORM_EPSILON, executed_graph, expand, graph_parameters, ops

FloatArray = npt.NDArray[np.float32]
_PASSES = {*KNOWN, "identity"} - {"conv", "linear", "norm", "reshape"}
"""Ops between a layer and the output that leave its channels the classes'."""


@dataclass(frozen=True)
class Prepared:
    """A model that is ready to become a space.

    Attributes:
        graph: The network, in primitive ops, as it is executed.
        names: The file's name of each node.
        norms: The file's norm that each convolution took in, by the convolution's name in `graph`.
        put_back: Convolutions that got a batch norm, with what the file had in its place (``bias`` or ``none``).
    """

    graph: OpGraph
    names: Mapping[str, str]
    norms: Mapping[str, str]
    put_back: Mapping[str, str]


def prepare(graph: OpGraph, *, norms: bool = True) -> Prepared:
    """Prepare a model.

    Args:
        graph: The network as it was read; one input, one output.
        norms: Whether convolutions without a batch norm get one, which starts as the identity.

    Raises:
        SpaceError: It has several inputs or outputs.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise SpaceError(
            f"the model must have one input and one output, it has {len(graph.inputs)} and "
            f"{len(graph.outputs)}; cut the others off first"
        )
    plain = expand(graph.without_dead_code())
    merged, taken = _merge_norms(executed_graph(_global_pools(plain)))
    executed = executed_graph(merged)
    names = _plain_names(executed)
    renamed = _renamed(executed, names)
    put_back = _to_put_back(renamed) if norms else {}
    nodes = tuple(
        replace(node, op=node.op.with_attributes(norm="batch")) if node.name in put_back else node
        for node in renamed.nodes
    )
    return Prepared(
        replace(renamed, nodes=nodes),
        {new: old for old, new in names.items() if new != INPUT},
        {names[conv]: norm for conv, norm in taken.items()},
        put_back,
    )


def prepared_weights(prepared: Prepared, weights: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the weights of a prepared model by ``"node.parameter"``; it computes what the file computes.

    Raises:
        SpaceError: A weight is missing or of the wrong shape.
    """
    own: dict[str, FloatArray] = {}
    for node in prepared.graph.nodes:
        parameters = dict(graph_parameters(OpGraph.single(node.op, node.name)))
        values = _values(prepared, node.name, weights)
        for name, parameter in parameters.items():
            value = values.get(name.removeprefix(f"{node.name}."))
            if value is None or value.shape != parameter.shape:
                have = "missing" if value is None else f"of shape {value.shape}"
                raise SpaceError(f"the model's weight {name} is {have}; it must have shape {parameter.shape}")
            own[name] = np.array(value, dtype=np.float32)
    return own


def _values(prepared: Prepared, name: str, weights: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the weights of one node by parameter, as its prepared op wants them."""
    values = _of_node(weights, prepared.names[name])
    norm = prepared.norms.get(name)
    if norm is not None:
        bias = values.pop("bias", None)
        values |= _of_node(weights, norm)
        if bias is not None and "mean" in values:
            values["mean"] = values["mean"] - bias
    if name in prepared.put_back and "weight" in values:
        channels = len(values["weight"])
        bias = values.pop("bias", np.zeros(channels, dtype=np.float32))
        values |= identity_norm(np.zeros(channels), np.ones(channels), bias)
    return values


def identity_norm(
    mean: npt.NDArray[np.float64],
    variance: npt.NDArray[np.float64],
    bias: FloatArray,
    scale: FloatArray | float = 1.0,
) -> dict[str, FloatArray]:
    """Return the parameters of a batch norm with these statistics that computes ``scale * x + bias``.

    Args:
        mean: ``(channels,)``.
        variance: ``(channels,)``.
        bias: ``(channels,)``.
        scale: ``(channels,)``, or one for all.
    """
    values = {
        "gamma": scale * np.sqrt(variance + NORM_EPSILON),
        "beta": scale * mean + bias,
        "mean": mean,
        "variance": variance,
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def _of_node(weights: Mapping[str, FloatArray], node: str) -> dict[str, FloatArray]:
    start = f"{node}."
    return {
        name.removeprefix(start): value
        for name, value in weights.items()
        if name.startswith(start) and "." not in name.removeprefix(start)
    }


def _global_pools(graph: OpGraph) -> OpGraph:
    """Write average pools over whole feature maps as global ones, which have any size."""
    return replace(graph, nodes=tuple(replace(node, op=_global_pool(node.op)) for node in graph.nodes))


def _global_pool(op: Op) -> Op:
    if op.kind != "pool" or op.word("mode") != "average" or set(op.output[1:]) != {1}:
        return op
    axes = len(op.inputs[0]) - 1
    whole = op.integers("kernel", axes) == op.inputs[0][1:] and not any(op.integers("padding", axes))
    return ops.global_pool(op.inputs[0]) if whole else op


def _merge_norms(graph: OpGraph) -> tuple[OpGraph, dict[str, str]]:
    """Let convolutions take in the norms that alone read them; returns the norms by convolution."""
    readers, by_name = graph.consumers(), {node.name: node for node in graph.nodes}
    taken: dict[str, str] = {}
    for node in graph.nodes:
        conv = by_name.get(node.inputs[0]) if node.op.kind == "norm" else None
        if (
            conv is not None
            and _takes_norm(conv.op)
            and len(readers[conv.name]) == 1
            and conv.name not in graph.outputs
        ):
            taken[conv.name] = node.name
    alias = {norm: conv for conv, norm in taken.items()}
    nodes = []
    for node in graph.nodes:
        if node.name in alias:
            continue
        op = node.op
        if node.name in taken:
            op = op.with_attributes(norm="batch", act=by_name[taken[node.name]].op.word("act"))
        nodes.append(Node(node.name, op, tuple(alias.get(name, name) for name in node.inputs)))
    outputs = tuple(alias.get(name, name) for name in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs), taken


def _takes_norm(op: Op) -> bool:
    return op.kind == "conv" and op.word("norm") != "batch" and op.word("act") == "none" and not op.integer("add", 0)


def _plain_names(graph: OpGraph) -> dict[str, str]:
    """Return for the input and each node a name of letters, digits and . _ - that is its own."""
    names = {graph.input_names[0]: INPUT}
    used = {INPUT}
    for node in graph.nodes:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", ".", node.name).strip(".") or "node"
        name, number = plain, 1
        while name in used:
            number += 1
            name = f"{plain}-{number}"
        names[node.name] = name
        used.add(name)
    return names


def _renamed(graph: OpGraph, names: Mapping[str, str]) -> OpGraph:
    nodes = tuple(Node(names[node.name], node.op, tuple(names[i] for i in node.inputs)) for node in graph.nodes)
    return OpGraph(graph.input_shape, nodes, tuple(names[name] for name in graph.outputs))


def _keeps_channels(op: Op) -> bool:
    """Return whether an op behind the last layer leaves its channels the classes'."""
    return op.kind in _PASSES or (op.kind == "reshape" and op.inputs[0][0] == op.output[0])


def _to_put_back(graph: OpGraph) -> dict[str, str]:
    """Find convolutions of feature maps without a batch norm, but not those that give the classes."""
    last = _output_layers(graph)
    return {
        node.name: node.op.word("norm")
        for node in graph.nodes
        if node.op.kind == "conv"
        and node.op.word("norm") != "batch"
        and max(node.op.output[1:]) > 1
        and node.name not in last
    }


def _output_layers(graph: OpGraph) -> set[str]:
    """Return the layers whose channels are those of the output: none but ops that keep channels are behind them."""
    by_name = {node.name: node for node in graph.nodes}
    layers, seen, waiting = set[str](), set[str](), [graph.outputs[0]]
    while waiting:
        node = by_name.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if _keeps_channels(node.op):
            waiting += node.inputs
        else:
            layers.add(node.name)
            waiting += node.inputs[1:] if node.op.kind == "conv" else ()  # a sum that the layer took in
    return layers
