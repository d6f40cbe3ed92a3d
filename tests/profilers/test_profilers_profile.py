"""The whole profile on a simulated device whose true prices are known."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulated_device import AdditiveBackend, true_price

from hwnas.spaces import make_space
from latency_tables import SESSION, GraphBuilder, LatencyTable, UnmeasuredOpError
from profilers import (
    Network,
    OnnxRuntimeBackend,
    SamplingSettings,
    build_onnx,
    ops,
    profile_ops,
    random_weights,
)
from profilers._cache_curve import design_cache_pairs, fit_cache_curve
from profilers._design import context_op, design_probes, probe_name
from profilers._division import Cores
from profilers._profile import _alike_passes
from profilers._remeasure import remeasure
from profilers._samples import SampleSet, drift
from profilers._solve import solve_prices, without_slow_sessions
from profilers._timing import REFERENCE_OP, second_pass_name
from profilers._working_set import Sizes, op_kernels

ROOT = Path(__file__).resolve().parent.parent.parent
SPACES = {
    "nasbench201": make_space("nasbench201", image_size=8, cells=2),
    "tiny": make_space("mobilenetv3", preset="tiny", resolution=8),
    "imagenet": make_space("mobilenetv3", preset="imagenet", resolution=128, width=1.0),
}


@pytest.mark.parametrize("name", SPACES)
def test_probes_determine_every_op_of_a_space(name):
    space = SPACES[name]
    probes = design_probes(space.ops(), 3)
    samples = {}
    for probe in probes:
        # neighbours of one shape are one unknown: give each pair a price of its own
        seconds = sum(true_price(op) * n for op, n in probe.counts.items())
        samples[probe.name] = SampleSet(1, seconds=[seconds] * 3)
    prices = solve_prices(probes, samples)
    for op in [SESSION, *space.ops()]:
        assert prices[op].q10 == pytest.approx(1e3 * true_price(op), rel=1e-6), op.key


@pytest.mark.parametrize(("name", "options"), [("nasbench201", {"image_size": 8, "cells": 2}), ("mobilenetv3", {})])
@pytest.mark.parametrize("channels", [8, 16])
@pytest.mark.parametrize("cores", [None, Cores()])
def test_images_may_have_as_many_channels_as_an_inner_tensor(name, options, channels, cores):
    space = make_space(name, image_channels=channels, **options)
    probes = design_probes(space.ops(), channels, cores=cores)
    seconds = {probe.name: sum(true_price(op) * n for op, n in probe.counts.items()) for probe in probes}
    prices = solve_prices(probes, {name: SampleSet(1, seconds=[value] * 3) for name, value in seconds.items()})
    for op in space.ops():
        assert prices[op].q10 == pytest.approx(1e3 * true_price(op), rel=1e-6), op.key


def test_the_ops_around_a_measured_one_are_an_unknown_of_their_own():
    conv = ops.conv((8, 8, 8), 8, 3, act="relu")
    probes = {p.name: p for p in design_probes([conv])}
    assert probes["pair:8x8x8"].counts[context_op((8, 8, 8), 2)] == 1
    assert conv not in probes["pair:8x8x8"].counts
    chain = probes[probe_name(conv)]
    assert (chain.counts[conv], chain.counts[context_op((8, 8, 8), 4)], chain.counts[SESSION]) == (3, 1, 1)
    assert chain.graph.op_counts[conv] == 7


def test_only_ops_with_many_weights_are_tied_and_only_where_asked():
    light, heavy = ops.conv((8, 4, 4), 8, 3, act="relu"), ops.conv((128, 4, 4), 128, 3, act="relu")
    tied = {op for probe in design_probes([light, heavy], tie=True) for op in probe.tied}
    assert tied == {heavy}
    assert not any(probe.tied for probe in design_probes([light, heavy]))


def test_tied_nodes_share_their_weights_in_the_file():
    conv = ops.conv((32, 4, 4), 32, 3, act="relu")
    builder, x = GraphBuilder((32, 4, 4)), "input"
    for i in range(4):
        x = builder.add(f"n{i}", conv, x)
    graph = builder.build(x)
    own, shared = (build_onnx(graph, random_weights(graph, 0, tied)).ByteSize() for tied in ((), (conv,)))
    assert own > 3.9 * shared
    weights = random_weights(graph, 0, [conv])
    assert weights["n0.weight"] is weights["n3.weight"]


def test_working_sets_by_hand():
    conv = ops.conv((8, 4, 4), 8, 3, act="relu")  # 576 weights and two numbers a channel of batch norm
    block = ops.inverted_residual((8, 4, 4), 8, kernel=3, stride=1, hidden=16, squeeze=8, act="relu")
    builder = GraphBuilder((8, 4, 4))
    x = builder.add("a", conv, "input")
    graph = builder.build(builder.add("b", block, builder.add("c", conv, x)))
    floats, bytes_ = Sizes(), Sizes(element_bytes=1, batch=2)
    assert floats.weight_bytes(conv) == 4 * (576 + 16)
    assert (op_kernels(conv), op_kernels(block)) == (1, 7)
    assert floats.activation_bytes(conv) == 4 * 2 * 128
    assert bytes_.activation_bytes(conv) == 2 * 2 * 128
    weights = 2 * bytes_.weight_bytes(conv) + bytes_.weight_bytes(block)
    assert bytes_.working_bytes(graph, 1000) == weights + 9 * 1000 + bytes_.activation_bytes(block)
    assert bytes_.working_bytes(graph, 1000, {conv}) == bytes_.working_bytes(graph, 1000) - bytes_.weight_bytes(conv)


def test_a_device_with_a_small_cache_is_priced_with_its_curve(tmp_path):
    backend = AdditiveBackend(noise=0.001, fast_cache_bytes=500_000)
    table = small_profile(tmp_path, backend)
    inside, beyond, far = table.cache.ms([0.3e6, 0.9e6, 1.5e6])
    assert inside < 0.004
    assert far - beyond == pytest.approx(0.018, rel=0.1)
    assert table.validation.unfitted.mape < 0.01
    plain = LatencyTable({}, {}, {}, {}, table.entries)  # the same prices without the curve miss
    space = SPACES["tiny"]
    graphs = [space.graph(space.parse(n.arch)) for n in table.networks]
    errors = [plain.unfitted_graph_ms(g) / n.measured_ms - 1 for g, n in zip(graphs, table.networks, strict=True)]
    assert min(errors) < -0.03


def small_profile(tmp_path, backend, **options):
    space = SPACES["tiny"]
    rng = np.random.default_rng(0)
    networks = [
        Network(space.format(a), space.graph(a), "calibration" if i < 3 else "held-out")
        for i, a in enumerate(space.sample(12, rng))
    ]
    return profile_ops(
        backend,
        space.ops(),
        networks,
        tmp_path / "t.samples.jsonl",
        space={"name": space.name, "settings": space.settings},
        settings=SamplingSettings(min_rounds=10, max_rounds=20),
        **options,
    )


def test_a_profile_of_an_additive_device_predicts_whole_networks(tmp_path):
    table = small_profile(tmp_path, AdditiveBackend(noise=0.002))
    report = table.validation
    assert report.networks == 9
    assert report.unfitted.mape < 0.01
    assert report.unfitted.within_5 == 1.0
    assert set(table.entries) == {SESSION, *SPACES["tiny"].ops()}
    assert all(entry.low_ms <= entry.q10_ms <= entry.high_ms for entry in table.entries.values())
    assert not any("drifted" in note for note in table.notes)


def test_an_interrupted_profile_loses_no_round_and_ends_in_the_same_table(tmp_path):
    quiet = small_profile(tmp_path, AdditiveBackend())
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(KeyboardInterrupt):
        small_profile(other, AdditiveBackend(fail_after=3000))
    lines = (other / "t.samples.jsonl").read_bytes()
    said = []
    table = small_profile(other, AdditiveBackend(), progress=said.append)
    assert (other / "t.samples.jsonl").read_bytes().startswith(lines)
    assert any(text.startswith("continuing after ") for text in said)
    for op, entry in quiet.entries.items():
        assert table.entries[op].q10_ms == pytest.approx(entry.q10_ms, rel=1e-4, abs=1e-6)


def test_a_few_networks_are_held_against_what_is_executed_after_the_last_round(tmp_path):
    backend = AdditiveBackend()
    backend.notes = ["the runtime fuses otherwise"]
    table = small_profile(tmp_path, backend)
    when, networks = backend.checked
    assert when == backend.samples
    assert len(networks) == 3
    assert networks.keys() <= {n.arch for n in table.networks}
    assert "the runtime fuses otherwise" in table.notes


def test_ops_that_the_runtime_refuses_are_rows_with_a_reason_and_no_price(tmp_path):
    def refuses(op):
        return op.kind == "mbconv" and op.integer("kernel") == 7 and op.integer("hidden") == 32

    table = small_profile(tmp_path, AdditiveBackend(refuses=refuses))
    lost = [op for op in SPACES["tiny"].ops() if refuses(op)]
    assert lost
    for op in SPACES["tiny"].ops():
        assert table.entries[op].priced != (op in lost)
    with pytest.raises(UnmeasuredOpError, match="no kernel for it"):
        table.op_ms(lost[0])
    assert any("the runtime cannot execute " in note for note in table.notes)
    assert table.validation.networks < 9
    assert table.validation.unfitted.mape < 0.01


def test_a_price_that_comes_out_below_zero_is_marked():
    from profilers._profile import _entry
    from profilers._solve import OpPrice

    entry = _entry(SESSION, OpPrice(-0.0004, -0.0003, 0.001, -0.001, 0.0002), SampleSet(1, seconds=[1.0], stop="cap"))
    assert (entry.status, entry.q10_ms, entry.low_ms) == ("unstable", 0.0, 0.0)
    assert entry.reason == "solved as -0.0004 ms, which is too small to measure; priced at 0"
    wide = _entry(SESSION, OpPrice(0.1, 0.1, 0.1, 0.05, 0.15), SampleSet(1, seconds=[1.0], stop="cap"))
    assert (wide.status, wide.q10_ms) == ("unstable", 0.1)
    steady = _entry(SESSION, OpPrice(0.1, 0.1, 0.1, 0.099, 0.101), SampleSet(1, seconds=[1.0], stop="cap"))
    assert (steady.status, steady.reason) == ("ok", "")


def test_several_threads_come_from_one_pool_for_the_process(tmp_path):
    """In a process of its own, since a pool cannot be unmade."""
    script = tmp_path / "pooled.py"
    script.write_text(
        "from latency_tables import GraphBuilder\n"
        "from profilers import DeviceUnavailableError, OnnxRuntimeBackend, ops\n"
        "from profilers import build_onnx, make_session, random_weights\n"
        "builder = GraphBuilder((3, 8, 8))\n"
        "graph = builder.build(builder.add('a', ops.conv((3, 8, 8), 8, 3), 'input'))\n"
        "assert OnnxRuntimeBackend(threads=1).load(graph).run(1) > 0\n"
        "assert OnnxRuntimeBackend(threads=2).load(graph).run(1) > 0\n"
        "make_session(build_onnx(graph, random_weights(graph)).SerializeToString(), threads=1)  # checks still work\n"
        "try:\n"
        "    OnnxRuntimeBackend(threads=1).load(graph)\n"
        "except DeviceUnavailableError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "this process already measures with 2 threads; use another process to measure with 1"


class TestOnnxRuntime:
    """The contract every backend keeps, on the one backend that runs everywhere."""

    def test_loads_and_times_a_graph(self):
        backend = OnnxRuntimeBackend(threads=1, batch=2)
        builder = GraphBuilder((3, 8, 8))
        graph = builder.build(builder.add("a", ops.conv((3, 8, 8), 8, 3), "input"))
        runnable = backend.load(graph)
        assert runnable.run(1) > 0
        assert runnable.run(2000) > runnable.run(1)

    def test_identity_holds_what_a_table_depends_on(self):
        identity = OnnxRuntimeBackend(threads=1, batch=2).identity()
        assert identity["batch"] == 2
        assert identity["threads"] == 1
        assert {"cpu", "isa", "core_mask", "runtime_version", "provider", "dtype", "protocol"} <= identity.keys()
        assert identity == OnnxRuntimeBackend(threads=1, batch=2).identity()
        assert identity != OnnxRuntimeBackend(threads=1, batch=1).identity()


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 1),
        ({"cpu.max": "400000 100000"}, 4),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_container_limits_are_read(tmp_path, files, cores):
    from profilers._fingerprint import cgroup_cores

    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert cgroup_cores(tmp_path) == cores


def probes_of_both_passes(space):
    probes = design_probes(space.ops())
    return [*probes, *(replace(probe, name=second_pass_name(probe.name)) for probe in probes)]


def test_a_session_in_a_slow_state_prices_nothing():
    """Every other session of some graphs takes a third longer; that of a cheap graph only microseconds."""
    space = SPACES["tiny"]
    twice = probes_of_both_passes(space)
    rng, samples, slow = np.random.default_rng(0), {}, set()
    for i, probe in enumerate(twice):
        seconds = sum(true_price(op) * n for op, n in probe.counts.items())
        if i % 7 == 0:
            seconds *= 1.3
            slow.add(probe.name)
        samples[probe.name] = SampleSet(1, seconds=[seconds * (1 + 0.001 * rng.random()) for _ in range(5)])
    assert len({probe.name for probe in twice if second_pass_name(probe.name) in slow} & slow) == 0
    kept = without_slow_sessions(twice, samples)
    assert {probe.name for probe in twice} - {probe.name for probe in kept} == slow
    prices = solve_prices(kept, samples)
    errors = [abs(prices[op].q10 / (1e3 * true_price(op)) - 1) for op in space.ops()]
    assert max(errors) < 0.05
    worse = solve_prices(twice, samples)
    assert max(abs(worse[op].q10 / (1e3 * true_price(op)) - 1) for op in space.ops()) > 0.2


@pytest.mark.parametrize("slow", [0.0, 0.05])
def test_ordinary_differences_between_sessions_leave_no_bias(slow):
    """Sessions differ by 3 %, more than the usual 5 % between extremes; graphs of contexts have many of them."""
    space = make_space("nasbench201")
    twice = probes_of_both_passes(space)
    rng, samples, states = np.random.default_rng(0), {}, set()
    for probe in twice:
        seconds = 20 * sum(true_price(op) * n for op, n in probe.counts.items()) * np.exp(0.03 * rng.standard_normal())
        if rng.random() < slow:
            states.add(probe.name)
            seconds *= 1.3
        samples[probe.name] = SampleSet(1, seconds=[seconds] * 3)
    kept = without_slow_sessions(twice, samples)
    lost = {probe.name for probe in twice} - {probe.name for probe in kept}
    assert len(lost - states) <= 0.02 * len(twice)
    assert len(lost) >= 0.7 * len(states)
    prices = solve_prices(kept, samples)
    graphs = [space.graph(arch) for arch in space.sample(40, np.random.default_rng(0))]
    counts = [{SESSION: 1, **graph.op_counts} for graph in graphs]
    ratios = [
        sum(prices[op].q10 * n for op, n in one.items()) / sum(2e4 * true_price(op) * n for op, n in one.items())
        for one in counts
    ]
    assert abs(np.mean(ratios) - 1) < 0.02


class MoodyBackend(AdditiveBackend):
    """A device whose every eleventh session takes a third longer for as long as it lives."""

    loaded = 0

    def load(self, graph, *, seed=0, tied=(), cold=False):
        runnable = super().load(graph, seed=seed, tied=tied, cold=cold)
        self.loaded += 1
        if self.loaded % 11 == 0:
            runnable.seconds *= 1.3
        return runnable


def test_profiles_leave_slow_sessions_out(tmp_path):
    space = SPACES["tiny"]
    named = {"name": space.name, "settings": space.settings}
    settings = SamplingSettings(min_rounds=5, max_rounds=5)
    backend = MoodyBackend(noise=0.0005)
    table = profile_ops(backend, space.ops(), [], tmp_path / "samples.jsonl", space=named, settings=settings)
    probes = 2 * len(design_probes(space.ops()))
    assert 0.05 * probes < table.environment["slow_sessions"] < 0.1 * probes
    errors = [abs(table.entries[op].q10_ms / (1e3 * true_price(op)) - 1) for op in space.ops()]
    assert np.quantile(errors, 0.9) < 0.05


class SlowLastBackend(AdditiveBackend):
    """A device on which the last of several sessions of a graph takes a third longer, of every fourth such graph."""

    def __init__(self, sessions, **options):
        super().__init__(**options)
        several = [graph for graph, n in sessions.items() if n > 1]
        self.left = Counter({graph: sessions[graph] for graph in several[::4]})

    def load(self, graph, *, seed=0, tied=(), cold=False):
        runnable = super().load(graph, seed=seed, tied=tied, cold=cold)
        if graph in self.left:
            self.left[graph] -= 1
            runnable.seconds *= 1.0 if self.left[graph] else 1.3
        return runnable


def test_slow_sessions_price_nothing_when_ops_are_measured_again():
    space = SPACES["tiny"]
    sessions = Counter(probe.graph for probe in design_probes(space.ops()))
    backend = SlowLastBackend(sessions, noise=0.0005)
    chosen = [op for op in space.ops() if op.kind != "global_pool"]
    found = remeasure(backend, space.ops(), chosen, [], None, SamplingSettings(min_rounds=5, max_rounds=5))
    assert len(backend.left) > 3
    assert not +backend.left
    errors = [abs(found.prices[op] / (1e3 * true_price(op)) - 1) for op in chosen]
    assert np.quantile(errors, 0.9) < 0.03


def test_small_differences_between_sessions_are_averaged():
    probes = [replace(probe, name=name) for probe in design_probes([])[:1] for name in ("a", "b", "c", "d")]
    times = {"a": 100e-6, "b": 104e-6, "c": 106e-6, "d": 100.5e-6}
    samples = {name: SampleSet(1, seconds=[seconds] * 3) for name, seconds in times.items()}
    assert [probe.name for probe in without_slow_sessions(probes, samples)] == ["a", "b", "d"]
    cheap = {name: SampleSet(1, seconds=[seconds / 100] * 3) for name, seconds in times.items()}
    assert without_slow_sessions(probes, cheap) == probes


@pytest.mark.parametrize("which", ["own", "tied"])
def test_slow_sessions_do_not_bend_the_cache_curve(which):
    """Behind 500 kB, a device takes 30 microseconds a megabyte; some chains take a third longer in all sessions."""
    space, sizes, cache = SPACES["tiny"], Sizes(), 500_000
    networks = [space.graph(a) for a in space.sample(20, np.random.default_rng(0))]
    pairs = design_cache_pairs(space.ops(), networks, 3, fast_cache_bytes=cache, sizes=sizes)
    assert len(pairs) > 15
    rng, samples = np.random.default_rng(1), {}

    def seconds(pair, tied):
        work = sum(true_price(op) * n for op, n in pair.graph.op_counts.items())
        return work + 30e-12 * max(0.0, sizes.working_bytes(pair.graph, 8000, tied) - cache)

    for i, pair in enumerate(pairs):
        for label, tied in zip(pair.labels, ((), (pair.op,)), strict=True):
            for name in (label, second_pass_name(label)):
                slow = (i % 9 == 0 and label.endswith(which)) or (i % 4 == 0 and name == label)  # both sessions, or one
                taken = seconds(pair, tied) * (1.3 if slow else 1.0)
                samples[name] = SampleSet(1, seconds=[taken * (1 + 0.002 * rng.random()) for _ in range(5)])
    curve = fit_cache_curve(pairs, samples, fast_cache_bytes=cache, sizes=sizes)
    inside, beyond, far = curve.ms([0.3e6, 0.9e6, 1.5e6])
    assert inside < 0.004
    assert far - beyond == pytest.approx(0.018, rel=0.15)


@pytest.mark.parametrize("slower", [1.0, 1.2])
def test_a_slow_second_session_of_the_reference_op_is_no_drift(slower):
    rng = np.random.default_rng(0)
    first, second = (SampleSet(3, stop="converged") for _ in "12")
    for moment in range(20):
        first.add(1e-4 * (1 + abs(rng.normal(0, 0.004))), moment)
        second.add(1e-4 * slower * (1 + abs(rng.normal(0, 0.004))), 100 + moment)
    samples = {REFERENCE_OP: first, second_pass_name(REFERENCE_OP): second}
    assert drift(_alike_passes(samples)) < 0.01
    for each in (first, second):
        each.seconds[:] = [value * (1 + 0.01 * i) for i, value in enumerate(each.seconds)]
    assert drift(_alike_passes(samples)) > 0.05
