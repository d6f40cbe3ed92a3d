"""Which ops stay with one thread, and the probes that tell what a crossing costs."""

import pytest
from simulated_device import AdditiveBackend, AdditiveRunnable, true_price

from hwnas._costs._draw import draw_networks
from hwnas.spaces import make_space
from latency_tables import CORE_CROSSING, SESSION
from profilers import OnnxRuntimeBackend, SamplingSettings, ops, profile_ops
from profilers._design import design_probes
from profilers._division import Cores, cores_of
from profilers._plan import design_plan
from profilers._session import PROVIDER

SPACE = make_space("nasbench201", image_size=8, cells=2)
SETTING = {"threads": 2, "batch": 1, "provider": PROVIDER, "precision": "fp32"}


@pytest.mark.parametrize(
    ("op", "batch", "alone"),
    [
        (ops.add((16, 32, 32)), 1, True),
        (ops.activation((16, 32, 32), "relu"), 1, True),
        (ops.add((16, 32, 32)), 8, False),  # 131,072 sums of 3 cycles: worth two threads
        (ops.add((64, 64, 64)), 1, False),
        (ops.linear((64,), 10), 1, True),
        (ops.conv((16, 4, 4), 16, 1), 1, False),
        (ops.pool((16, 4, 4), 3), 1, False),
        (ops.inverted_residual((16, 4, 4), 16, kernel=3, stride=1, hidden=32, squeeze=0, act="relu"), 1, False),
    ],
)
def test_small_element_wise_ops_stay_with_one_thread(op, batch, alone):
    assert Cores(batch).on_one(op) == alone


def test_nothing_is_known_of_other_runtimes_and_of_one_thread():
    assert cores_of(**SETTING) == Cores(1)
    assert cores_of(**{**SETTING, "batch": 4}) == Cores(4)
    for change in ({"threads": 1}, {"provider": "XnnpackExecutionProvider"}, {"precision": "int8"}):
        assert cores_of(**{**SETTING, **change}) is None
    assert OnnxRuntimeBackend(threads=2).cores == Cores(1)
    assert OnnxRuntimeBackend(threads=1).cores is None


class TwoCores(AdditiveBackend):
    """A device on which each crossing of a tensor costs three microseconds more."""

    cores = Cores()

    def __init__(self, crossing=3e-6, **options):
        super().__init__(**options)
        self.crossing = crossing

    def load(self, graph, *, seed=0, tied=(), cold=False):
        counts = [(SESSION, 1), *graph.op_counts.items()]
        seconds = sum(true_price(op) * n for op, n in counts)
        shapes = {shape for op in graph.op_counts for shape in op.inputs if len(shape) == 3 and shape[0] > 3}
        return AdditiveRunnable(self, seconds + self.crossing * Cores().core_crossings(graph, shapes).total())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return profile_ops(
        TwoCores(noise=0.0005),
        SPACE.ops(),
        draw_networks(SPACE, 20, 0),
        tmp_path_factory.mktemp("t") / "samples.jsonl",
        space={"name": SPACE.name, "settings": SPACE.settings},
        settings=SamplingSettings(min_rounds=8, max_rounds=12),
    )


def test_crossings_are_rows_with_what_they_cost(table):
    rows = {entry.op.output: entry for entry in table.entries.values() if entry.op.kind == CORE_CROSSING}
    assert set(rows) == {(16, 8, 8), (32, 4, 4), (64, 2, 2)}
    assert all(entry.q10_ms == pytest.approx(0.003, rel=0.15) for entry in rows.values())


def test_the_ops_they_happen_in_do_not_hold_them(table):
    for op in SPACE.ops():
        if op.kind in ("add", "activation"):
            assert table.entries[op].on_one_core is True
            assert table.entries[op].q10_ms == pytest.approx(1e3 * true_price(op), rel=0.05, abs=2e-4)
        else:
            assert table.entries[op].on_one_core is (op.kind == "linear")


def test_networks_are_predicted_with_them(table):
    assert table.validation.unfitted.mape < 0.01


def test_a_device_of_one_thread_has_no_such_rows(tmp_path):
    table = profile_ops(
        AdditiveBackend(),
        SPACE.ops(),
        draw_networks(SPACE, 2, 0),
        tmp_path / "samples.jsonl",
        space={"name": SPACE.name, "settings": SPACE.settings},
        settings=SamplingSettings(min_rounds=3, max_rounds=3),
    )
    assert not any(entry.op.kind == CORE_CROSSING for entry in table.entries.values())
    assert all(entry.on_one_core is None for entry in table.entries.values())


def test_contexts_are_measured_more_often_with_several_threads():
    one, two = (
        sum(probe.name.startswith("pair:16x8x8") for probe in design_probes(SPACE.ops(), cores=cores))
        for cores in (None, Cores())
    )
    assert 1 < one < two


def test_chains_that_tell_what_caches_cost_hold_ops_of_one_core_where_there_are_any():
    wide = make_space("nasbench201")
    links = {}
    for threads in (1, 2):
        plan = design_plan(OnnxRuntimeBackend(threads=threads), wide.ops(), draw_networks(wide, 10, 0))
        links[threads] = [[node.op.kind for node in pair.graph.nodes] for pair in plan.pairs]
        assert all(threads * pair.graph.op_counts[pair.op] == len(pair.graph.nodes) - 2 for pair in plan.pairs)
    assert not any("activation" in kinds for kinds in links[1])
    assert all(kinds[1:-1] == ["conv", "activation"] * (len(kinds) // 2 - 1) for kinds in links[2])
