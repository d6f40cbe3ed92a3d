"""The graph that ONNX Runtime executes: its nodes in order, what each reads and writes, and the values of tensors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import onnx

from profilers._errors import UnsupportedGraphError
from profilers._read._file import fed_inputs

BLOCKED_DOMAIN = "com.microsoft.nchwc"
"""Domain of ONNX Runtime's operators on tensors whose channels are stored in blocks."""
REORDERS = ("ReorderInput", "ReorderOutput")
"""Layout changes that it inserts."""
_NUMBERED = re.compile(r"_token_\d+$")
"""Ends the names that ONNX Runtime gives to nodes it inserts, with other numbers each time it reads the same file."""


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
        nodes, sources = [], dict[str, str]()
        for proto in self.model.graph.node:
            names = tuple(dict.fromkeys(names_read(proto)))
            reads = tuple(name for name in names if name not in constants)
            source = sources.get(reads[0], reads[0]) if reads else ""
            name = _unique(_base_name(proto, source), taken)
            writes = tuple(name for name in proto.output if name)
            sources |= dict.fromkeys(writes, name)
            nodes.append(ExecutedNode(name, proto, reads, tuple(name for name in names if name in constants), writes))
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


def _base_name(proto: onnx.NodeProto, source: str) -> str:
    """Return a name for a node that is the same each time the runtime reads the file.

    Args:
        proto: The node.
        source: Name of the node that writes what it reads first, or of that tensor; empty where it reads nothing.
    """
    if source and (proto.op_type in REORDERS or _NUMBERED.search(proto.name)):
        return f"{proto.op_type} of {source}"
    return proto.name or f"{proto.op_type}:{next((name for name in proto.output if name), '')}"


def _unique(base: str, taken: set[str]) -> str:
    """Return a name that no other node has, and note it as taken."""
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
