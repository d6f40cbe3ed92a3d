"""Activations that ONNX Runtime executes apart from their convolution, replaced by Relu."""

from __future__ import annotations

import onnx

from hwnas._explain._changes._graph import Net
from hwnas._explain._changes._proposal import NotPossibleError, Proposal, Subject

_PRODUCERS = {"Conv", "Gemm", "BatchNormalization"}
_SINGLE = {"HardSwish", "Gelu", "Elu", "Selu", "Celu", "PRelu", "Mish", "Softplus", "Softsign", "ThresholdedRelu"}
_SINGLE |= {"Swish", "QuickGelu"}
"""Activations of one node that ONNX Runtime's CPU provider does not execute within the convolution before."""
_PARTS = {"Add", "Sub", "Mul", "Div", "Pow", "Sigmoid", "HardSigmoid", "Tanh", "Erf", "Clip", "Relu", "Exp", "Log"}
_PARTS |= {"Softplus", "Sqrt", "Abs", "Neg", "Identity"}
"""Nodes that activations are composed of."""
_REACH = 40
"""Nodes behind a convolution among which its activation is looked for."""


def plain_activations(subject: Subject) -> list[Proposal]:
    """Return the network with Relu in place of every activation that is not executed within its convolution.

    Raises:
        NotPossibleError: There is none.
    """
    net = Net(subject.simplified)
    activations = [found for number in range(len(net.nodes)) if (found := activation_after(net, number))]
    if not activations:
        raise NotPossibleError("every activation is executed within its convolution, or stands elsewhere")
    names = tuple(net.nodes[numbers[-1]].name for numbers in activations)
    _replace(net, activations)
    many = "activations that are nodes of their own" if len(names) > 1 else "activation that is a node of its own"
    text = f"Relu in place of {len(names)} {many} ({_kinds(subject.simplified, activations)})"
    return [Proposal("activation", text, names, net.finished())]


def activation_after(net: Net, producer: int) -> list[int]:
    """Return the numbers of the nodes that are the activation of a node; empty where there is none to replace.

    These read the producer's output alone, are its only readers, and have one result. ``x * sigmoid(x)`` is one such
    set of nodes, GELU's five nodes another.

    Args:
        net: The graph.
        producer: Number of the node.
    """
    nodes = net.nodes
    if nodes[producer].op_type not in _PRODUCERS:
        return []
    source, region, inside = nodes[producer].output[0], [], {nodes[producer].output[0]}
    if source in net.outputs:
        return []
    for number in range(producer + 1, min(len(nodes), producer + 1 + _REACH)):
        node, data = nodes[number], list(net.read(nodes[number]))
        if not data or not set(data) <= inside or node.op_type not in _PARTS | _SINGLE:
            continue
        region.append(number)
        inside.add(node.output[0])
        if _open(net, inside, region) == [node.output[0]]:
            break
    else:
        return []
    if len(region) == 1:
        return region if nodes[region[0]].op_type in _SINGLE else []
    return _with_scale(net, region)


def _open(net: Net, inside: set[str], region: list[int]) -> list[str]:
    """Return tensors that are read outside the region, or that are the graph's results."""
    return [n for n in inside if n in net.outputs or any(r not in region for r in net.readers.get(n, ()))]


def _with_scale(net: Net, region: list[int]) -> list[int]:
    """Add what multiplies the result by a constant, as in ``x * clip(x + 3, 0, 6) / 6``."""
    nodes = net.nodes
    result = nodes[region[-1]].output[0]
    readers = net.readers.get(result, [])
    if result in net.outputs or len(readers) != 1 or nodes[readers[0]].op_type not in ("Mul", "Div"):
        return region
    data = list(net.read(nodes[readers[0]]))
    constants = [net.constants[name] for name in nodes[readers[0]].input if name in net.constants]
    return [*region, readers[0]] if data == [result] and all(c.size == 1 for c in constants) else region


def _replace(net: Net, activations: list[list[int]]) -> None:
    """Put a Relu where the last node of each activation stands, and remove its other nodes."""
    nodes = net.nodes
    removed = {number for numbers in activations for number in numbers}
    relus: dict[int, onnx.NodeProto] = {}
    for numbers in activations:
        source = next(net.read(nodes[numbers[0]]))
        last = nodes[numbers[-1]]
        relus[numbers[-1]] = onnx.helper.make_node("Relu", [source], [last.output[0]], f"{last.name}/relu")
    kept = [relus.get(number, node) for number, node in enumerate(nodes) if number not in removed or number in relus]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del net.model.graph.node[:]
    net.model.graph.node.extend(copies)


def _kinds(model: onnx.ModelProto, activations: list[list[int]]) -> str:
    """Return what the activations consist of, each kind once."""
    kinds = {"+".join(model.graph.node[number].op_type for number in numbers) for numbers in activations}
    return ", ".join(sorted(kinds))
