"""Boxes after non-maximum suppression: ONNX Runtime, torch and a plain loop agree; nodes that share weights."""

import numpy as np
import pytest
import torch

from latency_tables import INPUT, GraphBuilder, OpGraph
from profilers import (
    GraphModule,
    OperatorError,
    build_onnx,
    expand,
    graph_parameters,
    make_session,
    ops,
    quantize_model,
    random_weights,
    tensor_ranges,
    trained_graph,
)
from profilers._operators._map_places import levels_of

LEVELS = ((4, 6), (2, 3))
PLACES = 30


def raw_maps(batch, classes, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 1.5, (batch, classes + 5, PLACES)).astype(np.float32)


def in_both(op, x):
    graph = OpGraph.single(op)
    with torch.no_grad():
        torch_result = GraphModule(graph)(torch.from_numpy(x)).numpy()
    session = make_session(build_onnx(graph, {}, batch=len(x)).SerializeToString(), threads=1)
    return torch_result, session.run(None, {INPUT: x})[0]


def overlap(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0.0))
    return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def by_hand(maps, classes, *, most, candidates, iou, score):
    """Decode and suppress the boxes of one sample with plain loops."""
    sigmoid = 1 / (1 + np.exp(-maps.astype(np.float64)))
    found, place = [], 0
    for height, width in LEVELS:
        for i in range(height * width):
            x, y = (i % width + 0.5) / width, (i // width + 0.5) / height
            left, upper, right, lower = np.exp(maps[classes : classes + 4, place])
            box = [x - left / width, y - upper / height, x + right / width, y + lower / height]
            for c in range(classes):
                found.append((np.sqrt(sigmoid[c, place] * sigmoid[-1, place]), c, np.clip(box, 0, 1)))
            place += 1
    found = sorted(found, key=lambda item: -item[0])[:candidates]
    kept = []
    for value, c, box in found:
        if value > score and all(c != other or overlap(box, b) <= iou for _, other, b in kept):
            kept.append((value, c, box))
    rows = np.zeros((most, 6))
    for row, (value, c, box) in zip(rows, kept[:most], strict=False):
        row[:] = [*box, value, c]
    return rows


@pytest.mark.parametrize(("classes", "score"), [(1, 0), (3, 40), (3, 100)])
def test_boxes_are_the_same_by_hand_in_torch_and_in_onnx_runtime(classes, score):
    settings = {"most": 12, "candidates": 25, "iou": 30, "score": score}
    x = raw_maps(3, classes)
    torch_rows, onnx_rows = in_both(ops.detections(x.shape[1:], LEVELS, **settings), x)
    assert torch_rows.shape == (3, 12, 6)
    np.testing.assert_allclose(onnx_rows, torch_rows, atol=1e-5)
    for sample, rows in zip(x, torch_rows, strict=True):
        expected = by_hand(sample, classes, most=12, candidates=25, iou=0.3, score=score / 100)
        np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert (torch_rows[..., 4] > 0).any() == (score < 100)


def test_huge_distances_stay_finite():
    x = raw_maps(1, 2) * 100
    for rows in in_both(ops.detections(x.shape[1:], LEVELS), x):
        assert np.isfinite(rows).all()
        assert rows[..., :4].min() >= 0
        assert rows[..., :4].max() <= 1


def test_impossible_detections_are_refused():
    for op, why in (
        (ops.detections((6, PLACES + 1), LEVELS), r"classes \+ 5, 30"),
        (ops.detections((5, PLACES), LEVELS), r"classes \+ 5, 30"),
        (ops.detections((6, PLACES), LEVELS, iou=0), "1 to 100 percent"),
        (ops.join((4, 2, 2), (5, 1, 1)), "equal numbers of channels"),
    ):
        with pytest.raises(OperatorError, match=why):
            expand(OpGraph.single(op))


def shared_heads():
    """Build one convolution that reads two maps, and the post-processing behind it."""
    builder = GraphBuilder((3, 8, 12))
    small = builder.add("small", ops.pool((3, 8, 12), 2, stride=2, padding=0), INPUT)
    maps = []
    for name, x in (("a", INPUT), ("b", small)):
        y = builder.add(f"head@{name}", ops.conv(builder.shape(x), 8, 3, stride=2, act="relu"), x)
        maps.append(builder.add(f"last@{name}", ops.conv(builder.shape(y), 7, norm="bias"), y))
    joined = builder.add("join", ops.join(*map(builder.shape, maps)), *maps)
    levels = [builder.shape(name)[1:] for name in maps]
    return builder.build(builder.add("boxes", ops.detections(builder.shape(joined), levels), joined))


def test_nodes_that_differ_behind_an_at_sign_share_weights_but_not_norms():
    graph = shared_heads()
    names = [name for name, _ in graph_parameters(graph)]
    assert len(set(names)) == len(names)
    assert {name for name in names if "@" not in name} == {"head.weight", "last.weight", "last.bias"}
    assert {"head@a.gamma", "head@b.variance"} <= set(names)
    weights = random_weights(graph, 3)
    module = GraphModule(graph, weights)
    assert sorted(module.arrays()) == sorted(names)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 8, 12)).astype(np.float32))
    module.train()
    module(x)  # other statistics for each map
    arrays = module.eval().arrays()
    assert not np.allclose(arrays["head@a.mean"], arrays["head@b.mean"])
    session = make_session(build_onnx(graph, arrays, batch=2).SerializeToString(), threads=1)
    with torch.no_grad():
        np.testing.assert_allclose(session.run(None, {INPUT: x.numpy()})[0], module(x).numpy(), atol=1e-5)


