"""Graphs with several inputs and outputs: torch, ONNX Runtime, int8, costs, composites."""

import numpy as np
import pytest
import torch
from operator_graphs import draw, lively, run_onnx, run_torch

from latency_tables import GraphBuilder, GraphError, Op, OpGraph
from profilers import (
    Composite,
    GraphModule,
    OperatorError,
    build_onnx,
    expand,
    graph_macs,
    ops,
    peak_memory_bytes,
    quantize_model,
    random_weights,
    tensor_ranges,
)
from profilers._operators import _registry


def two_towers():
    """Sound and picture in, a class and a gate out."""
    builder = GraphBuilder({"picture": (3, 8, 8), "sound": (2, 16)})
    seen = builder.add("see", ops.conv((3, 8, 8), 8, 3, stride=2, act="relu"), "picture")
    seen = builder.add("see_all", ops.global_pool((8, 4, 4)), seen)
    heard = builder.add("hear", ops.conv((2, 16), 6, 5, act="relu"), "sound")
    heard = builder.add("hear_all", ops.global_pool((6, 16)), heard)
    joined = [
        builder.add("flat_seen", ops.linear((8, 1, 1), 8), seen),
        builder.add("flat_heard", ops.linear((6, 1), 6), heard),
    ]
    both = builder.add("both", ops.concat((8,), (6,)), *joined)
    gate = builder.add("gate", ops.linear((14,), 14, act="hsigmoid"), both)
    gated = builder.add("gated", ops.mul((14,)), both, gate)
    builder.add("dead", ops.linear((14,), 3), both)
    return builder.build(builder.add("class", ops.linear((14,), 4), gated), gate)


def test_graphs_with_several_inputs_and_outputs_run_in_torch_and_onnx_runtime():
    graph = two_towers()
    module = lively(GraphModule(graph, seed=1))
    values = draw(graph, 2)
    expected = run_torch(module, values)
    model = build_onnx(graph, module.arrays(), batch=2)
    assert [i.name for i in model.graph.input] == ["picture", "sound"]
    assert [o.name for o in model.graph.output] == ["logits", "logits_1"]
    got = run_onnx(model, values)
    assert [y.shape for y in got] == [(2, 4), (2, 14)]
    for have, want in zip(got, expected, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)
    named = build_onnx(graph, module.arrays(), batch=2, output_names=["class", "gate"])
    assert [o.name for o in named.graph.output] == ["class", "gate"]


def test_names_that_collide_in_the_file_are_refused():
    graph = two_towers()
    weights = random_weights(graph)
    for names, message in [
        (["class"], "2 outputs, got 1 names"),
        (["class", "class"], "two tensors are called 'class'"),
        (["sound", "gate"], "two tensors are called 'sound'"),
        (["see.weight", "gate"], "two tensors are called 'see.weight'"),
    ]:
        with pytest.raises(OperatorError, match=message):
            build_onnx(graph, weights, output_names=names)


def test_inputs_that_leave_the_graph_get_a_node_of_their_own():
    builder = GraphBuilder({"a": (4,), "b": (4,)})
    graph = builder.build("b", builder.add("sum", ops.add((4,)), "a", "b"), "b")
    values = draw(graph, 1)
    got = run_onnx(build_onnx(graph, {}), values)
    np.testing.assert_array_equal(got[0], values["b"])
    np.testing.assert_array_equal(got[1], values["a"] + values["b"])
    np.testing.assert_array_equal(got[2], values["b"])
    assert [y.tolist() for y in run_torch(GraphModule(graph), values)] == [y.tolist() for y in got]


def test_a_module_names_the_inputs_it_misses():
    with pytest.raises(OperatorError, match="the network needs 2 inputs, got 1"):
        GraphModule(two_towers())(torch.zeros(1, 3, 8, 8))


def test_costs_of_several_inputs_and_outputs_by_hand():
    graph = two_towers()
    macs = 16 * 8 * 3 * 9 + 16 * 6 * 2 * 5 + 8 * 8 + 6 * 6 + 14 * 14 + 14 + 14 * 4
    assert graph_macs(graph) == macs
    # both inputs live while the first convolution writes 8x4x4: 192 + 32 + 128 floats
    assert peak_memory_bytes(graph, batch=2) == 2 * 4 * (192 + 32 + 128)
    builder = GraphBuilder({"a": (10,), "b": (10,)})
    x = builder.add("x", ops.linear((10,), 5), "a")
    y = builder.add("y", ops.linear((10,), 5), "b")
    assert peak_memory_bytes(builder.build(x, y)) == 4 * (10 + 10 + 5)


class Both(Composite):
    """A composite with two inputs."""

    kind = "both"

    def expand(self, op):
        builder = GraphBuilder(dict(zip(("left", "right"), op.inputs, strict=True)))
        left = builder.add("widen", ops.linear(op.inputs[0], op.output[0]), "left")
        return builder.build(builder.add("sum", ops.add(op.output), "right", left))


def test_composites_may_have_several_inputs(monkeypatch):
    monkeypatch.setitem(_registry._OPERATORS, "both", Both())
    builder = GraphBuilder({"a": (3,), "b": (5,)})
    wide = builder.add("wide", ops.linear((3,), 4), "a")
    graph = builder.build(builder.add("both", Op("both", ((4,), (5,)), (5,)), wide, "b"))
    assert [(n.name, n.inputs) for n in expand(graph).nodes] == [
        ("wide", ("a",)),
        ("both.widen", ("wide",)),
        ("both.sum", ("b", "both.widen")),
    ]
    module = GraphModule(graph)
    values = draw(graph, 3)
    (got,) = run_onnx(build_onnx(graph, module.arrays(), batch=3), values)
    np.testing.assert_allclose(got, run_torch(module, values)[0], rtol=1e-4, atol=1e-4)


def test_int8_networks_with_several_inputs():
    graph = two_towers()
    model = build_onnx(graph, random_weights(graph), batch=2)
    values = draw(graph, 6)
    ranges = tensor_ranges(model, values)
    first = draw(graph, 2)
    exact, near = run_onnx(model, first), run_onnx(quantize_model(model, ranges), first)
    for a, b in zip(exact, near, strict=True):
        assert np.abs(a - b).max() < 0.15 * np.abs(a).max()
    with pytest.raises(OperatorError, match="int8 needs samples for the inputs picture, sound, got picture"):
        tensor_ranges(model, values["picture"])
    with pytest.raises(OperatorError, match="the same number of samples for each input, got 2, 6"):
        tensor_ranges(model, {**values, "sound": values["sound"][:2]})


def test_graphs_refuse_bad_inputs():
    for inputs, message in [
        ({}, "at least one input is needed"),
        ({"a b": (3,)}, "input name 'a b'"),
        ({"a": ()}, "positive extents"),
        ({"a": (0, 3)}, "positive extents"),
    ]:
        with pytest.raises(GraphError, match=message):
            GraphBuilder(inputs)
    with pytest.raises(GraphError, match="input names must differ, got a, a"):
        OpGraph((3,), (), ("a",), (("a", (3,)), ("a", (3,))))
    with pytest.raises(GraphError, match="the first input must have the shape"):
        OpGraph((3,), (), ("a",), (("a", (4,)),))
    builder = GraphBuilder({"a": (3,), "b": (3,)})
    with pytest.raises(GraphError, match="the name 'a' is used twice"):
        builder.build(builder.add("a", ops.add((3,)), "a", "b"))
    with pytest.raises(GraphError, match="the part needs 1 input tensors, got 2"):
        builder.splice(OpGraph.single(ops.activation((3,), "relu")), at=["a", "b"])
