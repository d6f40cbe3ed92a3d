"""Operators on features and on feature maps of one, two and three axes: torch, ONNX Runtime, costs, keys."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from operator_graphs import draw, graph_of, lively, run_onnx, run_torch

from hwnas.testing import check_operator
from latency_tables import INPUT, GraphBuilder, GraphError, Op, sorted_attributes
from profilers import (
    GraphModule,
    OperatorError,
    build_onnx,
    graph_macs,
    graph_params,
    operator_kinds,
    operator_of,
    ops,
    quantize_model,
    random_weights,
    tensor_ranges,
)

MAPS = {1: (8, 11), 2: (8, 7, 9), 3: (8, 4, 5, 6)}
FLAT = (12,)


@dataclass(frozen=True)
class Case:
    op: Op
    macs: int
    params: int


def same(sizes, strides):
    return tuple(math.ceil(n / s) for n, s in zip(sizes, strides, strict=True))


def map_cases(axes):
    """Cases of one rank with their costs, by hand."""
    shape = MAPS[axes]
    sizes = shape[1:]
    kernel, stride, dilation, factor = ((3, 5, 1)[:axes], (1, 2, 2)[-axes:], (2, 1, 3)[:axes], (2, 1, 3)[:axes])
    n, strided = math.prod(sizes), math.prod(same(sizes, stride))
    halved = math.prod(same(sizes, (2,) * axes))
    fused = Op(
        "conv",
        (shape, (12, *same(sizes, stride))),
        (12, *same(sizes, stride)),
        sorted_attributes({"act": "relu", "add": 1, "groups": 1, "kernel": kernel, "norm": "batch", "stride": stride}),
    )
    return {
        "conv 1": Case(ops.conv(shape, 12), n * 8 * 12, 8 * 12 + 24),
        "conv 3 stride 2": Case(
            ops.conv(shape, 12, 3, stride=2, act="relu"), halved * 96 * 3**axes, 96 * 3**axes + 24
        ),
        "conv per axis": Case(
            ops.conv(shape, 12, kernel, stride=stride, norm="bias", act="hswish"),
            strided * 96 * math.prod(kernel),
            96 * math.prod(kernel) + 12,
        ),
        "conv dilated": Case(
            ops.conv(shape, 4, 3, dilation=dilation, groups=4, norm="none"), n * 4 * 2 * 3**axes, 4 * 2 * 3**axes
        ),
        "conv dilated by 2": Case(ops.conv(shape, 4, 3, dilation=2), n * 32 * 3**axes, 32 * 3**axes + 8),
        "conv with residual": Case(fused, strided * 96 * math.prod(kernel), 96 * math.prod(kernel) + 24),
        "depthwise": Case(
            ops.depthwise(shape, kernel, stride=stride, act="hsigmoid"),
            strided * 8 * math.prod(kernel),
            8 * math.prod(kernel) + 16,
        ),
        "depthwise dilated": Case(
            ops.depthwise(shape, 3, dilation=2), n * 8 * 3**axes, 8 * 3**axes + 16
        ),
        "norm": Case(ops.norm(shape, act="relu"), n * 8, 16),
        "average pool": Case(ops.pool(shape, kernel, stride=stride), 0, 0),
        "max pool": Case(ops.pool(shape, 3, stride=2, mode="max"), 0, 0),
        "max pool per axis": Case(ops.pool(shape, kernel, stride=stride, padding=0, mode="max"), 0, 0),
        "global pool": Case(ops.global_pool(shape), 0, 0),
        "hswish": Case(ops.activation(shape, "hswish"), 0, 0),
        "identity": Case(ops.identity(shape), 0, 0),
        "add": Case(ops.add(shape), 0, 0),
        "mul": Case(ops.mul(shape), n * 8, 0),
        "scale": Case(ops.scale(shape), n * 8, 0),
        "concat": Case(ops.concat(shape, (3, *sizes), shape), 0, 0),
        "join": Case(ops.join(shape, shape), 0, 0),
        "separable": Case(
            ops.separable(shape, 12, kernel=3), n * 8 * (3**axes + 12), 8 * 3**axes + 16 + 8 * 12 + 24
        ),
        "reshape": Case(ops.reshape(shape, (2, 4, *sizes)), 0, 0),
        "transpose": Case(ops.transpose(shape, (*range(1, axes + 1), 0)), 0, 0),
        "softmax": Case(ops.softmax(shape), 0, 0),
        "conv padded otherwise": Case(
            ops.conv(shape, 4, 2, pads=(1,) * axes + (0,) * axes), n * 32 * 2**axes, 32 * 2**axes + 8
        ),
        "slice": Case(ops.slice_channels(shape, 3, 4), 0, 0),
        "shift": Case(ops.shift(shape, 3), 0, 0),
        "upsample": Case(ops.upsample(shape), 0, 0),
        "upsample per axis": Case(ops.upsample(shape, factor), 0, 0),
        "linear": Case(ops.linear(shape, 5, act="relu"), n * 8 * 5, n * 8 * 5 + 5),
        "squeeze-excite": Case(ops.squeeze_excite(shape, 4), 8 * 4 * 2 + n * 8, 8 * 4 * 2 + 12),
        "mbconv": Case(
            ops.inverted_residual(shape, 8, kernel=kernel, stride=1, hidden=24, squeeze=0, act="relu"),
            n * (8 * 24 + 24 * math.prod(kernel) + 24 * 8),
            8 * 24 * 2 + 24 * math.prod(kernel) + 2 * (24 + 24 + 8),
        ),
        "mbconv dilated": Case(
            ops.inverted_residual(
                shape, 8, kernel=kernel, stride=1, dilation=dilation, hidden=8, squeeze=0, act="relu"
            ),
            n * (8 * math.prod(kernel) + 8 * 8),
            8 * math.prod(kernel) + 16 + 8 * 8 + 16,
        ),
        "mbconv stride": Case(
            ops.inverted_residual(shape, 16, kernel=3, stride=stride, hidden=8, squeeze=4, act="hswish"),
            strided * (8 * 3**axes + 8 + 8 * 16) + 8 * 4 * 2,
            8 * 3**axes + 16 + (8 * 4 * 2 + 12) + 8 * 16 + 32,
        ),
        "mbconv without a middle": Case(
            ops.inverted_residual(shape, 8, kernel=0, stride=1, hidden=24, squeeze=0, act="relu"),
            n * 8 * 24 * 2,
            8 * 24 * 2 + 2 * (24 + 8),
        ),
        "mbconv of two kernels": Case(
            ops.inverted_residual(
                shape, 16, kernel=kernel, beside=1, stride=stride, hidden=24, squeeze=0, act="relu", shift=3
            ),
            n * 8 * 24 + strided * (24 * math.prod(kernel) + 24 + 24 * 16),
            8 * 24 + 24 * math.prod(kernel) + 24 + 24 * 16 + 2 * (24 * 3 + 16),
        ),
        "head": Case(
            ops.head(shape, 10, hidden=24, features=16),
            n * 8 * 24 + 24 * 16 + 16 * 10,
            8 * 24 + 48 + 24 * 16 + 16 + 16 * 10 + 10,
        ),
    }  # fmt: skip


FUNCTIONS = ("relu", "hswish", "hsigmoid", "relu6", "sigmoid", "silu", "tanh", "gelu")
FEATURE_CASES = {
    "linear": Case(ops.linear(FLAT, 5, act="hswish"), 60, 65),
    "norm": Case(ops.norm(FLAT, act="relu"), 12, 24),
    **{function: Case(ops.activation(FLAT, function), 0, 0) for function in FUNCTIONS},
    "reshape": Case(ops.reshape(FLAT, (3, 4)), 0, 0),
    "transpose": Case(ops.transpose(FLAT, (0,)), 0, 0),
    "softmax": Case(ops.softmax(FLAT), 0, 0),
    "identity": Case(ops.identity(FLAT), 0, 0),
    "add": Case(ops.add(FLAT), 0, 0),
    "mul": Case(ops.mul(FLAT), 12, 0),
    "scale": Case(ops.scale(FLAT), 12, 0),
    "concat": Case(ops.concat(FLAT, (3,)), 0, 0),
    "slice": Case(ops.slice_channels(FLAT, 0, 7), 0, 0),
}
CASES = {f"{axes}-D {name}": case for axes in MAPS for name, case in map_cases(axes).items()} | {
    f"flat {name}": case for name, case in FEATURE_CASES.items()
}


@pytest.mark.parametrize("axes", MAPS)
def test_every_operator_has_a_case_in_every_rank_of_feature_maps(axes):
    kinds = {case.op.kind for name, case in CASES.items() if name.startswith(f"{axes}-D ")}
    # "onnx" is made by the reader of files alone, "convert" stands between blocks of two precisions, "logmel" reads
    # signals alone, and "detections" reads joined maps, whatever their rank
    assert kinds == set(operator_kinds()) - {"onnx", "convert", "logmel", "detections"}


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    """One computation in torch and ONNX Runtime at batch sizes 1 and 3, keys that are read back, counted weights."""
    check_operator(CASES[name].op)


@pytest.mark.parametrize("axes", [0, *MAPS])
def test_an_identity_changes_nothing(axes):
    graph = graph_of(ops.identity(MAPS.get(axes, FLAT)))
    values = draw(graph, 3)
    assert np.array_equal(run_torch(GraphModule(graph), values)[0], values[INPUT])


@pytest.mark.parametrize("name", CASES)
def test_costs_by_hand(name):
    case = CASES[name]
    graph = graph_of(case.op)
    assert (graph_macs(graph), graph_params(graph)) == (case.macs, case.params)


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_output_is_refused(name):
    op = CASES[name].op
    operator_of(op).check(op)
    if op.kind != "linear":
        wrong = Op(op.kind, op.inputs, (op.output[0] + 1, *op.output[1:], 1), op.attributes)
        with pytest.raises(OperatorError):
            operator_of(wrong).check(wrong)


def test_kernels_that_are_as_wide_along_all_axes_have_one_key():
    assert ops.conv((8, 7, 9), 4, (3, 3)) == ops.conv((8, 7, 9), 4, 3)
    assert ops.conv((8, 7, 9), 4, 3).key == (
        "conv float32 8x7x9 -> 4x7x9 act=none groups=1 kernel=3 norm=batch stride=1"
    )
    assert ops.conv((8, 4, 5, 6), 4, (1, 3, 3), stride=(1, 2, 2), dilation=(1, 1, 2)).key == (
        "conv float32 8x4x5x6 -> 4x4x3x3 act=none dilation=1x1x2 groups=1 kernel=1x3x3 norm=batch stride=1x2x2"
    )
    assert ops.pool((8, 7, 9), (2, 3)).key == "pool float32 8x7x9 -> 8x8x9 kernel=2x3 mode=average padding=1 stride=1"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ops.conv(FLAT, 3),
        lambda: ops.pool(FLAT, 3),
        lambda: ops.upsample(FLAT),
        lambda: ops.inverted_residual(FLAT, 12, kernel=3, stride=1, hidden=12, squeeze=0, act="relu"),
    ],
)
def test_features_have_no_axes_to_convolve(make):
    with pytest.raises(OperatorError, match=r"that of a feature map \(channels and 1-3 axes\), got \(12,\)"):
        make()


def test_lists_are_taken_for_tuples():
    assert ops.conv([8, 7, 9], 4, [1, 3], stride=[2, 1]) is ops.conv((8, 7, 9), 4, (1, 3), stride=(2, 1))
    assert ops.pool([8, 7], [3]).key == "pool float32 8x7 -> 8x7 kernel=3 mode=average padding=1 stride=1"
    assert ops.upsample((8, 2, 2), [1, 2]).integers("factor", 2) == (1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'kernels'"):
        ops.conv((8, 7, 9), 4, kernels=[1, 3])


def test_dilated_convolutions_follow_torch():
    shape = (8, 12, 12)
    module = GraphModule(graph_of(ops.conv(shape, 6, 3, dilation=(2, 3), norm="none")), seed=3)
    reference = torch.nn.Conv2d(8, 6, 3, padding=(2, 3), dilation=(2, 3), bias=False)
    with torch.no_grad():
        reference.weight.copy_(torch.from_numpy(module.arrays()["op.weight"]))
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(module(x), reference(x))


def test_a_shift_takes_values_of_the_next_and_the_last_step():
    graph = graph_of(ops.shift((4, 3), 1))
    steps = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    (moved,) = run_torch(GraphModule(graph), {INPUT: steps})
    assert moved[0].tolist() == [[1, 2, 0], [0, 3, 4], [6, 7, 8], [9, 10, 11]]


def test_upsampling_repeats_elements():
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    got = GraphModule(graph_of(ops.upsample((1, 2, 3), (2, 1))))(x)
    assert got.tolist() == [[[[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]]]


def test_batch_norm_of_each_rank_follows_torch_while_it_trains():
    norms = {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d, 3: torch.nn.BatchNorm3d}
    for shape, reference in [(FLAT, norms[1](12)), *((MAPS[axes], norm(8)) for axes, norm in norms.items())]:
        module = GraphModule(graph_of(ops.norm(shape)))
        x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(module(x), reference(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(module.arrays()["op.variance"]), reference.running_var)


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Op("conv", (FLAT,), FLAT, ops.conv((12, 3), 12).attributes), "conv needs a feature map"),
        (Op("pool", ((2, 3, 3, 3, 3),), (2, 3, 3, 3, 3), ops.pool((2, 3), 3).attributes), "pool needs a feature map"),
        (Op("global_pool", (FLAT,), FLAT), "global_pool needs a feature map"),
        (Op("upsample", (FLAT,), FLAT, (("factor", 2),)), "upsample needs a feature map"),
        (Op("upsample", ((8, 4),), (8, 4), (("factor", 1),)), "at least one 2 or more"),
        (Op("slice", (FLAT,), (9,), (("channels", 9), ("start", 5))), "within the 12 channels"),
        (Op("shift", ((8, 1),), (8, 1), (("channels", 2),)), "2 steps or more"),
        (Op("shift", ((8, 4),), (8, 4), (("channels", 4),)), "below half of the input's 8"),
        (ops.inverted_residual((8, 4), 8, kernel=0, stride=2, hidden=8, squeeze=0, act="relu"), "the stride must be 1"),
        (Op("concat", (FLAT,), FLAT), "two or more inputs"),
        (Op("concat", ((3, 4), (3, 5)), (6, 4)), "two or more inputs"),
        (Op("scale", ((8, 4), (8, 4)), (8, 4)), "one factor for each channel"),
        (Op("mul", ((8, 4), (8, 1)), (8, 4)), "two inputs of the same shape"),
        (Op("conv", ((8, 4),), (8, 4), (*ops.conv((8, 4), 8).attributes[:1], ("dilation", 1),
            *ops.conv((8, 4), 8).attributes[1:])), "omit a dilation of 1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(op, message):
    with pytest.raises(OperatorError, match=message) as caught:
        operator_of(op).check(op)
    assert "\n" not in str(caught.value)


def test_lists_of_the_wrong_length_are_refused():
    with pytest.raises(OperatorError, match=r"kernel must be one integer or 2 \(one for each axis\), got 3"):
        ops.pool((8, 7, 9), (3, 3, 3))
    with pytest.raises(OperatorError, match=r"stride must be one integer or 1 \(one for each axis\), got 2"):
        ops.conv((8, 7), 4, 3, stride=(1, 2))
    right = ops.conv((8, 7, 9), 4, (1, 3))
    wrong = right.with_attributes(kernel=(1, 3, 5))
    with pytest.raises(GraphError, match="attribute 'kernel' must be one integer or 2, got 3"):
        operator_of(wrong).check(wrong)


@pytest.mark.parametrize("name", CASES)
def test_int8_operators_stay_near_the_float_ones(name):
    graph = graph_of(CASES[name].op)
    values = draw(graph, 4)
    model = build_onnx(graph, lively(GraphModule(graph, seed=1)).arrays(), batch=4)
    (exact,) = run_onnx(model, values)
    (near,) = run_onnx(quantize_model(model, tensor_ranges(model, values)), values)
    assert np.abs(exact - near).max() < 0.1 * np.abs(exact).max()


def small_network(shape):
    """Convolutions, a residual sum and a classifier for feature maps of any rank."""
    builder = GraphBuilder(shape)
    x = builder.add("stem", ops.conv(shape, 16, 3, act="relu"), INPUT)
    inner = builder.shape(x)
    y = builder.add("conv", ops.conv(inner, 16, 3), x)
    x = builder.add("sum", ops.add(inner), x, y)
    x = builder.add("pool", ops.global_pool(inner), x)
    return builder.build(builder.add("classes", ops.linear(builder.shape(x), 5), x))


@pytest.mark.parametrize("shape", [(3, 32), (3, 8, 8), (3, 4, 8, 8)])
def test_int8_networks_stay_near_the_float_ones(shape):
    graph = small_network(shape)
    model = build_onnx(graph, random_weights(graph, 2), batch=1)
    samples = np.random.default_rng(1).standard_normal((16, *shape), dtype=np.float32)
    quantised = quantize_model(model, tensor_ranges(model, samples))
    assert "QuantizeLinear" in {node.op_type for node in quantised.graph.node}
    (exact,), (near,) = run_onnx(model, {INPUT: samples[:1]}), run_onnx(quantised, {INPUT: samples[:1]})
    assert np.abs(exact - near).max() < 0.1 * np.abs(exact).max()
