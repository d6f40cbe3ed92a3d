"""The log-mel front end: against scipy, in torch and in ONNX Runtime, its costs, int8, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from operator_graphs import graph_of, run_onnx, run_torch
from scipy import signal

from hwnas.testing import check_operator
from latency_tables import INPUT, GraphBuilder, Op, OpGraph
from profilers import (
    GraphModule,
    OperatorError,
    build_onnx,
    executed_graph,
    float_only,
    fusion_differences,
    graph_macs,
    graph_parameters,
    mixed_graph,
    operator_of,
    ops,
    quantize_model,
    random_weights,
)

CASES = {
    "half overlap": ops.logmel((1, 2000), 10, rate=8000, window=320, hop=160),
    "channels, rest of the signal, quarter hop": ops.logmel((3, 1111), 8, rate=8000, window=200, hop=80, high=3000),
    "longer transform": ops.logmel((1, 1600), 20, rate=16000, window=400, hop=160, fft=800, floor=40),
    "one frame": ops.logmel((2, 64), 4, rate=100, window=64, hop=16),
    "gaps between frames": ops.logmel((1, 900), 6, rate=8000, window=100, hop=200),
}
cases = pytest.mark.parametrize("op", CASES.values(), ids=CASES)


def mel_matrix(op):
    """Triangles on the mel scale, value by value."""
    bands, rate, fft, high = op.output[1], op.integer("rate"), op.integer("fft"), op.integer("high")
    top = 2595 * math.log10(1 + high / 700)
    edges = [700 * (10 ** (top * i / (bands + 1) / 2595) - 1) for i in range(bands + 2)]
    weights = np.zeros((fft // 2 + 1, bands))
    for k in range(fft // 2 + 1):
        f = k * rate / fft
        for b in range(bands):
            low, middle, end = edges[b : b + 3]
            if low < f <= middle:
                weights[k, b] = (f - low) / (middle - low)
            elif middle < f < end:
                weights[k, b] = (end - f) / (end - middle)
    return weights


def reference(op, x):
    """Log-mel power over the floor, from `scipy.signal.stft` in float64."""
    window, hop = op.integer("window"), op.integer("hop")
    taper = signal.get_window("hann", window)
    _, _, spectrum = signal.stft(
        x.astype(np.float64), window=taper, nperseg=window, noverlap=window - hop, nfft=op.integer("fft"),
        boundary=None, padded=False,
    ) if hop <= window else (None, None, every_frame(x, taper, hop, op.integer("fft")))  # fmt: skip
    power = np.abs(spectrum) ** 2 * taper.sum() ** 2 / (taper**2).sum()  # stft divides by the sum of the window
    bands = np.einsum("ncft,fb->ncbt", power, mel_matrix(op))
    return np.log(np.maximum(bands / 10 ** (-op.integer("floor") / 10), 1.0))


def every_frame(x, taper, hop, fft):
    """What `stft` gives, for hops that it does not take."""
    starts = range(0, x.shape[-1] - len(taper) + 1, hop)
    frames = np.stack([x[..., s : s + len(taper)] * taper for s in starts], axis=-1)
    return np.fft.rfft(frames, n=fft, axis=-2) / taper.sum()


def samples(op, batch=3):
    """Noise with a tone, from loud to silent."""
    rng = np.random.default_rng(0)
    time = np.arange(op.inputs[0][1]) / op.integer("rate")
    tone = np.sin(2 * np.pi * op.integer("high") / 3 * time)
    noise = rng.standard_normal((batch, *op.inputs[0]))
    loudness = np.array([1.0, 0.05, 0.0])[:batch, None, None]
    return (loudness * (noise + tone)).astype(np.float32)


@cases
def test_contract(op):
    check_operator(op)


@cases
def test_torch_and_onnx_runtime_give_what_scipy_gives(op):
    graph, x = graph_of(op), samples(op)
    expected = reference(op, x)
    assert expected.shape == (3, *op.output)
    assert expected[0].std() > 0.1
    (by_torch,) = run_torch(GraphModule(graph), {INPUT: x})
    (by_onnx,) = run_onnx(build_onnx(graph, {}, batch=3), {INPUT: x})
    np.testing.assert_allclose(by_torch, expected, atol=1e-4)
    np.testing.assert_allclose(by_onnx, expected, atol=1e-4)
    assert (by_onnx[2] == 0).all()  # silence


def test_white_noise_of_variance_1_has_power_1_at_every_frequency():
    op = ops.logmel((1, 80_000), 8, rate=8000, window=256, hop=256)
    x = np.random.default_rng(0).standard_normal((1, *op.inputs[0]), dtype=np.float32)
    (log,) = run_torch(GraphModule(graph_of(op)), {INPUT: x})
    power = np.exp(log[0, 0]).mean(axis=1) * 1e-6
    np.testing.assert_allclose(power, mel_matrix(op).sum(axis=0), rtol=0.1)


def test_costs_by_hand():
    op = ops.logmel((2, 1120), 10, rate=8000, window=320, hop=160)
    frames, bins = 6, 160  # 161 frequencies, of which the last, 4000 Hz, is the end of the last band
    assert op.output == (2, 10, frames)
    products = 2 * 160 * bins  # cosines and sines of half a window
    assert graph_macs(graph_of(op)) == 2 * frames * (products + 2 * bins + bins * 10)
    assert list(graph_parameters(graph_of(op))) == []


def test_it_computes_in_float32_in_networks_of_other_precisions():
    op = CASES["half overlap"]
    x = torch.from_numpy(samples(op)[:2])
    module = GraphModule(graph_of(op))
    assert module(x.half()).dtype == torch.float16
    np.testing.assert_allclose(module(x.half()).float(), module(x.half().float()), atol=0.01)
    with torch.autocast("cpu", torch.bfloat16):
        inside = module(x)
    assert torch.equal(inside, module(x))


def network(op):
    """A front end, a convolution and a classifier."""
    builder = GraphBuilder(op.inputs[0])
    x = builder.add("frontend", op, INPUT)
    x = builder.add("conv", ops.conv(op.output, 8, 3, stride=2, act="relu"), x)
    x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
    return builder.build(builder.add("classes", ops.linear(builder.shape(x), 5), x))


def test_int8_networks_leave_it_in_float32():
    op = CASES["half overlap"]
    graph = network(op)
    model = build_onnx(graph, random_weights(graph))
    quantised = quantize_model(model)
    by_name = {node.name: node for node in quantised.graph.node}
    made = {name: node.op_type for node in quantised.graph.node for name in node.output}
    front = [node for node in model.graph.node if node.name.startswith("frontend:")]
    assert len(front) > 8
    for node in front:
        assert list(by_name[node.name].input) == list(node.input)
        assert not {made.get(name) for name in node.input} & {"QuantizeLinear", "DequantizeLinear"}
    assert made[by_name["conv:0" if "conv:0" in by_name else f"conv:{len(front)}"].input[0]] == "DequantizeLinear"
    x = samples(op)[:1]
    (exact,), (near,) = run_onnx(model, {INPUT: x}), run_onnx(quantised, {INPUT: x})
    assert np.isfinite(near).all()
    assert near.shape == exact.shape


def test_mixed_networks_have_no_conversion_before_it():
    graph = network(CASES["half overlap"])
    mixed = mixed_graph(executed_graph(graph), {node.name for node in graph.nodes})
    assert float_only(graph.nodes[0].op)
    assert not float_only(graph.nodes[1].op)
    assert [node.op.dtype for node in mixed.nodes if node.name == "frontend"] == ["float32"]
    assert next((node.inputs, node.op.dtype) for node in mixed.nodes if node.op.kind == "convert") == (
        ("frontend",),
        "int8",
    )


def test_a_runtime_executes_it_as_it_is_priced():
    assert fusion_differences(network(CASES["half overlap"])) == []


def replaced(op, **values):
    return op.with_attributes(**values)


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (replaced(CASES["half overlap"], window=321), "the window must be even"),
        (replaced(CASES["half overlap"], fft=300), "at most fft"),
        (replaced(CASES["half overlap"], hop=0), "the hop must be 1 or more"),
        (replaced(CASES["half overlap"], hop=161), "a common divisor of at least 1/64 of the window"),
        (replaced(CASES["half overlap"], high=4001), "at most rate / 2"),
        (replaced(CASES["half overlap"], floor=201), "floor 0 to 200 dB"),
        (Op("logmel", ((1, 300),), (1, 10, 1), CASES["half overlap"].attributes), "longer than the signal"),
        (Op("logmel", ((1, 8, 300),), (1, 10, 1), CASES["half overlap"].attributes), r"needs a signal \(channels, le"),
        (Op("logmel", ((1, 2000),), (1, 5000, 11), CASES["half overlap"].attributes), "at most 1024 bands"),
        (ops.logmel((1, 800), 60, rate=8000, window=80, hop=40), "no frequency of the transform lies in mel band 1"),
    ],
)
def test_what_makes_no_sense_is_one_line(op, message):
    with pytest.raises(OperatorError, match=message) as caught:
        operator_of(op).check(op)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [{"window": 900, "hop": 10}, {"window": 100, "hop": 0}, {"window": 0, "hop": 10}])
def test_makers_refuse_windows_that_do_not_fit(arguments):
    with pytest.raises(OperatorError, match="logmel: needs a signal"):
        ops.logmel((1, 800), 10, rate=8000, **arguments)


def test_a_network_reads_raw_samples():
    graph = network(CASES["half overlap"])
    model = build_onnx(graph, random_weights(graph))
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, 1, 2000]
    assert isinstance(graph, OpGraph)
