"""Where networks leave the fast caches, probes that would stay in them are executed with cold ones."""

import hashlib
import sys
import time
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from simulated_device import AdditiveBackend

from hwnas._costs._draw import draw_networks
from hwnas.spaces import make_space
from latency_tables import GraphBuilder
from profilers import (
    OnnxRuntimeBackend,
    SamplingSettings,
    UnsupportedGraphError,
    build_onnx,
    ops,
    profile_ops,
    random_weights,
)
from profilers import _session as session
from profilers._onnxruntime import sweep_bytes
from profilers._plan import design_plan
from profilers._remote._bundled_profile import _load
from profilers._remote._requests import Requests
from profilers._remote._store import ModelStore
from profilers._session import PROVIDER
from profilers._working_set import op_weights

SPACE = make_space("mobilenetv3", preset="tiny", resolution=8, width=1.0)


class ThrashingBackend(AdditiveBackend):
    """A device whose cache holds all weights of a graph from one execution to the next, or none of them.

    Its memory is slow: weights then take about as long as everything else.
    """

    def __init__(self, obeys=True, **options):
        super().__init__(fast_cache_bytes=100_000, **options)
        self.obeys = obeys

    def fetched_bytes(self, graph, tied, cold):
        weights = 4 * sum(op_weights(op) * (1 if op in tied else n) for op, n in graph.op_counts.items())
        return 50 * weights if weights > self.fast_cache_bytes or (cold and self.obeys) else 0


def unfitted(backend, folder):
    networks = draw_networks(SPACE, 20, 0)
    table = profile_ops(
        backend,
        SPACE.ops(),
        networks,
        folder / "samples.jsonl",
        space={"name": SPACE.name, "settings": SPACE.settings},
        settings=SamplingSettings(min_rounds=5, max_rounds=5),
    )
    assert table.cache is None
    return table.validation.unfitted


def test_prices_are_those_of_networks_that_fetch_their_weights(tmp_path):
    found = unfitted(ThrashingBackend(noise=0.0005), tmp_path)
    assert found.mape < 0.005


def test_without_cold_caches_prices_would_hold_what_the_ops_around_them_fetch(tmp_path):
    assert unfitted(ThrashingBackend(obeys=False, noise=0.0005), tmp_path).bias > 0.02


def test_only_networks_beyond_the_caches_ask_for_it():
    networks = draw_networks(SPACE, 5, 0)
    smaller, larger, unknown = AdditiveBackend(fast_cache_bytes=2**21), ThrashingBackend(), AdditiveBackend()
    plans = [design_plan(backend, SPACE.ops(), networks) for backend in (smaller, larger, unknown)]
    assert [plan.cold for plan in plans] == [False, True, False]
    assert [bool(plan.pairs) for plan in plans] == [True, False, False]
    assert len({plan.digest() for plan in plans}) == 3


def test_probes_are_loaded_in_another_order_in_each_pass():
    plan, orders = design_plan(AdditiveBackend(fast_cache_bytes=2**21), SPACE.ops(), draw_networks(SPACE, 2, 0)), []
    for number in (1, 2, 1):
        orders.append(list(plan.load_probes(AdditiveBackend(), number)))
    names = [probe.name for probe in plan.probes] + [label for pair in plan.pairs for label in pair.labels]
    assert all(sorted(order) == sorted(names) for order in orders)
    assert orders[0] == orders[2] != orders[1]
    assert names not in orders


def small_graph():
    conv = ops.conv((3, 8, 8), 8, 3, act="relu")
    builder = GraphBuilder((3, 8, 8))
    return builder.build(builder.add("conv", conv, "input"))


def test_memory_is_read_before_every_execution_and_not_timed(monkeypatch):
    swept = []

    def sweep():
        swept.append(len(swept))
        time.sleep(0.05)

    asked = []
    monkeypatch.setattr(session, "_cache_sweep", lambda threads, size: asked.append((threads, size)) or sweep)
    backend = OnnxRuntimeBackend()
    backend.fast_cache_bytes = 3000
    assert backend.load(small_graph()).run(4) > 0
    assert (asked, swept) == ([], [])
    assert 0 < backend.load(small_graph(), cold=True).run(4) < 0.1
    assert (asked, swept) == ([(1, sweep_bytes(3000, 1))], [0, 1, 2, 3])


@pytest.mark.parametrize("size", [1, 4096, 5_000_000])
def test_a_sweep_reads_at_least_what_was_asked_for(size):
    sweep = session.CacheSweep(1, size)
    sweep()
    numbers, largest = (value.numpy() for value in sweep._kept)
    assert size <= numbers.nbytes < size + 4096
    np.testing.assert_array_equal(largest, 1.0)
    again = session.CacheSweep(1, size)
    again._kept[0].update_inplace(np.full_like(numbers, 7.0))
    again()
    np.testing.assert_array_equal(again._kept[1].numpy(), 7.0)


