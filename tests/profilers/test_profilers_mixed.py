"""Networks of int8 and float32 ops: what is executed at the borders, and what is priced."""

from collections import Counter

import numpy as np
import onnx
import pytest
from simulated_device import AdditiveBackend, true_price

from latency_tables import INPUT, GraphBuilder
from profilers import (
    Network,
    OperatorError,
    build_onnx,
    executed_graph,
    int8_nodes,
    make_session,
    mixed_graph,
    ops,
    peak_memory_bytes,
    profile_ops,
    quantize_model,
    random_weights,
    tensor_ranges,
)
from profilers._onnxruntime import random_model
from profilers._operators._convert import FLOAT, INT8, convert_op
from profilers._session import optimised_model

SHAPE = (16, 8, 8)
LAYERS = 6


def chain():
    """Convolutions with ReLU, of which the third adds what the second read; and a classifier."""
    builder = GraphBuilder((3, 8, 8))
    x = builder.add("layer0", ops.conv((3, 8, 8), 16, 3, act="relu"), INPUT)
    for number in range(1, LAYERS - 1):
        before = x
        x = builder.add(f"layer{number}", ops.conv(SHAPE, 16, 3, act="relu"), x)
        if number == 3:
            x = builder.add("sum", ops.add(SHAPE), x, before)
    x = builder.add("pool", ops.global_pool(SHAPE), x)
    return executed_graph(builder.build(builder.add("classes", ops.linear((16, 1, 1), 10), x)))


def executed(graph):
    model = random_model(graph, 0, (), batch=1, precision="mixed")
    return Counter(node.op_type for node in onnx.load_model_from_string(optimised_model(model)).graph.node)


@pytest.mark.parametrize(
    ("int8", "crossings"),
    [
        ((), (0, 0)),
        (("layer1",), (1, 1)),
        (("layer1", "layer2"), (1, 2)),  # none between int8 neighbours; back to float32 for each of two readers
        (("layer1", "layer4"), (2, 2)),
        (("layer0", "layer1", "layer2", "layer3", "sum", "layer4", "pool", "classes"), (1, 1)),
        (("pool", "classes"), (1, 1)),
    ],
)
def test_the_runtime_executes_the_conversions_that_the_graph_states(int8, crossings):
    graph = mixed_graph(chain(), int8)
    nodes, stated = executed(graph), Counter(node.op.dtype for node in graph.nodes if node.op.kind == "convert")
    assert (nodes["QuantizeLinear"], nodes["DequantizeLinear"]) == (stated[INT8], stated[FLOAT]) == crossings
    assert nodes["QLinearConv"] == sum(name.startswith("layer") for name in int8)
    assert nodes["Conv"] + nodes["FusedConv"] == LAYERS - 1 - nodes["QLinearConv"]


def test_a_tensor_is_converted_to_int8_once_however_many_read_it():
    builder = GraphBuilder(SHAPE)
    a = builder.add("a", ops.conv(SHAPE, 16, act="relu"), INPUT)
    b = builder.add("b", ops.conv(SHAPE, 16, act="relu"), a)
    graph = builder.build(builder.add("c", ops.add(SHAPE), b, a))
    mixed = mixed_graph(graph, ("b", "c"))
    assert [node.op for node in mixed.nodes if node.op.kind == "convert"] == [
        convert_op(SHAPE, INT8),
        convert_op(SHAPE, FLOAT),
    ]
    nodes = executed(mixed)
    assert (nodes["QuantizeLinear"], nodes["DequantizeLinear"]) == (1, 1)


def test_a_tensor_that_both_sides_read_is_refused():
    builder = GraphBuilder(SHAPE)
    a = builder.add("a", ops.conv(SHAPE, 16, act="relu"), INPUT)
    b = builder.add("b", ops.conv(SHAPE, 16, act="relu"), a)
    graph = mixed_graph(builder.build(builder.add("c", ops.add(SHAPE), b, a)), ("b",))
    model = build_onnx(graph, random_weights(graph))
    with pytest.raises(OperatorError, match="int8 and float32 nodes read the tensor a:"):
        quantize_model(model, nodes=int8_nodes(graph))


def test_int8_blocks_change_what_the_network_computes_and_float_ones_do_not():
    graph = chain()
    weights = random_weights(graph, 1)
    weights["layer2.weight"] = weights["layer1.weight"]  # the file holds an int8 and a float node's equal weights apart
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)

    def outputs(int8):
        mixed = mixed_graph(graph, int8)
        model = build_onnx(mixed, weights)
        model = quantize_model(model, tensor_ranges(model, x), nodes=int8_nodes(mixed))
        session = make_session(model.SerializeToString(), threads=1)
        return model, session.run(None, {"input": x})[0]

    plain, expected = outputs(())
    assert not any(node.op_type == "QuantizeLinear" for node in plain.graph.node)
    mixed, got = outputs(("layer1",))
    (float_conv,) = [node for node in mixed.graph.node if node.name.startswith("layer2:") and node.op_type == "Conv"]
    assert float_conv.input[1] in {item.name for item in mixed.graph.initializer}
    assert 0 < np.abs(got - expected).max() < 0.2 * np.abs(expected).max()


def test_ops_of_two_dtypes_are_not_merged():
    builder = GraphBuilder(SHAPE)
    a = builder.add("a", ops.conv(SHAPE, 16), INPUT)
    graph = builder.build(builder.add("b", ops.activation(SHAPE, "relu"), a))
    assert len(executed_graph(graph).nodes) == 1
    mixed = mixed_graph(graph, ("a",))
    assert executed_graph(mixed) == mixed


def test_int8_activations_take_a_byte():
    builder = GraphBuilder((1, 1, 1))
    x = builder.add("wide", ops.conv((1, 1, 1), 1000), INPUT)
    graph = builder.build(builder.add("narrow", ops.conv((1000, 1, 1), 1), x))
    assert peak_memory_bytes(graph) == 4004
    assert peak_memory_bytes(mixed_graph(graph, ("wide", "narrow"))) == 1001


def test_prices_of_mixed_networks_are_solved(tmp_path):
    graph = chain()
    networks = [mixed_graph(graph, int8) for int8 in (("layer1", "layer3", "pool", "classes"), ("layer4",), ("pool",))]
    targets = sorted({op for each in (graph, *networks) for op in each.op_counts}, key=lambda op: op.key)
    named = [Network(str(number), each, "held-out") for number, each in enumerate(networks)]
    table = profile_ops(AdditiveBackend(), targets, named, tmp_path / "journal", space={"name": "chain"})
    for op in targets:
        if op.kind != "convert" and (op.dtype == FLOAT or op.inputs == (op.output,)):
            assert table.entries[op].q10_ms == pytest.approx(1e3 * true_price(op), rel=1e-3), op.key
    both = [convert_op(SHAPE, dtype) for dtype in (INT8, FLOAT)]
    for op in both:  # the directions share a price; what they differ by is in the ops that change the shape
        assert table.entries[op].q10_ms == pytest.approx(1e3 * sum(map(true_price, both)) / 2, rel=1e-3)
    for network in table.networks:
        assert network.unfitted_ms == pytest.approx(network.measured_ms, rel=1e-3)
