"""Small ONNX files, and the comparison of a file with what the reader makes of it."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from profilers import build_onnx, graph_parameters, make_session, read_onnx


class File:
    """An ONNX file that is written node by node."""

    def __init__(self, *shape, opset=17, name="x", seed=0):
        self.nodes, self.initializers, self.opset = [], [], opset
        self.inputs = [(name, TensorProto.FLOAT, shape)]
        self.rng = np.random.default_rng(seed)

    def add(self, op_type, *inputs, outputs=1, **attributes):
        """Append a node; arrays among the inputs become initialisers."""
        names = [name if isinstance(name, str) else self.store(name) for name in inputs]
        made = [f"t{len(self.nodes)}{'abcdef'[i] if i else ''}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, names, made, f"{op_type}_{len(self.nodes)}", **attributes))
        return made[0] if outputs == 1 else made

    def store(self, value):
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def draw(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def statistics(self, channels):
        """Scale, shift, mean and variance of a batch norm."""
        return *(self.draw(channels) for _ in range(3)), self.rng.uniform(0.5, 2, channels).astype(np.float32)

    def model(self, *outputs, ir_version=8, elements=TensorProto.FLOAT):
        inputs = [helper.make_tensor_value_info(*described) for described in self.inputs]
        if ir_version < 4:
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.initializers]
        made = [helper.make_tensor_value_info(name, elements, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "file", inputs, made, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def checked(model, *, batch=1, rebuilt_batch=0, tolerance=1e-4):
    """Read a model, and check that what is built from it computes the same; return what was read."""
    content = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    read = read_onnx(content)
    assert {name for name, _ in graph_parameters(read.graph)} == set(read.weights)
    rng = np.random.default_rng(1)
    values = [rng.standard_normal((read.batch, *shape)).astype(np.float32) for _, shape in read.graph.inputs]
    built = build_onnx(read.graph, read.weights, batch=read.batch, output_names=read.output_names)
    expected = run(content, dict(zip(read.input_names, values, strict=True)))
    got = run(built.SerializeToString(), dict(zip(read.graph.input_names, values, strict=True)))
    assert len(expected) == len(got)
    for first, second in zip(expected, got, strict=True):
        assert first.shape == second.shape
        assert np.abs(first - second).max() <= tolerance * max(np.abs(first).max(), 1e-6)
    return read


def run(content, values):
    return make_session(content, threads=1).run(None, values)


def kinds(read):
    """Kinds of the ops in their order."""
    return [node.op.kind for node in read.graph.nodes]
