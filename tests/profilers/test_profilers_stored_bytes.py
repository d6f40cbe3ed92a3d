"""The bytes of weights are those of the constants in the ONNX file, in float, int8 and mixed networks."""

import numpy as np
import onnx
import pytest

from latency_tables import INPUT, GraphBuilder, OpGraph
from profilers import (
    build_onnx,
    graph_at,
    mixed_graph,
    ops,
    peak_memory_bytes,
    quantised_nodes,
    quantize_model,
    random_weights,
    stored_bytes,
)


def network():
    """A network with a depthwise convolution, squeeze-excite, a residual sum and a linear layer."""
    net = GraphBuilder((3, 16, 16))
    x = net.add("stem", ops.conv((3, 16, 16), 16, 3, act="hswish"), INPUT)
    y = net.add("deep", ops.conv((16, 16, 16), 16, 3, groups=16, act="relu"), x)
    pooled = net.add("pool", ops.global_pool((16, 16, 16)), y)
    gate = net.add("gate", ops.conv((16, 1, 1), 16, norm="bias", act="hsigmoid"), pooled)
    y = net.add("scale", ops.scale((16, 16, 16)), y, gate)
    x = net.add("sum", ops.add((16, 16, 16)), y, x)
    x = net.add("head", ops.conv((16, 16, 16), 24, norm="none", act="relu"), x)
    return net.build(net.add("classes", ops.linear((24, 16, 16), 10), x))


def bytes_in_file(graph, precision):
    """Bytes of the constants of the file, without the scales and zero points of activations."""
    rng = np.random.default_rng(0)
    weights = {name: rng.random(value.shape, dtype=np.float32) + 1 for name, value in random_weights(graph, 0).items()}
    model = build_onnx(graph, weights)
    if precision != "fp32":
        model = quantize_model(model, nodes=quantised_nodes(graph, precision))
    values = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    return sum(value.nbytes for value in values if value.shape)


def test_stored_bytes_are_those_of_the_file():
    graph = network()
    assert stored_bytes(graph) == bytes_in_file(graph, "fp32")
    assert stored_bytes(graph_at(graph, "int8")) == bytes_in_file(graph, "int8") < stored_bytes(graph) / 2
    for int8 in (("stem", "classes"), ("deep", "pool", "gate", "scale", "sum"), ("head",)):
        mixed = mixed_graph(graph, int8)
        assert stored_bytes(mixed) == bytes_in_file(mixed, "mixed")


def test_stored_bytes_by_hand():
    conv = OpGraph.single(ops.conv((3, 8, 8), 4, 3))
    assert stored_bytes(conv) == 4 * (4 * 27 + 4)
    assert stored_bytes(graph_at(conv, "fp16")) == 2 * (4 * 27 + 4)
    assert stored_bytes(graph_at(conv, "int8")) == 4 * 27 + 4 * 5 + 4 * 12
    assert stored_bytes(OpGraph.single(ops.norm((4, 8, 8)))) == 64


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("mixed", 4), ("fp16", 2), ("bf16", 2), ("int8", 1)])
def test_activations_have_the_width_of_the_precision(precision, width):
    graph = network()
    assert peak_memory_bytes(graph_at(graph, precision)) == width * peak_memory_bytes(graph) // 4


def test_an_input_that_is_only_passed_on_has_the_dtype_of_the_others():
    builder = GraphBuilder({INPUT: (4, 8, 8), "skip": (4, 8, 8)})
    part = builder.build(builder.add("conv", ops.conv((4, 8, 8), 4), INPUT), "skip")
    assert peak_memory_bytes(graph_at(part, "int8")) == peak_memory_bytes(part) / 4 == 3 * 256
