"""Probes and whole profiles of workloads on features and on feature maps of every rank."""

import pytest
from simulated_device import AdditiveBackend, true_price

from latency_tables import INPUT, SESSION, GraphBuilder, Op
from profilers import Network, OnnxRuntimeBackend, OperatorError, SamplingSettings, ops, profile_ops
from profilers._design import design_probes, probe_name
from profilers._division import Cores
from profilers._samples import SampleSet
from profilers._solve import solve_prices


def maps(*sizes):
    """Ops on feature maps of one rank, from an input with 3 channels to 5 classes."""
    shape, halved = (16, *sizes), (16, *(n // 2 for n in sizes))
    bottom = (16, *(1 for _ in sizes))
    return [
        ops.conv((3, *sizes), 16, 3, act="relu"),
        ops.conv(shape, 16, 3, act="relu"),
        ops.depthwise(shape, (3, 1, 5)[: len(sizes)], act="hswish"),
        ops.conv(shape, 16, 3, dilation=2, act="relu"),
        ops.conv(shape, 16),
        ops.conv(shape, 16, 3, stride=2, act="relu"),
        ops.conv(halved, 16, 3, act="relu"),
        ops.pool(shape, 3, stride=2, mode="max"),
        ops.inverted_residual(halved, 16, kernel=3, stride=1, hidden=32, squeeze=8, act="hswish"),
        ops.add(halved),
        ops.mul(halved),
        ops.scale(halved),
        ops.upsample(halved),
        ops.concat(shape, shape),
        ops.conv((32, *shape[1:]), 16, act="relu"),
        ops.slice_channels((32, *shape[1:]), 8, 16),
        ops.global_pool(halved),
        ops.linear(bottom, 5),
    ]


FEATURES = [
    ops.linear((10,), 32, act="relu"),
    ops.linear((32,), 32, act="relu"),
    ops.norm((32,), act="relu"),
    ops.add((32,)),
    ops.linear((32,), 16, act="relu"),
    ops.concat((32,), (16,)),
    ops.linear((48,), 4),
]
WORKLOADS = {
    "1-D": (maps(16), 3),
    "2-D": (maps(8, 8), 3),
    "3-D": (maps(4, 8, 8), 3),
    "features": (FEATURES, 10),
    "features of maps": ([*maps(16)[:-1], ops.linear((16, 1), 32), *FEATURES[1:]], 3),
    "another rank behind each other": ([*maps(16), *maps(4, 4, 4), *FEATURES], 3),
}


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("cores", [None, Cores()])
@pytest.mark.parametrize("tie", [False, True])
def test_probes_determine_every_op(name, cores, tie):
    targets, channels = WORKLOADS[name]
    probes = design_probes(targets, channels, cores=cores, tie=tie)
    seconds = {probe.name: sum(true_price(op) * n for op, n in probe.counts.items()) for probe in probes}
    prices = solve_prices(probes, {name: SampleSet(1, seconds=[value] * 3) for name, value in seconds.items()})
    for op in [SESSION, *targets]:
        assert prices[op].q10 == pytest.approx(1e3 * true_price(op), rel=1e-6), op.key


def test_features_are_entered_by_a_linear_layer_and_not_pooled():
    probes = {probe.name: probe for probe in design_probes(FEATURES, 10)}
    assert "pool:32" not in probes
    chain = probes[probe_name(FEATURES[1])].graph
    assert chain.input_shape == (10,)
    assert chain.nodes[0].op == ops.linear((10,), 32)
    assert chain.output_shape == (32,)
    last = probes[probe_name(FEATURES[-1])].graph
    assert last.output_shape == (4,)
    assert last.nodes[-1].op == FEATURES[-1]


def test_ops_with_inputs_of_several_shapes_have_an_entry_for_each():
    scale = ops.scale((8, 4, 4))
    probe = {p.name: p for p in design_probes([scale])}[probe_name(scale)]
    assert probe.graph.inputs == ((INPUT, (3, 4, 4)), ("input_1", (3, 1, 1)))
    assert probe.counts[ops.conv((3, 1, 1), 8)] == probe.counts[ops.conv((3, 4, 4), 8)] == probe.counts[scale] == 1


def test_an_op_without_inputs_has_no_chain():
    with pytest.raises(OperatorError, match="no chain can be built around an op without inputs"):
        design_probes([Op("conv", (), (3, 4))])


def network(*sizes, width):
    """A small classifier with a residual sum; `width` shows in no shape of a target, only in how often ops occur."""
    builder = GraphBuilder((3, *sizes))
    x = builder.add("stem", ops.conv((3, *sizes), 16, 3, act="relu"), INPUT)
    for i in range(width):
        x = builder.add(f"conv{i}", ops.conv(builder.shape(x), 16, 3, act="relu"), x)
    x = builder.add("down", ops.pool(builder.shape(x), 3, stride=2, mode="max"), x)
    x = builder.add("sum", ops.add(builder.shape(x)), x, x)
    x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
    return builder.build(builder.add("classes", ops.linear(builder.shape(x), 5), x))


def profile(backend, tmp_path, sizes, rounds):
    graphs = {f"net{width}": network(*sizes, width=width) for width in (1, 2, 3)}
    networks = [Network(name, graph, "held-out") for name, graph in graphs.items()]
    targets = {op for graph in graphs.values() for op in graph.op_counts} | set(maps(*sizes))
    table = profile_ops(
        backend,
        sorted(targets, key=lambda op: op.key),
        networks,
        tmp_path / "t.samples.jsonl",
        space={"name": "rank", "settings": {}},
        settings=SamplingSettings(min_rounds=rounds, max_rounds=2 * rounds),
    )
    return table, graphs, targets


@pytest.mark.parametrize("sizes", [(16,), (4, 8, 8)])
def test_networks_of_any_rank_are_priced_on_a_simulated_device(tmp_path, sizes):
    table, graphs, targets = profile(AdditiveBackend(), tmp_path, sizes, rounds=5)
    assert set(table.entries) == {SESSION, *targets}
    for graph in graphs.values():
        exact = 1e3 * (true_price(SESSION) + sum(true_price(op) * n for op, n in graph.op_counts.items()))
        assert table.unfitted_graph_ms(graph) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("sizes", [(16,), (4, 8, 8)])
def test_networks_of_any_rank_are_measured_by_onnx_runtime(tmp_path, sizes):
    table, graphs, targets = profile(OnnxRuntimeBackend(threads=1), tmp_path, sizes, rounds=3)
    assert set(table.entries) == {SESSION, *targets}
    assert not any("cannot execute" in note for note in table.notes)
    assert all(table.unfitted_graph_ms(graph) > 0 for graph in graphs.values())
    assert len(table.networks) == 3
    assert all(measured.measured_ms > 0 for measured in table.networks)


@pytest.mark.parametrize("shape", [(8, 16), (8, 4, 6, 6)])
def test_int8_probes_of_any_rank_run(shape):
    runnable = OnnxRuntimeBackend(threads=1, precision="int8")
    for probe in design_probes([ops.conv(shape, 8, 3, act="relu"), ops.scale(shape), ops.concat(shape, shape)]):
        assert runnable.load(probe.graph).run(1) > 0
