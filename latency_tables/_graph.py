"""`OpGraph`: a network, or a part of one, as a directed acyclic graph of ops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from latency_tables._errors import GraphError
from latency_tables._op import Op, Shape

INPUT = "input"
"""The name under which nodes refer to the graph's input tensor."""


@dataclass(frozen=True)
class Node:
    """One op at its place: where its inputs come from.

    Attributes:
        name: Unique in the graph; it also names the node's weights.
        op: What is computed.
        inputs: Names of earlier nodes, or `INPUT`.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class OpGraph:
    """A network as nodes in topological order, checked on construction.

    Attributes:
        input_shape: Shape of the input tensor without the batch axis.
        nodes: Nodes in an order in which every node comes after its inputs.
        outputs: Names of the nodes whose results leave the graph.
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
            given = tuple(shapes[name] for name in node.inputs)
            if given != node.op.inputs:
                raise GraphError(f"op graph: node {node.name!r} gets shapes {given}, its op takes {node.op.inputs}")
            shapes[node.name] = node.op.output
        for name in self.outputs:
            if name not in shapes:
                raise GraphError(f"op graph: the output {name!r} is no node of the graph")
        if not self.outputs:
            raise GraphError("op graph: no outputs")

    @classmethod
    def single(cls, op: Op, name: str = "op") -> OpGraph:
        """Return a graph of one node; where the op has several inputs, all of them are the graph's input.

        Raises:
            GraphError: The op's inputs differ in shape.
        """
        return cls(op.inputs[0], (Node(name, op, (INPUT,) * len(op.inputs)),), (name,))

    @property
    def output_shape(self) -> Shape:
        """Shape of the first output."""
        return self.shape_of(self.outputs[0])

    def shape_of(self, name: str) -> Shape:
        """Return the shape of the tensor `name` (a node's name or `INPUT`)."""
        return self._shapes[name]

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        return {INPUT: self.input_shape, **{node.name: node.op.output for node in self.nodes}}

    @cached_property
    def op_counts(self) -> Counter[Op]:
        """How often each distinct op occurs."""
        return Counter(node.op for node in self.nodes)

    def consumers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each tensor, by its name (a node once for each time it reads)."""
        readers: dict[str, list[Node]] = {INPUT: [], **{node.name: [] for node in self.nodes}}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node)
        return readers

    def without_dead_code(self) -> OpGraph:
        """Return the same function without nodes that reach no output."""
        by_name = {node.name: node for node in self.nodes}
        live: set[str] = set()
        stack = list(self.outputs)
        while stack:
            name = stack.pop()
            if name not in live and name != INPUT:
                live.add(name)
                stack.extend(by_name[name].inputs)
        if len(live) == len(self.nodes):
            return self
        return OpGraph(self.input_shape, tuple(node for node in self.nodes if node.name in live), self.outputs)

    def fused(self) -> OpGraph:
        """Return the graph as it is, so that spaces written for earlier versions still run.

        What a runtime fuses is the runtime's to say: `hwnas.Space` and the profilers apply it to every graph that they
        are given (`profilers.executed_graph`).
        """
        return self


class GraphBuilder:
    """Builds an `OpGraph` node by node.

    Args:
        input_shape: Shape of the input tensor without the batch axis.
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
        """Append a whole graph whose input is the tensor `at`, and return the name of its first output."""
        names = {INPUT: at, **{node.name: prefix + node.name for node in graph.nodes}}
        for node in graph.nodes:
            self.add(names[node.name], node.op, *(names[i] for i in node.inputs))
        return names[graph.outputs[0]]

    def shape(self, name: str) -> Shape:
        """Return the shape of the tensor `name`."""
        return self._shapes[name]

    def build(self, *outputs: str) -> OpGraph:
        """Return the finished graph.

        Raises:
            GraphError: Shapes or names do not match.
        """
        return OpGraph(self.input_shape, tuple(self._nodes), outputs)
