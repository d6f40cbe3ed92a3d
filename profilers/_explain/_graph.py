"""The graph that ONNX Runtime executes: its nodes in order, what each reads and writes, and the values of tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import onnx

from profilers._errors import UnsupportedGraphError
from profilers._read._file import fed_inputs

BLOCKED_DOMAIN = "com.microsoft.nchwc"
"""Domain of ONNX Runtime's operators on tensors whose channels are stored in blocks."""


@dataclass(frozen=True)
class ExecutedNode:
    """A node of the executed graph.

    Attributes:
        name: Unique among the nodes.
        proto: The node.
        reads: Tensors that it reads, those of its subgraphs included, constants left out; each once.
        constants: Initialisers that it reads.
        writes: Tensors that it writes.
    """

    name: str
    proto: onnx.NodeProto
    reads: tuple[str, ...]
    constants: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class ExecutedGraph:
    """The graph that ONNX Runtime executes after its optimisations.

    Attributes:
        model: The model as it wrote it.
        nodes: Its nodes in the order of the file, which is a topological one.
    """

    model: onnx.ModelProto
    nodes: tuple[ExecutedNode, ...] = field(init=False)

    def __post_init__(self) -> None:
        constants, taken = set(self.constants), set[str]()
        nodes = []
        for proto in self.model.graph.node:
            reads = tuple(dict.fromkeys(names_read(proto)))
            nodes.append(
                ExecutedNode(
                    _unique(proto, taken),
                    proto,
                    tuple(name for name in reads if name not in constants),
                    tuple(name for name in reads if name in constants),
                    tuple(name for name in proto.output if name),
                )
            )
        object.__setattr__(self, "nodes", tuple(nodes))

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        """The initialisers by name."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return tuple(value.name for value in fed_inputs(self.model.graph))

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""
        return tuple(value.name for value in self.model.graph.output)

    @cached_property
    def producer(self) -> dict[str, int]:
        """The number of the node that writes each tensor."""
        return {name: number for number, node in enumerate(self.nodes) for name in node.writes}

    @cached_property
    def last_reader(self) -> dict[str, int]:
        """The number of the last node that reads each tensor; that of no node for what leaves the graph."""
        last = {name: number for number, node in enumerate(self.nodes) for name in node.reads}
        return {**last, **dict.fromkeys(self.outputs, len(self.nodes))}


def _unique(proto: onnx.NodeProto, taken: set[str]) -> str:
    """Return a name for a node that no other has, and note it as taken."""
    base = proto.name or f"{proto.op_type}:{next((name for name in proto.output if name), '')}"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base} ({number})"
    taken.add(name)
    return name


def require_inputs(given: Iterable[str], inputs: Collection[str]) -> None:
    """Check that names are those of inputs.

    Args:
        given: The names.
        inputs: Names of all inputs.

    Raises:
        UnsupportedGraphError: One is not.
    """
    for name in given:
        if name not in inputs:
            raise UnsupportedGraphError(f"the model has no input {name!r}; its inputs: {', '.join(sorted(inputs))}")


def subgraphs(proto: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs inside a node: branches and bodies."""
    for attribute in proto.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def names_read(proto: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node reads, those that its subgraphs take from outside included."""
    yield from (name for name in proto.input if name)
    for graph in subgraphs(proto):
        yield from outer_names(graph)


def outer_names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the tensors that a subgraph takes from the graph around it."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {tensor.values.name for tensor in graph.sparse_initializer}
    for node in graph.node:
        yield from (name for name in names_read(node) if name not in own)
        own.update(node.output)
    yield from (value.name for value in graph.output if value.name not in own)


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return the model with these tensors as its outputs, of types that the runtime infers."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    stated: Mapping[str, onnx.ValueInfoProto] = {value.name: value for value in model.graph.output}
    del exposed.graph.output[:]
    exposed.graph.output.extend(stated.get(name, onnx.ValueInfoProto(name=name)) for name in names)
    return exposed
