"""`OpGraph`: a network, or a part of one, as a directed acyclic graph of ops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

from latency_tables._errors import GraphError
from latency_tables._op import Op, Shape, sorted_attributes

INPUT = "input"
"""The name under which nodes refer to the graph's input tensor."""


@dataclass(frozen=True)
class Node:
    """One op at its place: where its inputs come from.

    Attributes:
        name: unique in the graph; it also names the node's weights.
        op: what is computed.
        inputs: names of earlier nodes, or `INPUT`.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class OpGraph:
    """A network as nodes in topological order, checked on construction.

    Attributes:
        input_shape: shape of the input tensor without the batch axis.
        nodes: in an order in which every node comes after its inputs.
        outputs: names of the nodes whose results leave the graph.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for node in self.nodes:
            if node.name in shapes:
                raise GraphError(f"op graph: the name {node.name!r} is used twice")
            missing = [name for name in node.inputs if name not in shapes]
            if missing:
                raise GraphError(f"op graph: node {node.name!r} reads {missing[0]!r}, which comes later or never")
            found = tuple(shapes[name] for name in node.inputs)
            if found != node.op.inputs:
                raise GraphError(f"op graph: node {node.name!r} gets shapes {found}, its op wants {node.op.inputs}")
            shapes[node.name] = node.op.output
        for name in self.outputs:
            if name not in shapes:
                raise GraphError(f"op graph: the output {name!r} is no node of the graph")
        if not self.outputs:
            raise GraphError("op graph: no outputs")

    @classmethod
    def single(cls, op: Op, name: str = "op") -> OpGraph:
        """A graph of one node; where the op has several inputs, all of them are the graph's input.

        Raises:
            GraphError: the op's inputs differ in shape.
        """
        return cls(op.inputs[0], (Node(name, op, (INPUT,) * len(op.inputs)),), (name,))

    @property
    def output_shape(self) -> Shape:
        """Shape of the first output."""
        return self.shape_of(self.outputs[0])

    def shape_of(self, name: str) -> Shape:
        """Shape of the tensor `name` (a node's name or `INPUT`)."""
        return self._shapes[name]

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        return {INPUT: self.input_shape, **{node.name: node.op.output for node in self.nodes}}

    @cached_property
    def op_counts(self) -> Counter[Op]:
        """How often each distinct op occurs."""
        return Counter(node.op for node in self.nodes)

    def consumers(self) -> dict[str, list[Node]]:
        """For every tensor name, the nodes that read it (once for each time they read it)."""
        readers: dict[str, list[Node]] = {INPUT: [], **{node.name: [] for node in self.nodes}}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node)
        return readers

    def without_dead_code(self) -> OpGraph:
        """The same function without nodes that reach no output and without identities.

        ONNX Runtime executes branches that reach no output, so they must be gone before a network is
        priced or exported.
        """
        alias: dict[str, str] = {}
        live_names: set[str] = set()
        for node in self.nodes:
            if node.op.kind == "identity":
                alias[node.name] = alias.get(node.inputs[0], node.inputs[0])
        stack = [alias.get(name, name) for name in self.outputs]
        by_name = {node.name: node for node in self.nodes}
        while stack:
            name = stack.pop()
            if name in live_names or name == INPUT:
                continue
            live_names.add(name)
            stack.extend(alias.get(i, i) for i in by_name[name].inputs)
        nodes = tuple(_reading(node, alias) for node in self.nodes if node.name in live_names)
        return OpGraph(self.input_shape, nodes, tuple(alias.get(name, name) for name in self.outputs))

    def fused(self) -> OpGraph:
        """Merge chains that runtimes execute as one kernel: conv + add, then (conv or conv + add) + activation.

        A convolution takes in an addition when nothing else reads its result and it has no activation
        yet, and an activation under the same condition: the rule of ONNX Runtime's blocked (NCHWc) convolutions.
        The fused node keeps the convolution's name, and so its weights.
        """
        return _Fusion(self).run()


