"""From the nodes of a file to ops: what all rules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from latency_tables import INPUT, GraphError, Node, Op, OpGraph, Shape
from profilers._errors import ModelFileError, OperatorError
from profilers._operators._base import FloatArray
from profilers._operators._registry import primitive_of
from profilers._read._attributes import Array, describe, float_array, one_line
from profilers._read._infer import FileGraph, TensorType
from profilers._read._regions import grouped_nodes

_ODD = re.compile(r"[^A-Za-z0-9_.:-]+")
Rule = Callable[["Translation", onnx.NodeProto], bool]
"""Writes a node (and nodes behind it that belong to it) as ops; returns False where it does not apply."""
RULES: dict[str, list[Rule]] = {}
"""Rules by the op type of the node that they begin with, in the order in which they are tried."""


def rule(*op_types: str) -> Callable[[Rule], Rule]:
    """Register a rule for nodes of some types."""

    def register(function: Rule) -> Rule:
        for op_type in op_types:
            RULES.setdefault(op_type, []).append(function)
        return function

    return register


class Translation:
    """The op graph that grows while the nodes of a file are written as ops.

    Args:
        file: The file's graph.
        batch: The batch size of all inputs.
    """

    def __init__(self, file: FileGraph, batch: int) -> None:
        self.file = file
        self.batch = batch
        self.nodes: list[Node] = []
        self.weights: dict[str, FloatArray] = {}
        self.generic: list[tuple[str, str, str]] = []
        self.names: dict[str, str] = {}
        self.inputs: list[tuple[str, Shape]] = []
        self._places: dict[str, int] = {}
        self._aliased: set[str] = set()
        self._taken: set[str] = set()
        self._written: set[int] = set()
        self._grouped: set[int] = set()
        self._producers = {name: node for node in file.nodes for name in node.output if name}
        self._positions = {id(node): place for place, node in enumerate(file.nodes)}
        self.sources: dict[str, str] = {}
        self._computed = set(file.inputs)
        for node in file.nodes:
            if any(name in self._computed for name in node.input):
                self._computed.update(filter(None, node.output))
        for name, known in file.inputs.items():
            if not known.is_float or len(known.shape) < 2 or known.shape[0] != batch:
                if name not in file.readers:
                    raise ModelFileError(f"nothing reads the input {name!r}; export the model without it")
                raise ModelFileError(
                    f"the input {name!r} must hold 32-bit floats with the batch axis in front and at least one axis "
                    f"behind it, got {_kind(known)} {known.shape}"
                )
            called = INPUT if len(file.inputs) == 1 else self.free_name(name)
            self._taken.add(called)
            self.names[name] = called
            self.inputs.append((called, known.shape[1:]))

    def run(self, write_generic: Callable[[Translation, Sequence[onnx.NodeProto]], None]) -> OpGraph:
        """Write all nodes.

        Args:
            write_generic: Writes nodes that no rule writes as one generic op.

        Raises:
            ModelFileError: A node cannot be written.
        """
        self._check_outputs()
        groups = grouped_nodes(self.file, self.fits)
        self._grouped = {id(node) for group in groups if len(group) > 1 for node in group}
        for group in groups:
            try:
                if len(group) > 1 or not self._written_by_rule(group[0]):
                    write_generic(self, group)
            except (ModelFileError, OperatorError, GraphError):
                raise
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                # ONNX's own inference lets some malformed nodes pass
                raise ModelFileError(f"{describe(group[0])}: it is malformed: {one_line(error, 160)}") from None
        outputs = tuple(self.names[name] for name in self.file.outputs)
        return OpGraph(self.inputs[0][1], tuple(self.nodes), outputs, tuple(self.inputs)).without_dead_code()

    def _written_by_rule(self, node: onnx.NodeProto) -> bool:
        return id(node) in self._written or any(apply(self, node) for apply in RULES.get(node.op_type, ()))

    def _check_outputs(self) -> None:
        for name in self.file.outputs:
            if not self.fits(name):
                node, known = self.producer(name), self.file.types[name]
                where = f"{describe(node)}: its output" if node is not None else "the output"
                raise ModelFileError(
                    f"{where} {name!r} ({_kind(known)}, {known.shape}) leaves the network, but outputs must depend on "
                    f"an input and hold 32-bit floats with the batch axis ({self.batch}) in front and at least one "
                    "axis behind it"
                )

    def fits(self, tensor: str) -> bool:
        """Return whether an op graph can hold a tensor: 32-bit floats, the batch axis in front, made of an input."""
        known = self.file.types[tensor]
        return known.is_float and len(known.shape) > 1 and known.shape[0] == self.batch and tensor in self._computed

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """Return the node that alone reads a tensor and is not part of a group; ``None`` where there is none."""
        readers = self.file.readers.get(tensor, [])
        alone = readers[0] if len(readers) == 1 else None
        return alone if alone is not None and id(alone) not in self._grouped else None

    def position(self, node: onnx.NodeProto | None) -> int:
        """Return the place of a node in the file; -1 for none."""
        return -1 if node is None else self._positions[id(node)]

    def is_grouped(self, node: onnx.NodeProto) -> bool:
        """Return whether a node must become one op with others."""
        return id(node) in self._grouped

    def is_sample(self, tensor: str) -> bool:
        """Return whether a tensor is one of the op graph so far."""
        return tensor in self.names

    def shape(self, tensor: str) -> Shape:
        """Return the shape of a tensor without its batch axis."""
        return self.file.types[tensor].shape[1:]

    def output_shape(self, node: onnx.NodeProto) -> Shape | None:
        """Return the shape of the only output that is read, the first, without its batch axis; ``None`` for others."""
        name = node.output[0]
        if not name or any(other in self.file.readers for other in node.output[1:] if other):
            return None
        return self.shape(name) if self.fits(name) else None

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """Return the node that computes a tensor; ``None`` for inputs and constants."""
        return self._producers.get(tensor)

    def constant(self, tensor: str) -> Array | None:
        """Return the value of a tensor, if it is constant."""
        return self.file.constants.get(tensor)

    def free_name(self, wanted: str) -> str:
        """Return a name for a node that no other has, made of the file's name."""
        name = _ODD.sub("_", wanted.replace("/", ".")).strip("._:-")[:100] or "node"
        name = name if re.match(r"[A-Za-z_]", name) else f"_{name}"
        free, number = name, 1
        while free in self._taken:
            free, number = f"{name}_{number}", number + 1
        self._taken.add(free)
        return free

    def write(
        self, node: onnx.NodeProto, op: Op, *tensors: str, weights: dict[str, Array] | None = None, last: str = ""
    ) -> bool:
        """Add an op.

        Args:
            node: The node that gives it its name.
            op: What is computed.
            tensors: The file's tensors that it reads.
            weights: Its weights.
            last: The file's tensor that it computes; the node's output by default.

        Returns:
            True, as the result of a rule.

        Raises:
            ModelFileError: A weight does not fit the op.
        """
        for key, parameter in primitive_of(op).parameters(op).items():
            shape = np.shape((weights or {})[key])
            if shape != parameter.shape:
                raise ModelFileError(f"{describe(node)}: its {key} has the shape {shape}, expected {parameter.shape}")
        name = self.free_name(node.name or node.output[0])
        self._places[name] = len(self.nodes)
        self.nodes.append(Node(name, op, tuple(self.names[tensor] for tensor in tensors)))
        self.weights |= {f"{name}.{key}": float_array(value) for key, value in (weights or {}).items()}
        self.names[last or node.output[0]] = name
        return True

    def alias(self, node: onnx.NodeProto) -> bool:
        """Leave a node out: its first output is its first input."""
        if len(self.file.readers.get(node.input[0], [])) > 1:  # a layer that is extended would change what others read
            self._aliased.add(self.names[node.input[0]])
        self.names[node.output[0]] = self.names[node.input[0]]
        return True

    def layer(self, tensor: str) -> Node | None:
        """Return the convolution, linear layer or norm that alone computes a tensor; ``None`` for another op."""
        name = self.names[tensor]
        node = self.nodes[self._places[name]] if name in self._places and name not in self._aliased else None
        return node if node is not None and node.op.kind in ("conv", "linear", "norm") else None

    def weights_of(self, layer: Node) -> dict[str, FloatArray]:
        """Return the weights of a layer by parameter."""
        prefix = f"{layer.name}."
        return {key: self.weights[prefix + key] for key in primitive_of(layer.op).parameters(layer.op)}

    def rewrite(self, layer: Node, op: Op, weights: dict[str, Array], tensor: str, last: str) -> None:
        """Let a layer compute another tensor of the file.

        Args:
            layer: The layer.
            op: What it computes now.
            weights: Its weights now.
            tensor: The tensor that it no longer computes.
            last: The tensor that it computes.
        """
        self.nodes[self._places[layer.name]] = replace(layer, op=op)
        self.weights |= {f"{layer.name}.{key}": float_array(value) for key, value in weights.items()}
        self.names[last] = self.names.pop(tensor)

    def skip(self, node: onnx.NodeProto) -> None:
        """Say that a later node is part of an op that is written already."""
        self._written.add(id(node))


def _kind(known: TensorType) -> str:
    """Return the name of a tensor's elements for people."""
    return helper.tensor_dtype_to_string(known.element).removeprefix("TensorProto.").lower()


def channel_vector(value: Array, shape: Shape) -> Array | None:
    """Return a constant as one number for each channel of a tensor that it is broadcast against.

    Args:
        value: The constant; it is broadcast against ``(n, *shape)``.
        shape: ``(channels, ...)``.

    Returns:
        ``(channels,)``; ``None`` where it differs within a channel or has more axes.
    """
    if value.dtype != np.float32 or value.ndim > len(shape) + 1:
        return None
    extents = (1,) * (len(shape) + 1 - value.ndim) + value.shape
    if any(n != 1 for axis, n in enumerate(extents) if axis != 1) or extents[1] not in (1, shape[0]):
        return None
    return np.broadcast_to(value.reshape(-1), (shape[0],))