def test_each_thread_has_caches_of_its_own_to_sweep():
    assert sweep_bytes(2**21, 2) == 2 * sweep_bytes(2**21, 1) > 2 * 2**21


def test_the_file_that_sweeps_is_the_largest_number_of_each_row():
    node = helper.make_node("ReduceMax", ["x"], ["y"], axes=[1])
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", "nk"), ("y", ["n", 1]))
    ]
    graph = helper.make_graph([node], "stream", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = onnx.load_model_from_string(session._SWEEP_MODEL)
    onnx.checker.check_model(found)
    assert found == model


@pytest.fixture
def swept(monkeypatch):
    """For what threads and how many bytes sweeps are made; nothing is read."""
    asked = []
    monkeypatch.setattr(session, "_cache_sweep", lambda *what: asked.append(what) or (lambda: None))
    return asked


@pytest.fixture
def model():
    """A model's digest and bytes."""
    graph = small_graph()
    data = build_onnx(graph, random_weights(graph, 0)).SerializeToString()
    return hashlib.sha256(data).hexdigest(), data


def test_a_device_sweeps_what_it_is_told_to(swept, model, tmp_path):
    requests = Requests(ModelStore(tmp_path), lambda: None)
    assert requests.answer({"do": "put", "digest": model[0]}, model[1]) == ({}, b"")
    common = {"do": "open", "digest": model[0], "threads": 1, "seed": 0, "provider": PROVIDER}
    for number, size in enumerate([0, 5000]):
        assert requests.answer({**common, "session": number, "sweep": size}, b"") == ({}, b"")
    assert swept == [(1, 5000)]


def test_a_job_sweeps_what_it_says(swept, model, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / f"{model[0]}.onnx").write_bytes(model[1])
    names = {name: {"digest": model[0], "seed": 0, "sweep": size} for name, size in (("warm", 0), ("cold", 5000))}
    assert list(_load(names, tmp_path, 1, PROVIDER)) == ["warm", "cold"]
    assert swept == [(1, 5000)]


@pytest.mark.parametrize("pool", [False, True])
def test_threads_of_a_sweep_do_not_spin_while_something_else_is_timed(monkeypatch, pool):
    """Unless it has the threads that are measured, as where the process has one pool."""
    made = []

    class Options:
        def __init__(self):
            self.entries = {}
            made.append(self)

        def add_session_config_entry(self, name, value):
            self.entries[name] = value

    runtime = SimpleNamespace(
        SessionOptions=Options,
        ExecutionMode=onnxruntime.ExecutionMode,
        GraphOptimizationLevel=onnxruntime.GraphOptimizationLevel,
        InferenceSession=lambda model, options, providers: None,
    )
    if pool:
        runtime.set_global_thread_pool_sizes = lambda intra, inter: None
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setattr(session, "_POOL", [])
    session.make_session(b"", threads=2, measuring=True)
    session.make_session(b"", threads=2, measuring=True, spinning=False)
    spins = "session.intra_op.allow_spinning"
    assert [one.entries.get(spins) for one in made] == ([None, None] if pool else ["1", "0"])
    assert [getattr(one, "use_per_session_threads", True) for one in made] == [not pool] * 2


def test_the_session_that_sweeps_is_one_that_does_not_spin(monkeypatch):
    asked, make = [], session.make_session
    monkeypatch.setattr(session, "make_session", lambda *model, **how: asked.append(how) or make(*model, **how))
    session.CacheSweep(1, 5000)
    assert [how["spinning"] for how in asked] == [False]


def test_without_networks_nothing_says_that_caches_are_left():
    assert not design_plan(ThrashingBackend(), SPACE.ops(), []).cold


def test_a_job_names_the_graph_that_the_device_refuses(tmp_path):
    (tmp_path / "models").mkdir()
    digest = hashlib.sha256(b"no model").hexdigest()
    (tmp_path / "models" / f"{digest}.onnx").write_bytes(b"no model")
    with pytest.raises(UnsupportedGraphError, match="op:conv: ONNX Runtime cannot execute the graph"):
        _load({"op:conv": {"digest": digest, "seed": 0, "sweep": 0}}, tmp_path, 1, PROVIDER)


def test_a_runtime_that_cannot_read_the_sweep_refuses_in_one_line(monkeypatch):
    def refuses(threads, size):
        raise RuntimeError("opset 17 is not known")

    monkeypatch.setattr(session, "_cache_sweep", refuses)
    with pytest.raises(UnsupportedGraphError, match="opset 17 is not known"):
        OnnxRuntimeBackend().load(draw_networks(SPACE, 1, 0)[0].graph, cold=True)