def test_nodes_that_share_weights_need_the_same_shapes():
    builder = GraphBuilder((3, 8, 12))
    first = builder.add("head@a", ops.conv((3, 8, 12), 8, 3), INPUT)
    graph = builder.build(builder.add("head@b", ops.conv((8, 8, 12), 8, 3), first))
    with pytest.raises(
        OperatorError, match=r"nodes head@a and head@b share the weight head.weight by their names, but"
    ):
        list(graph_parameters(graph))


def test_training_ends_before_the_boxes():
    graph = shared_heads()
    trained = trained_graph(graph)
    assert trained.outputs == ("join",)
    assert trained.output_shape == (7, 24 + 6)
    assert trained_graph(trained) is trained


def test_boxes_of_the_int8_file_are_those_of_the_float_one():
    graph = shared_heads()
    model = build_onnx(graph, random_weights(graph, 5), batch=4)
    x = np.random.default_rng(0).standard_normal((16, 3, 8, 12), dtype=np.float32)
    small = quantize_model(model, tensor_ranges(model, x))
    assert any(node.op_type == "QuantizeLinear" for node in small.graph.node)
    exact, rounded = (
        make_session(each.SerializeToString(), threads=1).run(None, {INPUT: x[:4]})[0] for each in (model, small)
    )
    assert not np.array_equal(exact, rounded)
    matched = 0
    for there, here in zip(exact, rounded, strict=True):
        for row in there[there[:, 4] > 0][:5]:  # the best boxes: others lie near the ends of suppression
            same = [overlap(row[:4], other[:4]) for other in here if other[4] > 0 and other[5] == row[5]]
            assert max(same) > 0.8
            matched += 1
    assert matched >= 8


@pytest.mark.parametrize("levels", [[(8, 8)], [(8, 8), (8, 8)], [(4, 8)], [(8, 8), (4, 4)]])
def test_maps_of_any_sizes(levels):
    places = sum(height * width for height, width in levels)
    op = ops.detections((7, places), levels, most=5, candidates=20)
    assert levels_of(op) == tuple(levels)
    graph = OpGraph.single(op)
    raw = np.random.default_rng(0).standard_normal((2, 7, places)).astype(np.float32)
    with torch.no_grad():
        of_torch = GraphModule(graph)(torch.from_numpy(raw)).numpy()
    session = make_session(build_onnx(graph, {}, batch=2).SerializeToString(), threads=1)
    (of_file,) = session.run(None, {"input": raw})
    np.testing.assert_allclose(of_torch, of_file, atol=1e-5)


def test_a_second_inference_makes_no_tensor_from_arrays(monkeypatch):
    """A CUDA graph cannot copy from the host while it is captured."""
    module = GraphModule(OpGraph.single(ops.detections((7, 20), [(4, 4), (2, 2)], most=5, candidates=20)))
    raw = torch.zeros(1, 7, 20)
    with torch.inference_mode():
        module(raw)
        monkeypatch.setattr(torch, "from_numpy", None)
        module(raw)
