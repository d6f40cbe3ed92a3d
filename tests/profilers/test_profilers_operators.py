import numpy as np
import pytest
import torch

from latency_tables import INPUT, GraphBuilder, Op, OpGraph
from profilers import (
    GraphModule,
    OperatorError,
    build_onnx,
    expand,
    graph_macs,
    graph_parameters,
    graph_params,
    make_session,
    operator_kinds,
    operator_of,
    ops,
    peak_memory_bytes,
    random_weights,
)

S = (8, 7, 9)
CASES = {
    "conv 1x1": ops.conv(S, 12),
    "conv 3x3 relu": ops.conv(S, 12, 3, act="relu"),
    "conv 5x5 stride 2 hswish": ops.conv(S, 16, 5, stride=2, act="hswish"),
    "conv 7x7 groups": ops.conv(S, 16, 7, groups=4, act="hsigmoid"),
    "conv bias": ops.conv(S, 4, 3, norm="bias", act="relu"),
    "conv plain": ops.conv(S, 4, 3, norm="none"),
    "depthwise 3": ops.depthwise(S, 3, act="relu"),
    "depthwise 5 stride 2": ops.depthwise(S, 5, stride=2, act="hswish"),
    "linear": ops.linear((12,), 5),
    "linear of an image": ops.linear(S, 5, act="hswish"),
    "log-mel": ops.logmel((2, 600), 6, rate=8000, window=200, hop=80, fft=400),
    "norm relu": ops.norm(S, act="relu"),
    "norm": ops.norm(S),
    "relu": ops.activation(S, "relu"),
    "hswish": ops.activation(S, "hswish"),
    "hsigmoid": ops.activation(S, "hsigmoid"),
    "relu6": ops.activation(S, "relu6"),
    "sigmoid": ops.activation(S, "sigmoid"),
    "silu": ops.activation(S, "silu"),
    "tanh": ops.activation(S, "tanh"),
    "gelu": ops.activation(S, "gelu"),
    "conv with an even kernel": ops.conv(S, 4, 2, stride=2, pads=(0, 0, 0, 1)),
    "conv padded at the end": ops.conv(S, 4, 3, stride=2, pads=(0, 1, 1, 1), act="silu"),
    "max pool padded at the end": ops.pool(S, 3, stride=2, padding=0, end_padding=(1, 0), mode="max"),
    "average pool padded at the end": ops.pool(S, 3, stride=2, padding=0, end_padding=(1, 0)),
    "average pool with padding in the count": ops.pool(S, 3, count_padding=True),
    "reshape": ops.reshape(S, (2, 4, 7, 9)),
    "flatten": ops.reshape(S, (504,)),
    "transpose": ops.transpose(S, (1, 0, 2)),
    "softmax": ops.softmax(S, 1),
    "identity": ops.identity(S),
    "convert": Op("convert", (S,), S, dtype="int8"),
    "add": ops.add(S),
    "mul": ops.mul(S),
    "scale": ops.scale(S),
    "concat": ops.concat(S, (4, 7, 9), (2, 7, 9)),
    "slice": ops.slice_channels(S, 2, 5),
    "shift": ops.shift(S, 1),
    "upsample": ops.upsample(S, 2),
    "join": ops.join(S, S),
    "separable": ops.separable(S, 12, kernel=5, dilation=2),
    "average pool": ops.pool(S, 3),
    "average pool stride": ops.pool((8, 8, 8), 2, stride=2, padding=0),
    "max pool": ops.pool(S, 3, stride=2, mode="max"),
    "global pool": ops.global_pool(S),
    "squeeze-excite": ops.squeeze_excite(S, 4),
    "mbconv": ops.inverted_residual(S, 8, kernel=3, stride=1, hidden=24, squeeze=8, act="hswish"),
    "mbconv stride": ops.inverted_residual(S, 16, kernel=5, stride=2, hidden=32, squeeze=0, act="relu"),
    "mbconv without expansion": ops.inverted_residual(S, 8, kernel=7, stride=1, hidden=8, squeeze=0, act="relu"),
    "head": ops.head(S, 10, hidden=24, features=16),
    "head without features": ops.head(S, 10, hidden=24, features=0),
    "conv with residual": Op(
        "conv",
        (S, (12, 7, 9)),
        (12, 7, 9),
        (("act", "relu"), ("add", 1), ("groups", 1), ("kernel", 3), ("norm", "batch"), ("stride", 1)),
    ),
}


