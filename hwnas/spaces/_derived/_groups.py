"""Dependency groups: channels of a network that can only be left out together.

The idea is that of DepGraph (Fang et al. 2023, arXiv 2301.12900, section 3): whoever removes a channel of one tensor
must remove it from all tensors that it is added to, multiplied with or filtered into.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hwnas.spaces._derived._segments import Axis, Run, Segment, cut, fresh, protect, resolved, tie, widened
from latency_tables import INPUT, Node, OpGraph

ELEMENTWISE = ("activation", "norm", "pool", "global_pool", "upsample")
"""Kinds that leave channels where they are."""
KNOWN = (*ELEMENTWISE, "conv", "linear", "add", "mul", "scale", "concat", "slice", "reshape", "softmax")
"""Kinds whose channels are followed; any other op keeps all of what it reads and writes."""
_MISALIGNED = "its channels meet others in another layout"
GATE = "bottleneck of a squeeze-excite, which costs next to nothing"
KEEP = "keep"
"""Why a layer stays as it is that a pattern of `keep` names."""


@dataclass(frozen=True)
class Group:
    """Channels that are kept or left out together.

    Attributes:
        name: The first node that writes them, numbered where it writes several groups.
        count: Number of units.
        width: Channels of one unit in the node that names the group.
        reason: Why they are all kept; empty where they are searched.
        nodes: Nodes whose results hold them, in order.
    """

    name: str
    count: int
    width: int
    reason: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A group where it occurs in the channels of a tensor.

    Attributes:
        group: Name of the group.
        count: Units.
        width: Channels (or features) of one unit there.
    """

    group: str
    count: int
    width: int


@dataclass(frozen=True)
class Layout:
    """The channels of every tensor of a network.

    Attributes:
        groups: The groups by name, in the order of the network.
        written: For each tensor (by node, or the input) its groups, first channel to last.
        read: For each dense convolution and linear layer the groups of the axis that it sums over.
    """

    groups: Mapping[str, Group]
    written: Mapping[str, tuple[Part, ...]]
    read: Mapping[str, tuple[Part, ...]]


def layout_of(graph: OpGraph, kept: Collection[str] = ()) -> Layout:
    """Find the groups of a prepared network.

    Args:
        graph: The network: primitive ops, one input, one output.
        kept: Nodes that must keep all channels that they write.
    """
    axes: dict[str, Axis] = {INPUT: fresh(graph.input_shape[0], "it is the network's input")}
    for node in graph.nodes:
        axes[node.name] = _axis(node, [axes[name] for name in node.inputs])
        if node.name in kept:
            protect(axes[node.name], kept_by(node.name))
    for run in resolved(axes[graph.outputs[0]]):
        run.segment.reason = "it is the network's output"
    _protect_gates(graph, axes)
    return _named(graph, axes)


def matching(graph: OpGraph, names: Mapping[str, str], patterns: Collection[str]) -> set[str]:
    """Return the nodes that patterns name (``*`` and ``?`` stand for anything).

    A pattern matches the node's own name or the file's: ``/head/Gemm`` is ``head.Gemm``, ``/0/Conv`` is
    ``_0.Conv``. ``head`` also matches ``head.Gemm``.
    """
    dotted = [pattern.strip("/").replace("/", ".") for pattern in patterns]
    forms = {*patterns, *dotted, *(f"_{form}" for form in dotted if form[:1].isdigit())}
    wanted = [*forms, *(f"{form}.*" for form in forms)]
    return {
        node.name
        for node in graph.nodes
        if any(fnmatchcase(name, form) for name in (node.name, names[node.name]) for form in wanted)
    }


def kept_by(node: str) -> str:
    """Return why channels stay that are those of a node which `keep` names."""
    return f"{KEEP}={node}"


def reads_densely(node: Node) -> bool:
    """Return whether every channel that a node writes sums over all channels that it reads."""
    return node.op.kind == "linear" or (node.op.kind == "conv" and node.op.integer("groups") == 1)


def has_channels(node: Node) -> bool:
    """Return whether the first axis of each of a node's weights is that of the channels that it writes."""
    return node.op.kind in ("conv", "linear", "norm")


