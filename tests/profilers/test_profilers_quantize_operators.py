"""int8: every activation and every operator that files bring computes nearly the same when it is quantised."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from latency_tables import INPUT, GraphBuilder
from profilers import build_onnx, make_session, ops, quantize_model, random_weights, read_onnx, tensor_ranges

S = (8, 6, 6)
ACTIVATIONS = ("relu", "hswish", "hsigmoid", "relu6", "sigmoid", "silu", "tanh", "gelu")
MOVES = {
    "channel shuffle": (
        ops.reshape(S, (2, 4, 6, 6)),
        ops.transpose((2, 4, 6, 6), (1, 0, 2, 3)),
        ops.reshape((4, 2, 6, 6), S),
    ),
    "transpose": (ops.transpose(S, (0, 2, 1)),),
    "softmax over channels": (ops.softmax(S),),
    "softmax over rows": (ops.softmax(S, 2),),
    "slice": (ops.slice_channels(S, 2, 5),),
    "upsample": (ops.upsample(S),),
    "norm": (ops.norm(S, act="silu"),),
    "even kernel": (ops.conv(S, 8, 2, stride=2, pads=(0, 0, 1, 1)),),
    "pads at the end": (ops.conv(S, 8, 3, stride=2, norm="bias", pads=(0, 0, 1, 1), act="gelu"),),
    "max pool padded at the end": (ops.pool(S, 3, stride=2, padding=0, end_padding=1, mode="max"),),
    "average pool with padding in the count": (ops.pool(S, 3, count_padding=True),),
}  # fmt: skip


def agreement(model, images):
    """Correlation of the float and the quantised outputs over images."""
    small = quantize_model(model, tensor_ranges(model, images))
    outputs = []
    for network in (model, small):
        session = make_session(network.SerializeToString(), threads=1)
        fed = session.get_inputs()[0].name
        outputs.append(np.concatenate([session.run(None, {fed: images[i : i + 1]})[0] for i in range(len(images))]))
    assert np.isfinite(outputs[1]).all()
    assert not np.array_equal(*outputs)
    assert any(node.op_type == "QuantizeLinear" for node in small.graph.node)
    return np.corrcoef(outputs[0].ravel(), outputs[1].ravel())[0, 1]


def between_convolutions(*parts):
    builder = GraphBuilder((3, 6, 6))
    x = builder.add("first", ops.conv((3, 6, 6), 8, 3), INPUT)
    for number, op in enumerate(parts):
        x = builder.add(f"part{number}", op, x)
    return builder.build(builder.add("last", ops.conv(builder.shape(x), 4), x))


def images(shape=(3, 6, 6), count=16):
    return np.random.default_rng(0).standard_normal((count, *shape), dtype=np.float32)


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations(function):
    for parts in ((ops.activation(S, function),), (ops.conv(S, 8, 3, act=function),)):
        graph = between_convolutions(*parts)
        assert agreement(build_onnx(graph, random_weights(graph, 1)), images()) > 0.98


@pytest.mark.parametrize("name", MOVES)
def test_operators(name):
    graph = between_convolutions(*MOVES[name])
    assert agreement(build_onnx(graph, random_weights(graph, 1)), images()) > 0.98


def test_generic_ops():
    nodes = [
        helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Softmax", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("LRN", ["d"], ["y"], size=3),
    ]
    rng = np.random.default_rng(0)
    shapes = {"gamma": (6,), "beta": (6,), "w": (6, 6)}
    stored = [numpy_helper.from_array(rng.standard_normal(s, dtype=np.float32), name) for name, s in shapes.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 6, 6))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "generic", [x], [y], stored)
    read = read_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    assert len(read.generic) == 4
    assert agreement(read.build(), images((4, 6, 6))) > 0.98