def graph_of(op):
    """`op` behind inputs made from the graph's input by known operators."""
    builder = GraphBuilder(op.inputs[0])
    operands = [INPUT]
    for i, shape in enumerate(op.inputs[1:]):
        if shape[1:] == (1, 1):
            pooled = builder.add(f"pool{i}", ops.global_pool(op.inputs[0]), INPUT)
            operands.append(builder.add(f"made{i}", ops.conv(builder.shape(pooled), shape[0], act="hsigmoid"), pooled))
        else:
            operands.append(builder.add(f"made{i}", ops.conv(op.inputs[0], shape[0], 1), INPUT))
    return builder.build(builder.add("op", op, *operands))


def lively(module):
    """Give batch norms statistics and parameters that would show a wrong fold."""
    torch.manual_seed(0)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        with torch.no_grad():
            if name.endswith(("gamma", "variance")):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("beta", "mean", "bias")):
                tensor.uniform_(-0.5, 0.5)
    return module.eval()


def run_onnx(model, x):
    return make_session(model.SerializeToString(), threads=1).run(None, {INPUT: x})[0]


def test_every_registered_operator_has_a_case():
    # "onnx" is made by the reader of files alone, "detections" has a file of its own
    assert {op.kind for op in CASES.values()} == set(operator_kinds()) - {"onnx", "detections"}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [1, 3])
def test_torch_and_onnx_runtime_agree(name, batch):
    graph = graph_of(CASES[name])
    module = lively(GraphModule(graph, seed=1))
    x = np.random.default_rng(0).standard_normal((batch, *graph.input_shape), dtype=np.float32)
    expected = module(torch.from_numpy(x)).detach().numpy()
    found = run_onnx(build_onnx(graph, module.arrays(), batch=batch), x)
    assert found.shape == (batch, *graph.output_shape)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_inferred_and_contradictions_refused(name):
    op = CASES[name]
    operator_of(op).check(op)
    if op.kind in ("linear",):
        return
    wrong = Op(op.kind, op.inputs, (op.output[0], *(n + 1 for n in op.output[1:] or (1,))), op.attributes)
    with pytest.raises(OperatorError):
        operator_of(wrong).check(wrong)


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_what_torch_trains(name):
    module = GraphModule(graph_of(CASES[name]))
    assert graph_params(module.graph) == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", [n for n, op in CASES.items() if op.kind in ("conv", "linear")])
def test_macs_of_weighted_operators_equal_torch_hooks(name):
    """Half of what torch's own FLOP counter counts."""
    from torch.utils.flop_counter import FlopCounterMode

    graph = graph_of(CASES[name])
    module = GraphModule(graph).eval()
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *graph.input_shape))
    assert 2 * graph_macs(graph) == counter.get_total_flops()


def test_mobilenet_block_costs_by_hand():
    op = ops.inverted_residual((16, 8, 8), 16, kernel=3, stride=1, hidden=64, squeeze=16, act="hswish")
    graph = graph_of(op)
    pixels = 64
    macs = pixels * 16 * 64 + pixels * 64 * 9 + 64 * 16 * 2 + pixels * 64 + pixels * 64 * 16
    assert graph_macs(graph) == macs
    weights = 16 * 64 + 2 * 64 + 64 * 9 + 2 * 64 + (64 * 16 + 16) + (16 * 64 + 64) + 64 * 16 + 2 * 16
    assert graph_params(graph) == weights


def test_peak_memory_by_hand():
    builder = GraphBuilder((4, 2, 2))  # 64 bytes
    a = builder.add("a", ops.conv((4, 2, 2), 8, 1), INPUT)  # 128 bytes
    b = builder.add("b", ops.conv((8, 2, 2), 8, 1), a)  # 128 bytes
    c = builder.add("c", ops.add((8, 2, 2)), a, b)  # in place
    graph = builder.build(builder.add("d", ops.conv((8, 2, 2), 2, 1), c))  # 32 bytes
    assert peak_memory_bytes(graph) == 256  # a and b, the input is gone
    assert peak_memory_bytes(graph, batch=3) == 3 * 256


