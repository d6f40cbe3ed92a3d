"""Windows: a node with what runs before it, once with the node and once without; the difference is its price.

A window is cut out of the graph as ONNX Runtime executes it, so that fusion and layouts are those of the network. Every
tensor that a later node needs ends in a ``Shape`` node, which reads none of its data: the window's last tensors live
where those of the network do, so that ONNX Runtime reuses memory (and turns a Reshape into a view) as it does there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from profilers._errors import UnsupportedGraphError
from profilers._explain._graph import ExecutedGraph, ExecutedNode
from profilers._explain._sessions import Store, without_numbers
from profilers._session import ModelSession

GENERATIONS = 8
"""How many generations of producers stand before the node."""
HEAVY_BYTES = 32 * 2**20
"""A window takes no further producers once its constants have this size: such weights are read from memory anyway."""
_SPARE = "hwnas spare"
"""Tensor whose shape is taken where a window needs more ends."""


@dataclass(frozen=True)
class Part:
    """Some nodes of the graph, and the tensors that they take and leave.

    Attributes:
        members: Numbers of the nodes, ascending.
        inputs: Tensors that are bound: read, but not written by a member, or wanted by the other part of the pair.
        ends: Tensors that live until the part is over.
        spare: Further ends, so that both parts of a pair have the same number.
        key: Digest of everything that decides the part's time; parts of one key are measured once.
    """

    members: tuple[int, ...]
    inputs: tuple[str, ...]
    ends: tuple[str, ...]
    spare: int
    key: str


@dataclass(frozen=True)
class Window:
    """The pair of parts whose difference is the price of a node.

    Attributes:
        node: Number of the node.
        whole: With the node.
        rest: Without it.
        work: Digest of what the node computes and on which shapes, wherever it stands.
    """

    node: int
    whole: Part
    rest: Part
    work: str

    @property
    def key(self) -> str:
        """Digest of everything that decides the price."""
        return f"{self.whole.key}-{self.rest.key}"


class Windows:
    """Cuts windows out of a graph.

    Args:
        graph: The graph.
        store: Its tensors.
        generations: How many generations of producers stand before the node.
    """

    def __init__(self, graph: ExecutedGraph, store: Store, generations: int = GENERATIONS) -> None:
        self._graph, self._store, self._generations = graph, store, generations
        self._digests: dict[str, str] = {}
        self._meaning = _meaning_of(graph.model)
        store.add(_SPARE, np.zeros(1, dtype=np.float32))

    def of(self, node: int) -> Window:
        """Return the window of a node."""
        before = self._before(node)
        whole, rest = self._ends({*before, node}), self._ends(before)
        ends = max(len(whole), len(rest))
        inputs = self._inputs({*before, node})
        return Window(
            node,
            self._part({*before, node}, inputs, whole, ends),
            self._part(before, inputs, rest, ends),
            self._key((node,), self._inputs({node}), (), 0),
        )

    def _before(self, node: int) -> set[int]:
        """Return the nodes that stand before a node in its window."""
        before: set[int] = set()
        last, heavy = {node}, 0
        for _ in range(self._generations):
            last = {number for other in last for number in self._producers(other)} - before
            weight = sum(self._constant_bytes(number) for number in last)
            if heavy + weight > HEAVY_BYTES:
                break
            before |= last
            heavy += weight
        return self._complete({*before, node}) - {node}

    def _producers(self, node: int) -> set[int]:
        producer = self._graph.producer
        return {producer[name] for name in self._graph.nodes[node].reads if name in producer}

    def _constant_bytes(self, node: int) -> int:
        return sum(self._graph.constants[name].ByteSize() for name in self._graph.nodes[node].constants)

    def _complete(self, members: set[int]) -> set[int]:
        """Add the producers of tensors that cannot be bound, such as sequences."""
        producer = self._graph.producer
        todo = sorted(members)
        while todo:
            for name in self._graph.nodes[todo.pop()].reads:
                if name in producer and producer[name] not in members and not self._store.bindable(name):
                    members.add(producer[name])
                    todo.append(producer[name])
        return members

    def _inputs(self, members: Collection[int]) -> tuple[str, ...]:
        written = {name for number in members for name in self._graph.nodes[number].writes}
        read = dict.fromkeys(name for number in sorted(members) for name in self._graph.nodes[number].reads)
        return tuple(name for name in read if name not in written)

    def _ends(self, members: Collection[int]) -> tuple[str, ...]:
        """Return the tensors that a node after the members reads, or no node at all."""
        ends = []
        for number in sorted(members):
            for name in self._graph.nodes[number].writes:
                last = self._graph.last_reader.get(name, number)
                inside = any(name in self._graph.nodes[other].reads for other in members)
                if not inside or last not in members:
                    ends.append(name)
        return tuple(ends)

    def _part(self, members: Collection[int], inputs: tuple[str, ...], ends: tuple[str, ...], count: int) -> Part:
        numbers = tuple(sorted(members))
        spare = max(1, count) - len(ends)
        return Part(numbers, inputs, ends, spare, self._key(numbers, inputs, ends, spare))

    def _key(self, members: tuple[int, ...], inputs: tuple[str, ...], ends: tuple[str, ...], spare: int) -> str:
        """Return a digest of the part in which tensors have numbers instead of names."""
        numbers: dict[str, str] = {"": ""}

        def numbered(name: str) -> str:
            return numbers.setdefault(name, f"t{len(numbers)}")

        texts = [self._meaning, *(f"{numbered(name)} {self._described(name)}" for name in inputs)]
        for number in members:
            node = self._graph.nodes[number]
            texts.extend(f"{numbered(name)} {self._digest(name)}" for name in node.constants)
            texts.append(_node_text(node, numbered))
        texts.append(" ".join([*map(numbered, ends), str(spare)]))
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]

    def _described(self, name: str) -> str:
        value = self._store.value(name)
        return f"{value.dtype}{value.shape}" if value is not None else "none"

    def _digest(self, name: str) -> str:
        """Return type and shape of a constant, and the values of one that is not floating-point."""
        if name not in self._digests:
            tensor = self._graph.constants[name]
            text = f"{tensor.data_type}{tuple(tensor.dims)}"
            if tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE):
                content = without_name(tensor).SerializeToString(deterministic=True)
                text += hashlib.sha256(content).hexdigest()
            self._digests[name] = text
        return self._digests[name]

    def session(self, part: Part, *, threads: int) -> ModelSession:
        """Open a session on a part.

        Raises:
            UnsupportedGraphError: ONNX Runtime cannot execute it.
        """
        used = dict.fromkeys(name for number in part.members for name in self._graph.nodes[number].constants)
        shared = {name: value for name in used if (value := self._store.constant(name)) is not None}
        tensors = {name: self._store.tensor(name) for name in (*part.inputs, _SPARE)}
        model = self._model(part, used, shared)
        content = model.SerializeToString()
        return ModelSession(content, tensors, threads=threads, constants=shared, level="ORT_DISABLE_ALL")

    def _model(self, part: Part, used: Collection[str], shared: Mapping[str, Any]) -> onnx.ModelProto:
        model = onnx.ModelProto(ir_version=self._graph.model.ir_version)
        model.opset_import.extend(self._graph.model.opset_import)
        model.functions.extend(self._graph.model.functions)
        graph = model.graph
        graph.name = "part"
        for name in used:
            tensor = self._graph.constants[name]
            graph.initializer.append(without_numbers(tensor) if name in shared else tensor)
        for name in (*part.inputs, _SPARE):
            value = self._store.value(name)
            if value is None or not self._store.bindable(name):
                raise UnsupportedGraphError(f"tensor {name!r} cannot be bound")
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            graph.input.append(helper.make_tensor_value_info(name, kind, list(value.shape)))
        graph.node.extend(self._graph.nodes[number].proto for number in part.members)
        for place, name in enumerate([*part.ends, *[_SPARE] * part.spare]):
            operator = "SequenceLength" if self._store.value(name) is None else "Shape"
            graph.node.append(helper.make_node(operator, [name], [f"hwnas end {place}"], f"hwnas end {place}"))
            graph.output.append(onnx.ValueInfoProto(name=f"hwnas end {place}"))
        return model


def _meaning_of(model: onnx.ModelProto) -> str:
    """Return a digest of what says how nodes are to be understood: versions of operator sets, and functions."""
    versions = sorted((entry.domain, entry.version) for entry in model.opset_import)
    functions = sorted(function.SerializeToString(deterministic=True) for function in model.functions)
    return hashlib.sha256(repr((versions, functions)).encode()).hexdigest()


def without_name(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Return a copy of a constant that has no name."""
    copied = onnx.TensorProto()
    copied.CopyFrom(tensor)
    copied.ClearField("name")
    return copied


def _node_text(node: ExecutedNode, numbered: Any) -> str:
    """Return a node's text, in which tensors have numbers; that of a node with subgraphs keeps their names."""
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    del proto.input[:], proto.output[:]
    for field in ("name", "doc_string"):
        proto.ClearField(field)
    names = " ".join([*map(numbered, node.proto.input), "->", *map(numbered, node.proto.output)])
    return f"{proto.SerializeToString(deterministic=True).hex()} {names}"