class GraphBuilder:
    """Builds an `OpGraph` node by node.

    Args:
        input_shape: shape of the input tensor without the batch axis.
    """

    def __init__(self, input_shape: Shape) -> None:
        self.input_shape = input_shape
        self._nodes: list[Node] = []
        self._shapes: dict[str, Shape] = {INPUT: input_shape}

    def add(self, name: str, op: Op, *inputs: str) -> str:
        """Append a node and return its name."""
        self._nodes.append(Node(name, op, inputs))
        self._shapes[name] = op.output
        return name

    def splice(self, graph: OpGraph, *, prefix: str = "", at: str = INPUT) -> str:
        """Append a whole graph whose input is the tensor `at`; returns the name of its first output."""
        names = {INPUT: at, **{node.name: prefix + node.name for node in graph.nodes}}
        for node in graph.nodes:
            self.add(names[node.name], node.op, *(names[i] for i in node.inputs))
        return names[graph.outputs[0]]

    def shape(self, name: str) -> Shape:
        """Shape of the tensor `name`."""
        return self._shapes[name]

    def build(self, *outputs: str) -> OpGraph:
        """The finished graph.

        Raises:
            GraphError: shapes or names do not fit together.
        """
        return OpGraph(self.input_shape, tuple(self._nodes), outputs)


class _Fusion:
    """One pass over a graph; `done` holds the nodes so far, in order, under their final names."""

    def __init__(self, graph: OpGraph) -> None:
        self.graph = graph
        self.readers = {name: len(nodes) for name, nodes in graph.consumers().items()}
        for name in graph.outputs:
            self.readers[name] += 1
        self.done: dict[str, Node] = {}
        self.alias: dict[str, str] = {}

    def run(self) -> OpGraph:
        for node in self.graph.nodes:
            current = _reading(node, self.alias)
            if not self._absorbed(current):
                self.done[node.name] = current
        outputs = tuple(self.alias.get(name, name) for name in self.graph.outputs)
        return OpGraph(self.graph.input_shape, tuple(self.done.values()), outputs)

    def _absorbed(self, node: Node) -> bool:
        if node.op.kind == "add":
            for position, name in enumerate(node.inputs):
                conv = self._open_conv(name)
                if conv is not None and not conv.op.integer("add", 0):
                    others = node.inputs[:position] + node.inputs[position + 1 :]
                    self._merge(conv, node, _with_add(conv.op), others)
                    return True
        elif node.op.kind == "activation":
            conv = self._open_conv(node.inputs[0])
            if conv is not None:
                self._merge(conv, node, _with_activation(conv.op, node.op.word("function")), ())
                return True
        return False

    def _open_conv(self, name: str) -> Node | None:
        """The convolution called `name`, if one more step can be merged into it."""
        node = self.done.get(name)
        if node is None or node.op.kind != "conv" or node.op.word("act") != "none" or self.readers[name] != 1:
            return None
        return node

    def _merge(self, conv: Node, sink: Node, op: Op, extra: tuple[str, ...]) -> None:
        del self.done[conv.name]
        self.done[conv.name] = Node(conv.name, op, (*conv.inputs, *extra))
        self.alias[sink.name] = conv.name
        self.readers[conv.name] = self.readers[sink.name]


def _reading(node: Node, alias: Mapping[str, str]) -> Node:
    """The node with its inputs taken from their aliases."""
    if not any(name in alias for name in node.inputs):
        return node
    return Node(node.name, node.op, tuple(alias.get(name, name) for name in node.inputs))


@cache
def _with_add(conv: Op) -> Op:
    attributes = sorted_attributes({**dict(conv.attributes), "add": 1})
    return replace(conv, attributes=attributes, inputs=(*conv.inputs, conv.output))


@cache
def _with_activation(conv: Op, function: str) -> Op:
    return replace(conv, attributes=sorted_attributes({**dict(conv.attributes), "act": function}))