def test_a_relu_writes_in_place_only_when_nobody_else_reads():
    shape = (4, 2, 2)
    builder = GraphBuilder(shape)
    a = builder.add("a", ops.conv(shape, 4, 1), INPUT)
    r = builder.add("r", ops.activation(shape, "relu"), a)
    alone = builder.build(r)
    assert peak_memory_bytes(alone) == 128
    shared = builder.build(builder.add("s", ops.add(shape), r, a))
    assert peak_memory_bytes(shared) == 128
    assert peak_memory_bytes(builder.build("s", "r", "a")) == 3 * 64


def test_batch_norm_follows_torch():
    graph = graph_of(ops.conv(S, 6, 3))
    module = GraphModule(graph, seed=3)
    reference = torch.nn.Sequential(torch.nn.Conv2d(8, 6, 3, padding=1, bias=False), torch.nn.BatchNorm2d(6))
    with torch.no_grad():
        reference[0].weight.copy_(torch.from_numpy(module.arrays()["op.weight"]))
    x = torch.randn(5, *S, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        torch.testing.assert_close(module(x), reference(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(module.arrays()["op.variance"]), reference[1].running_var)
    module.eval(), reference.eval()
    torch.testing.assert_close(module(x), reference(x), rtol=1e-4, atol=1e-5)


def test_expansion_names_parts_after_their_node():
    graph = expand(graph_of(CASES["mbconv"]))
    assert [n.name for n in graph.nodes] == [
        "op.expand",
        "op.depthwise",
        "op.se.pool",
        "op.se.reduce",
        "op.se.expand",
        "op.se.scale",
        "op.project",
    ]
    assert graph.nodes[-1].op.integer("add") == 1


def test_weights_keep_activations_of_order_one():
    graph = graph_of(CASES["mbconv"])
    x = np.random.default_rng(0).standard_normal((4, *S), dtype=np.float32)
    y = run_onnx(build_onnx(graph, random_weights(graph), batch=4), x)
    assert 0.1 < y.std() < 10


def test_wrong_weights_are_named():
    graph = graph_of(CASES["linear"])
    weights = random_weights(graph)
    with pytest.raises(OperatorError, match=r"the weight op\.bias is missing"):
        build_onnx(graph, {"op.weight": weights["op.weight"]})
    with pytest.raises(OperatorError, match=r"the weight op\.bias must have the shape \(5,\), got \(4,\)"):
        build_onnx(graph, {**weights, "op.bias": weights["op.bias"][:4]})


def test_unknown_operators_are_refused():
    with pytest.raises(OperatorError, match="unknown operator 'warp'"):
        operator_of(Op("warp", (S,), S))
    op = ops.conv(S, 8, act="elu")
    with pytest.raises(OperatorError, match="unknown activation 'elu'"):
        operator_of(op).check(op)


def test_dead_code_is_not_exported():
    builder = GraphBuilder(S)
    a = builder.add("a", ops.conv(S, 8), INPUT)
    builder.add("dead", ops.conv(S, 8), a)
    graph = builder.build(a)
    assert [n.op_type for n in build_onnx(graph, random_weights(graph)).graph.node] == ["Conv"]
    assert [name for name, _ in graph_parameters(graph) if name.startswith("dead")]


@pytest.mark.parametrize("counted", [False, True])
def test_pools_of_three_axes_may_be_larger_than_the_map(counted):
    attributes = {"kernel": 3, "mode": "average", "padding": 1, "stride": 1, "count_padding": int(counted)}
    op = Op("pool", ((2, 2, 8, 8),), (2, 2, 8, 8), tuple(sorted(attributes.items())))
    x = np.random.default_rng(0).standard_normal((1, 2, 2, 8, 8)).astype(np.float32)
    graph = OpGraph.single(op)
    (of_file,) = make_session(build_onnx(graph, {}).SerializeToString(), threads=1).run(None, {"input": x})
    np.testing.assert_allclose(GraphModule(graph)(torch.from_numpy(x)).numpy(), of_file, atol=1e-5)
