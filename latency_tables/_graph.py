"""`OpGraph`: a network, or a part of one, as a directed acyclic graph of ops."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from latency_tables._errors import GraphError
from latency_tables._op import Op, Shape, sorted_attributes

INPUT = "input"
"""The name under which nodes refer to the graph's input tensor, where it has only one."""

_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*\Z")


@dataclass(frozen=True)
class Node:
    """One op at its place: where its inputs come from.

    Attributes:
        name: unique in the graph; it also names the node's weights.
        op: what is computed.
        inputs: names of earlier nodes or of the graph's inputs.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class OpGraph:
    """A network as nodes in topological order, checked on construction.

    Attributes:
        input_shape: shape of the first input tensor without the batch axis.
        nodes: in an order in which every node comes after its inputs.
        outputs: names of the tensors that leave the graph.
        inputs: ``(name, shape)`` of each input tensor in order; without any, there is the one that is called `INPUT`.

    Raises:
        GraphError: names or shapes do not fit together.
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
                raise GraphError(f"op graph: node {node.name!r} reads {missing[0]!r}, which comes later or never")
            read = tuple(shapes[name] for name in node.inputs)
            if read != node.op.inputs:
                raise GraphError(f"op graph: node {node.name!r} gets shapes {read}, its op wants {node.op.inputs}")
            shapes[node.name] = node.op.output
        for name in self.outputs:
            if name not in shapes:
                raise GraphError(f"op graph: the output {name!r} is no node of the graph")
        if not self.outputs:
            raise GraphError("op graph: no outputs")

    def __repr__(self) -> str:
        """The fields; `inputs` only where they are not the usual one (digests of plans are made of this text)."""
        usual = self.inputs == ((INPUT, self.input_shape),)
        more = "" if usual else f", inputs={self.inputs!r}"
        return f"OpGraph(input_shape={self.input_shape!r}, nodes={self.nodes!r}, outputs={self.outputs!r}{more})"

    @classmethod
    def single(cls, op: Op, name: str = "op") -> OpGraph:
        """A graph of one node: inputs of one shape are all the graph's input, different shapes are inputs of their own.

        Raises:
            GraphError: the op has no input.
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
        """Shape of the tensor `name` (a node or an input)."""
        return self._shapes[name]

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        return {**dict(self.inputs), **{node.name: node.op.output for node in self.nodes}}

    @cached_property
    def op_counts(self) -> Counter[Op]:
        """How often each distinct op occurs."""
        return Counter(node.op for node in self.nodes)

    def consumers(self) -> dict[str, list[Node]]:
        """For every tensor name, the nodes that read it (once for each time they read it)."""
        readers: dict[str, list[Node]] = {name: [] for name in self._shapes}
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
            if name in live_names or name not in by_name:
                continue
            live_names.add(name)
            stack.extend(alias.get(i, i) for i in by_name[name].inputs)
        nodes = tuple(_reading(node, alias) for node in self.nodes if node.name in live_names)
        return replace(self, nodes=nodes, outputs=tuple(alias.get(name, name) for name in self.outputs))

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
        inputs: shape of the only input tensor `INPUT`, without the batch axis; or the shape of each input by its name,
            in order.

    Raises:
        GraphError: there is no input, or a name or a shape is malformed.
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
            graph: what to append.
            prefix: put before the names of its nodes.
            at: the tensor that is its input; one for each where it has several.

        Returns:
            The name of its first output.

        Raises:
            GraphError: `at` names more or fewer tensors than the graph has inputs.
        """
        sources = (at,) if isinstance(at, str) else tuple(at)
        if len(sources) != len(graph.inputs):
            raise GraphError(f"op graph: a part with {len(graph.inputs)} inputs is given {len(sources)} tensors")
        names = dict(zip(graph.input_names, sources, strict=True))
        names |= {node.name: prefix + node.name for node in graph.nodes}
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
        return OpGraph(self.input_shape, tuple(self._nodes), outputs, tuple(self.inputs.items()))


def _checked_inputs(inputs: tuple[tuple[str, Shape], ...]) -> dict[str, Shape]:
    """The shapes of a graph's inputs by name.

    Raises:
        GraphError: there is no input, two have one name, or a name or a shape is malformed.
    """
    shapes = dict(inputs)
    if not shapes:
        raise GraphError("op graph: no inputs")
    for name, shape in inputs:
        if not _INPUT_NAME.match(name):
            raise GraphError(f"op graph: input name {name!r} must be a letter, then letters, digits and ._:/-")
        if not shape or any(type(n) is not int or n < 1 for n in shape):
            raise GraphError(f"op graph: the input {name!r} must have positive extents, got {shape}")
    if len(shapes) != len(inputs):
        raise GraphError(f"op graph: two inputs have one name, got {', '.join(name for name, _ in inputs)}")
    return shapes


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
        return replace(self.graph, nodes=tuple(self.done.values()), outputs=outputs)

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
