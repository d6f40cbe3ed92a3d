"""From an op graph to an ONNX model: the same file is profiled and shipped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import onnx
from onnx import TensorProto, helper, numpy_helper

from latency_tables import INPUT, OpGraph
from profilers._operators import expand, primitive_of
from profilers._operators._base import FloatArray
from profilers._weights import node_weights

OPSET = 17
IR_VERSION = 8
OUTPUT = "logits"
"""Name of the output of every file, as `INPUT` is that of its input: users and runtimes look tensors up by name."""


class _ModelWriter:
    """Collects the nodes and initialisers of one ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.scope = ""
        self._stored: dict[tuple[object, ...], str] = {}

    def node(self, op_type: str, inputs: Sequence[str], **attributes: object) -> str:
        output = f"{self.scope}:{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], output, **cast(dict[str, Any], attributes)))
        return output

    def outputs(self, tensors: Sequence[str]) -> list[str]:
        """Call tensors by the names of outputs: ``logits``, then ``logits_1`` and so on where there are several.

        An input that is handed through, and a tensor that is handed out twice, get a node of their own: ONNX knows
        neither.
        """
        found: list[str] = []
        for number, tensor in enumerate(tensors):
            name = f"{OUTPUT}_{number}" if number else OUTPUT
            if tensor == INPUT or tensor in tensors[:number]:
                self.nodes.append(
                    helper.make_node("Identity", [INPUT if tensor == INPUT else found[tensors.index(tensor)]], [name])
                )
            else:
                self._rename(tensor, name)
            found.append(name)
        return found

    def _rename(self, old: str, new: str) -> None:
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]

    def constant(self, name: str, value: FloatArray) -> str:
        """Store a constant; equal ones are stored once, as tied weights ask for."""
        array = value.astype("float32", copy=False)
        content = (array.shape, hashlib.sha256(array.tobytes()).digest())
        full = self._stored.setdefault(content, f"{self.scope}.{name}")
        if full == f"{self.scope}.{name}":
            self.initializers.append(numpy_helper.from_array(array, full))
        return full


def build_onnx(
    graph: OpGraph,
    weights: Mapping[str, FloatArray],
    *,
    batch: int = 1,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """An ONNX model (opset 17, IR 8, fixed batch) that computes `graph` with `weights`.

    Dead code is left out and batch norms are folded into their convolutions. The input is called ``input`` and the
    output ``logits`` in every file.

    Args:
        graph: the network; input ``(batch, *graph.input_shape)``, float32.
        weights: training weights by ``"node.parameter"`` (`graph_parameters` lists them).
        batch: the fixed batch size.
        metadata: key-value pairs stored in the model.

    Raises:
        OperatorError: a weight is missing or of the wrong shape.
    """
    live = expand(graph.without_dead_code())
    writer = _ModelWriter()
    names = {INPUT: INPUT}
    for node in live.nodes:
        operator = primitive_of(node.op)
        writer.scope = node.name
        folded = operator.fold(node.op, node_weights(weights, node.name, operator.parameters(node.op)))
        names[node.name] = operator.lower(node.op, writer, [names[i] for i in node.inputs], folded)
    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [batch, *live.input_shape])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *live.shape_of(o)])
        for name, o in zip(writer.outputs([names[o] for o in live.outputs]), live.outputs, strict=True)
    ]
    body = helper.make_graph(writer.nodes, "hwnas", inputs, outputs, writer.initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, dict(metadata or {}))
    return model