def flattens(node: Node) -> bool:
    """Return whether a reshape only joins the axes behind the channels to these, or adds axes of one element."""
    (read,), written = node.op.inputs, node.op.output
    return set(written[1:]) <= {1} and written[0] == math.prod(read)


def _axis(node: Node, inputs: list[Axis]) -> Axis:
    """Return the channels that a node writes, tied to those that it reads."""
    op, kind = node.op, node.op.kind
    if kind in ELEMENTWISE:
        return inputs[0]
    if kind in ("conv", "linear"):
        written = fresh(op.output[0]) if reads_densely(node) else _grouped(node, inputs[0])
        for shortcut in inputs[1:]:
            tie(written, shortcut, _MISALIGNED)
        return written
    if kind in ("add", "mul", "scale"):
        tie(inputs[0], inputs[1], _MISALIGNED)
        return inputs[0]
    if kind == "concat":
        return tuple(run for axis in inputs for run in axis)
    if kind == "slice":
        part = cut(inputs[0], op.integer("start"), op.integer("channels"))
        if part is not None:
            return part
        reason = "a slice of them begins or ends within a unit"
        protect(inputs[0], reason)
        return fresh(op.output[0], reason)
    if kind == "reshape" and flattens(node):
        return widened(inputs[0], math.prod(op.inputs[0][1:]))
    reason = f"{op.word('node') if kind == 'onnx' else kind} needs all of its channels"
    for axis in inputs:
        protect(axis, reason)
    return fresh(op.output[0], reason)


def _grouped(node: Node, read: Axis) -> Axis:
    """Tie the groups of a convolution: a unit is what one of them reads, and what it writes."""
    groups = node.op.integer("groups")
    units = Segment(groups)
    tie((Run(units, node.op.inputs[0][0] // groups),), read, _MISALIGNED)
    return (Run(units, node.op.output[0] // groups),)


def _protect_gates(graph: OpGraph, axes: Mapping[str, Axis]) -> None:
    """Keep the channels that occur nowhere but between the pooling and the factors of a squeeze-excite."""
    by_name = {node.name: node for node in graph.nodes}
    inside: set[str] = set()
    left = [node.inputs[1] for node in graph.nodes if node.op.kind == "scale"]
    while left:
        node = by_name.get(left.pop())
        if (
            node is not None
            and set(node.op.output[1:]) <= {1}
            and node.op.kind in ("conv", "linear", "activation", "reshape")
        ):
            inside.add(node.name)
            left += node.inputs
    outside = {id(run.segment) for name, axis in axes.items() if name not in inside for run in resolved(axis)}
    for name in inside:
        for run in resolved(axes[name]):
            if id(run.segment) not in outside:
                protect((run,), GATE)


def _named(graph: OpGraph, axes: Mapping[str, Axis]) -> Layout:
    """Give every segment that is left its name."""
    final = {name: resolved(axis) for name, axis in axes.items()}
    writers: dict[Segment, list[str]] = {}
    for tensor in (INPUT, *(node.name for node in graph.nodes)):
        for segment in dict.fromkeys(run.segment for run in final[tensor]):
            writers.setdefault(segment, []).append(tensor)
    names: dict[Segment, str] = {}
    groups: dict[str, Group] = {}
    for segment, nodes in writers.items():
        own = [run for run in final[nodes[0]] if run.segment is segment]
        several = len({run.segment for run in final[nodes[0]] if writers[run.segment][0] == nodes[0]}) > 1
        number = sum(writers[other][0] == nodes[0] for other in names)
        name = f"{nodes[0]}/{number}" if several else nodes[0]
        names[segment] = name
        groups[name] = Group(name, segment.count, own[0].width, segment.reason, tuple(nodes))
    written = {name: _parts(axis, names) for name, axis in final.items()}
    read = {}
    for node in graph.nodes:
        if reads_densely(node):
            places = math.prod(node.op.inputs[0][1:]) if node.op.kind == "linear" else 1
            read[node.name] = _parts(widened(final[node.inputs[0]], places), names)
    return Layout(groups, written, read)


def _parts(axis: Axis, names: Mapping[Segment, str]) -> tuple[Part, ...]:
    return tuple(Part(names[run.segment], run.segment.count, run.width) for run in axis)
