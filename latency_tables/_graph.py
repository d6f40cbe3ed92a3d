"""`OpGraph`: a network, or a part of one, as a directed acyclic graph of ops."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from latency_tables._errors import GraphError
from latency_tables._op import Op, Shape

INPUT = "input"
"""The name under which nodes refer to the graph's input tensor, where it has only one."""

_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*\Z")


@dataclass(frozen=True)
class Node:
    """One op and the tensors that it reads.

    Attributes:
        name: Unique in the graph; it also names the node's weights.
        op: What is computed.
        inputs: Names of earlier nodes or of the graph's inputs.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class OpGraph:
    """A network as nodes in topological order, checked on construction.

    Attributes:
        input_shape: Shape of the first input tensor without the batch axis.
        nodes: The nodes; every node comes after its inputs.
        outputs: Names of the tensors that leave the graph.
        inputs: ``(name, shape)`` of each input tensor in order; if empty, there is one input, called `INPUT`.

    Raises:
        GraphError: Names or shapes do not match.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    inputs: tuple[tuple[str, Shape], ...] = ()

    def __post_init__(self) -> None:
        if not self.inputs:
            object.__setattr__(self, "inputs", ((INPUT, self.input_shape),))
        if self.inputs[0][1] != self.input_shape:
            raise GraphError(f"op graph: the first input must have the shape {self.input_shape}")
        shapes = _checked_inputs(self.inputs)
        for node in self.nodes:
            if node.name in shapes:
                raise GraphError(f"op graph: the name {node.name!r} is used twice")
            missing = [name for name in node.inputs if name not in shapes]
            if missing:
                raise GraphError(
                    f"op graph: node {node.name!r} reads {missing[0]!r}, which is not an input or an earlier node"
                )
            read = tuple(shapes[name] for name in node.inputs)
            if read != node.op.inputs:
                raise GraphError(
                    f"op graph: the inputs of node {node.name!r} must have shapes {node.op.inputs}, got {read}"
                )
            shapes[node.name] = node.op.output
        for name in self.outputs:
            if name not in shapes:
                raise GraphError(f"op graph: the output {name!r} is not a node or an input")
        if not self.outputs:
            raise GraphError("op graph: at least one output is needed")

    def __repr__(self) -> str:
        """Return the fields; `inputs` only where they are not the usual one (digests of plans use this text)."""
        usual = self.inputs == ((INPUT, self.input_shape),)
        more = "" if usual else f", inputs={self.inputs!r}"
        return f"OpGraph(input_shape={self.input_shape!r}, nodes={self.nodes!r}, outputs={self.outputs!r}{more})"

    @classmethod
    def single(cls, op: Op, name: str = "op") -> OpGraph:
        """Make a graph of one node; the node's inputs of equal shape share one input of the graph.

        Raises:
            GraphError: The op has no input.
        """
        if not op.inputs:
            raise GraphError(f"op {op.key}: a graph of one node needs an op with an input")
        names = {shape: f"{INPUT}_{i}" if i else INPUT for i, shape in enumerate(dict.fromkeys(op.inputs))}
        node = Node(name, op, tuple(names[shape] for shape in op.inputs))
        return cls(op.inputs[0], (node,), (name,), tuple((name, shape) for shape, name in names.items()))

    @property
    def output_shape(self) -> Shape:
        """Shape of the first output."""
        return self.shape_of(self.outputs[0])

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(name for name, _ in self.inputs)

    def shape_of(self, name: str) -> Shape:
        """Return the shape of the tensor `name` (a node or an input)."""
        return self._shapes[name]

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        return {**dict(self.inputs), **{node.name: node.op.output for node in self.nodes}}

    @cached_property
    def op_counts(self) -> Counter[Op]:
        """How often each distinct op occurs."""
        return Counter(node.op for node in self.nodes)

    def consumers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each tensor, by its name; a node that reads it twice is listed twice."""
        readers: dict[str, list[Node]] = {name: [] for name in self._shapes}
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
            if name not in live and name in by_name:
                live.add(name)
                stack.extend(by_name[name].inputs)
        if len(live) == len(self.nodes):
            return self
        return replace(self, nodes=tuple(node for node in self.nodes if node.name in live))

    def fused(self) -> OpGraph:
        """Return the graph as it is, so that spaces written for earlier versions still run.

        Fusion depends on the runtime: `hwnas.Space` and the profilers apply it to every graph
        (`profilers.executed_graph`).
        """
        return self


class GraphBuilder:
    """Builds an `OpGraph` node by node.

    Args:
        inputs: Shape of the only input tensor `INPUT`, without the batch axis; or the shape of each input by its name,
            in order.

    Raises:
        GraphError: There is no input, or a name or a shape is malformed.
    """

    def __init__(self, inputs: Shape | Mapping[str, Shape]) -> None:
        self.inputs = dict(inputs) if isinstance(inputs, Mapping) else {INPUT: inputs}
        self._nodes: list[Node] = []
        self._shapes = _checked_inputs(tuple(self.inputs.items()))

    @property
    def input_shape(self) -> Shape:
        """Shape of the first input."""
        return next(iter(self.inputs.values()))

    def add(self, name: str, op: Op, *inputs: str) -> str:
        """Append a node and return its name."""
        self._nodes.append(Node(name, op, inputs))
        self._shapes[name] = op.output
        return name

    def splice(self, graph: OpGraph, *, prefix: str = "", at: str | Sequence[str] = INPUT) -> str:
        """Append a whole graph.

        Args:
            graph: What to append.
            prefix: Prefix of the names of its nodes.
            at: The tensor that it reads; one for each of its inputs where it has several.

        Returns:
            The name of its first output.

        Raises:
            GraphError: `at` names more or fewer tensors than the graph has inputs.
        """
        sources = (at,) if isinstance(at, str) else tuple(at)
        if len(sources) != len(graph.inputs):
            raise GraphError(f"op graph: the part needs {len(graph.inputs)} input tensors, got {len(sources)}")
        names = dict(zip(graph.input_names, sources, strict=True))
        names |= {node.name: prefix + node.name for node in graph.nodes}
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
        return OpGraph(self.input_shape, tuple(self._nodes), outputs, tuple(self.inputs.items()))


def _checked_inputs(inputs: tuple[tuple[str, Shape], ...]) -> dict[str, Shape]:
    """Return the shapes of a graph's inputs by name.

    Raises:
        GraphError: There is no input, two have the same name, or a name or a shape is malformed.
    """
    shapes = dict(inputs)
    if not shapes:
        raise GraphError("op graph: at least one input is needed")
    for name, shape in inputs:
        if not _INPUT_NAME.match(name):
            raise GraphError(
                f"op graph: input name {name!r} must begin with a letter or _ and hold only letters, digits and _.:/-"
            )
        if not shape or any(type(n) is not int or n < 1 for n in shape):
            raise GraphError(f"op graph: the input {name!r} must have positive extents, got {shape}")
    if len(shapes) != len(inputs):
        raise GraphError(f"op graph: input names must differ, got {', '.join(name for name, _ in inputs)}")
    return shapes
