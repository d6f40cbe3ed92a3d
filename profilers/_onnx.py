"""From an op graph to an ONNX model: the same file is profiled and shipped."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from latency_tables import Op, OpGraph, Shape
from profilers._errors import OperatorError
from profilers._operators import expand, primitive_of
from profilers._operators._base import FLOAT_ONLY, FloatArray
from profilers._weights import node_weights

OPSET = 17
IR_VERSION = 8
OUTPUT = "logits"
"""Default name of the output, as `INPUT` is that of the input: users look tensors up by name."""


class _ModelWriter:
    """Collects the nodes and initialisers of one ONNX graph.

    Args:
        inputs: Names of the graph's inputs.
        batch: The batch size.
    """

    def __init__(self, inputs: Sequence[str], batch: int = 1) -> None:
        self.inputs = tuple(inputs)
        self.batch = batch
        self.opset = OPSET
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.scope = ""
        self.float_only = False
        self.dtype = Op.dtype
        self._stored: dict[tuple[object, ...], str] = {}

    def node(self, op_type: str, inputs: Sequence[str], **attributes: object) -> str:
        """Append a node named after the current scope; return the name of its only output."""
        output = f"{self.scope}:{len(self.nodes)}"
        node = helper.make_node(op_type, list(inputs), [output], output, **cast(dict[str, Any], attributes))
        if self.float_only:
            node.doc_string = FLOAT_ONLY
        self.nodes.append(node)
        return output

    def name_outputs(self, tensors: Sequence[str], names: Sequence[str]) -> None:
        """Give the tensors that leave the graph the names of its outputs.

        ONNX allows neither an output that is also an input nor two outputs that are one tensor: they get an Identity
        node.

        Raises:
            OperatorError: Two tensors of the file would have the same name.
        """
        for number, (tensor, name) in enumerate(zip(tensors, names, strict=True)):
            if tensor in self.inputs or tensor in tensors[:number]:
                source = tensor if tensor in self.inputs else names[tensors.index(tensor)]
                self.nodes.append(helper.make_node("Identity", [source], [name]))
            else:
                self._rename(tensor, name)
        taken = [*self.inputs, *(i.name for i in self.initializers), *(n for node in self.nodes for n in node.output)]
        twice = [name for name, count in Counter(filter(None, taken)).items() if count > 1]  # "" is an output left out
        if twice:
            raise OperatorError(f"ONNX file: two tensors are called {twice[0]!r}; rename the input or the output")

    def _rename(self, old: str, new: str) -> None:
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]

    def constant(self, name: str, value: FloatArray) -> str:
        """Store a constant; equal ones of one dtype are stored once, so that tied weights stay tied."""
        return self._store(name, value.astype("float32", copy=False))

    def integers(self, name: str, values: Sequence[int]) -> str:
        """Store a constant of 64-bit integers, as indices need; equal ones are stored once."""
        return self._store(name, np.array(values, dtype=np.int64))

    def splice(
        self,
        body: onnx.GraphProto,
        tensors: Mapping[str, str],
        weights: Mapping[str, FloatArray],
        *,
        opset: int,
        batch: int,
    ) -> str:
        """Append a generic op's nodes and initialisers; the file's opset rises to that of the newest of them.

        Raises:
            OperatorError: The body computes only another batch size.
        """
        if batch not in (0, self.batch):
            raise OperatorError(
                f"ONNX file: node {self.scope} computes only batches of {batch}, not of {self.batch}; "
                "it holds nodes that no operator computes"
            )
        self.opset = max(self.opset, opset)
        names = {"": "", **tensors}
        names |= {name: self.constant(name, value) for name, value in weights.items()}
        for tensor in body.initializer:
            names[tensor.name] = self._store(tensor.name, numpy_helper.to_array(tensor))
        for node in body.node:
            names |= {name: f"{self.scope}:{len(self.nodes)}.{name}" for name in node.output if name}
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{self.scope}:{len(self.nodes)}"
            if self.float_only:
                copy.doc_string = FLOAT_ONLY
            copy.input[:] = [names[name] for name in node.input]
            copy.output[:] = [names[name] for name in node.output]
            self.nodes.append(copy)
        return names[body.output[0].name]

    def _store(self, name: str, array: npt.NDArray[Any]) -> str:
        content = (self.dtype, array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if content not in self._stored:
            self._stored[content] = f"{self.scope}.{name}"
            self.initializers.append(numpy_helper.from_array(array, self._stored[content]))
        return self._stored[content]


def build_onnx(
    graph: OpGraph,
    weights: Mapping[str, FloatArray],
    *,
    batch: int = 1,
    metadata: Mapping[str, str] | None = None,
    output_names: Sequence[str] = (),
) -> onnx.ModelProto:
    """Build the ONNX model that computes `graph` with `weights`, for a fixed batch size.

    Its opset is 17 and its IR version 8, or what generic ops need.

    Dead code is left out and batch norms are folded into their convolutions. Inputs have the names of the graph's:
    ``input`` where there is only one.

    Args:
        graph: The network; inputs ``(batch, *shape)``, float32.
        weights: Training weights by ``"node.parameter"`` (`graph_parameters` lists them).
        batch: The fixed batch size.
        metadata: Key-value pairs stored in the model.
        output_names: One for each output of the graph; ``logits``, ``logits_1`` and so on if empty.

    Raises:
        OperatorError: A weight is missing or of the wrong shape, or names are too few or equal.
    """
    live = expand(graph.without_dead_code())
    called = list(output_names) or [f"{OUTPUT}_{i}" if i else OUTPUT for i in range(len(live.outputs))]
    if len(called) != len(live.outputs):
        raise OperatorError(f"ONNX file: the graph has {len(live.outputs)} outputs, got {len(called)} names")
    writer = _ModelWriter(live.input_names, batch)
    names = {name: name for name in live.input_names}
    for node in live.nodes:
        operator = primitive_of(node.op)
        writer.scope, writer.dtype, writer.float_only = node.name, node.op.dtype, operator.float_only
        folded = operator.fold(node.op, node_weights(weights, node.name, operator.parameters(node.op)))
        names[node.name] = operator.lower(node.op, writer, [names[i] for i in node.inputs], folded)
    writer.name_outputs([names[o] for o in live.outputs], called)
    inputs = [_tensor(name, (batch, *shape)) for name, shape in live.inputs]
    outputs = [_tensor(name, (batch, *live.shape_of(o))) for name, o in zip(called, live.outputs, strict=True)]
    body = helper.make_graph(writer.nodes, "hwnas", inputs, outputs, writer.initializers)
    opsets = [helper.make_opsetid("", writer.opset)]
    ir_version = max(IR_VERSION, helper.find_min_ir_version_for(opsets))
    model = helper.make_model(body, opset_imports=opsets, ir_version=ir_version)
    helper.set_model_props(model, dict(metadata or {}))
    return model


def _tensor(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
