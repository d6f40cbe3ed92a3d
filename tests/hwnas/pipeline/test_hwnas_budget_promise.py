"""Budgets bind what is measured: on a device with known times, whose truth is not what the table says."""

import json
import math

import numpy as np
import pytest
from simulated_device import AdditiveBackend, AdditiveRunnable

import hwnas
from hwnas import HwnasError
from hwnas._costs._draw import draw_networks
from hwnas._pipeline import _time_networks as timing
from hwnas._pipeline._reference_tails import TAILS, read_tails, reference_timer
from hwnas._runs._run import Run
from hwnas._tables._references import references_of
from hwnas.run_directories import retime_run
from latency_tables import save_table
from profilers import STATISTICS, NetworkTime, SamplingSettings, profile_ops


class Stack(hwnas.Space):
    """Chains of convolutions: 120 networks."""

    name, settings = "stack", {}
    choices = (
        hwnas.Choice("width", (4, 6, 8, 10, 12)),
        hwnas.Choice("kernel", (1, 3, 5)),
        hwnas.Choice("depth", tuple(range(1, 9))),
    )

    def graph(self, arch):
        width, kernel, depth = arch.values
        builder, x = hwnas.GraphBuilder((3, 8, 8)), hwnas.INPUT
        for i in range(depth):
            x = builder.add(f"conv{i}", hwnas.ops.conv(builder.shape(x), width, kernel, act="relu"), x)
        return builder.build(builder.add("classes", hwnas.ops.linear(builder.shape(x), 10), x))


class Slowest(hwnas.Evaluator):
    """The longer a network takes on the simulated device, the better; a few are out of line."""

    name, settings = "slowest", {}

    def evaluate(self, arch):
        return hwnas.Evaluation(0.5 * true_ms(arch) + 0.03 * ((arch.values[0] + arch.values[2]) % 3))


SPACE = Stack()


def true_ms(arch):
    return 1e3 * AdditiveBackend().load(SPACE.graph(arch)).seconds


class Moved(AdditiveBackend):
    """Takes `factor` times the true time of a graph, which the factor may depend on; tells file sizes as arenas."""

    provider = None

    def __init__(self, factor=lambda ms: 1.0, **more):
        super().__init__(**more)
        self.factor, self.loaded, self.arenas = factor, [], 0

    def load(self, graph, **more):
        seconds = super().load(graph, **more).seconds
        self.loaded.append(seconds)
        return AdditiveRunnable(self, seconds * self.factor(1e3 * seconds))

    def arena_bytes(self, files):
        self.arenas += len(files)
        return [file.stat().st_size for file in files]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    made = profile_ops(
        AdditiveBackend(),
        SPACE.ops(),
        draw_networks(SPACE, 14, 0),
        folder / "samples.jsonl",
        space={"name": SPACE.name, "settings": SPACE.settings},
        settings=SamplingSettings(min_rounds=5, max_rounds=5),
    )
    save_table(made, folder / "table.json")
    return hwnas.LatencyTable.load(folder / "table.json")


@pytest.fixture
def search(table, tmp_path, monkeypatch):
    """Runs a search on a device; the winners are measured."""
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})

    def run(device, said=None, **more):
        options = {"measure": "winners", "strategy": "mutation", "samples": 25, "table": table} | more
        where = {"evaluator": Slowest(), "out": tmp_path / "run"}
        lines = said if said is not None else []
        return hwnas.search(SPACE, device=device, progress=lines.append, **where | options)

    return run


def latencies(result):
    return [network["latency_ms"] for network in result.networks]


def test_what_is_over_the_budget_as_measured_is_replaced(search, table):
    budget = float(np.median([network.latency_ms for network in table.networks]))
    references = {reference.then_ms for reference in references_of(table, SPACE).networks}
    near = (0.9 * budget, budget)

    def slower(ms):
        """Networks just below the budget take a tenth longer, but for references."""
        return 1.1 if near[0] < ms <= near[1] and min(abs(ms / r - 1) for r in references) > 1e-3 else 1.0

    said = []
    result = search(Moved(slower), said, budgets={"latency": budget}, samples=60)
    assert all(network["within_budget"] for network in result.networks)
    assert len(result.networks) >= 3
    left_out = [line for line in said if " is left out, because it exceeds the budget: latency " in line]
    assert left_out
    assert all(" (median) measured, " in line and " over the budget of " in line for line in left_out)
    measured = [latency["measured"] for latency in latencies(result)]
    assert measured == sorted(measured)
    assert max(measured) <= budget
    assert all(check["statistic"] == "median" for n in result.networks for check in n["budgets"].values())


def test_where_nothing_meets_the_budget_the_nearest_are_delivered(search, table, tmp_path):
    references = [reference.then_ms for reference in references_of(table, SPACE).networks]
    budget = 1.5 * min(network.latency_ms for network in table.networks)

    def slower(ms):
        """All networks that the table says to meet the budget take longer than that, but for references."""
        return 1.0 + 4.0 * (ms < budget and min(abs(ms / r - 1) for r in references[1:]) > 1e-3)

    result = search(Moved(slower), budgets={"latency": budget})
    assert result.networks
    assert not any(network["within_budget"] for network in result.networks)
    assert result.report.exists()
    assert Run.open(tmp_path / "run").finished == len(result.trials)
    assert result.over_budget.startswith("no network of the run meets its budget; the nearest is t")
    with pytest.raises(HwnasError, match="no network of the run meets its budget"):
        result.pick()


class Picky(Slowest):
    """Has no value for the fastest networks."""

    def evaluate(self, arch):
        if true_ms(arch) < 0.15:
            raise hwnas.NoValueError("too fast")
        return super().evaluate(arch)


def test_where_no_trial_meets_a_new_budget_the_nearest_are_delivered(search, tmp_path):
    first = search(Moved(), evaluator=Picky())
    slow = min(latency["predicted"] for latency in latencies(first))
    result = search(Moved(), evaluator=Picky(), budgets={"latency": 0.99 * slow})
    assert not result.front
    assert result.networks[0]["latency_ms"]["predicted"] == slow
    assert result.over_budget is not None
    assert result.report.exists()
    unmeasured = {"evaluator": Picky(), "measure": "none", "out": tmp_path / "unmeasured"}
    search(Moved(), **unmeasured)
    with pytest.raises(HwnasError, match=r"^no trial so far meets the budgets \(latency "):
        search(Moved(), budgets={"latency": 0.99 * slow}, **unmeasured)


def test_a_machine_that_became_slower_is_not_a_slower_network(search):
    device = Moved(lambda ms: 1.15)
    for latency in latencies(search(device)):
        assert latency["at_table_speed"]["q10"] == pytest.approx(latency["predicted"], rel=0.03)
        assert latency["raw"]["q10"] == pytest.approx(1.15 * latency["at_table_speed"]["q10"], rel=0.02)
        assert latency["slowness"] == pytest.approx(1.15, rel=0.02)
        assert 0 < latency["slowness_half_width"] < 0.05
        assert latency["measured"] == latency["at_table_speed"]["median"]
        assert set(latency["raw"]) == set(latency["half_widths"]) == set(STATISTICS)
        assert latency["after_pause"] > 0


def test_the_budget_binds_the_statistic_that_is_asked_for(search, table, tmp_path):
    budget = float(np.median([network.latency_ms for network in table.networks]))
    result = search(Moved(noise=0.2), latency_statistic="p99", budgets={"latency": budget})
    for latency in latencies(result):
        assert latency["statistic"] == "p99"
        assert latency["measured"] == latency["at_table_speed"]["p99"] > 1.2 * latency["at_table_speed"]["q10"]
    kept = [n for n in result.networks if n["within_budget"]]
    assert all(n["budgets"]["latency_ms"]["value"] <= budget for n in kept)
    assert {n["budgets"]["latency_ms"]["statistic"] for n in result.networks} == {"p99"}
    assert read_tails(tmp_path / "run")["p99"] > 1.2  # this table does not say its tails


def test_a_memory_budget_binds_the_arena(search):
    device, most = Moved(), 12_000
    result = search(device, budgets={"memory": most}, memory_statistic="arena", samples=40)
    assert device.arenas > len(result.networks)
    for network in result.networks:
        assert network["within_budget"] == (network["arena_bytes"] <= most)
        check = network["budgets"]["peak_memory_bytes"]
        assert (check["value"], check["statistic"], check["measured"]) == (network["arena_bytes"], "arena", True)
    assert any(network["within_budget"] for network in result.networks)


def test_an_unknown_arena_is_refused_before_the_search(search, tmp_path):
    class Silent(Moved):
        def arena_bytes(self, files):
            return [None] * len(files)

    with pytest.raises(HwnasError, match=r"^--memory-statistic arena needs ONNX Runtime's CPU provider; "):
        search(Silent(), budgets={"memory": 1e6}, memory_statistic="arena")
    assert not (tmp_path / "run").exists()
    with pytest.raises(
        HwnasError, match="--memory-statistic arena must measure networks, but --measure none or --offline forbids it"
    ):
        search(Moved(), budgets={"memory": 1e6}, memory_statistic="arena", measure="none")


def test_nothing_is_measured_where_that_is_not_wanted(search):
    device, said = Moved(), []
    for latency in latencies(search(device, said, measure="none")):
        assert latency["measured"] is None
        assert "raw" not in latency
    assert not device.loaded
    assert any(line.endswith(" not measured, because of --measure none") for line in said)


def test_networks_are_measured_in_an_order_of_their_own(table):
    loaded = []
    device = Moved()

    def loader(name):
        def load(seed):
            loaded.append(name)
            return AdditiveRunnable(device, 1e-4 * (1 + name))

        return load

    timer = timing.ReferenceTimer(device, references_of(table, SPACE))
    loaders = {str(name): loader(name) for name in range(12)}
    timed, _ = timing.time_networks(timer, loaders, total_ms=1.0, seed=3)
    passes = loaded[:12], loaded[12:]
    assert [sorted(names) for names in passes] == [list(range(12))] * 2
    assert passes[0] != passes[1]
    assert all(abs(np.corrcoef(names, range(12))[0, 1]) < 0.9 for names in passes)
    assert [timed[str(name)].time.at_table_speed["q10"] for name in range(12)] == pytest.approx(
        [0.1 * (1 + name) for name in range(12)], rel=0.02
    )
    timing.time_networks(timer, loaders, total_ms=1.0, seed=3)
    assert loaded[24:] == loaded[:24]


def test_slow_networks_get_fewer_rounds():
    quick, slow, slowest = (timing.sampling(ms) for ms in (10.0, 500.0, 5000.0))
    assert (quick.max_rounds, quick.min_rounds, quick.priming_runs, quick.inner_seconds) == (12, 12, 4, 0.0)
    assert (slow.priming_runs, slowest.min_rounds) == (1, 8)


def test_the_first_inference_after_a_pause_is_the_median_of_three():
    class Sleepy:
        awake, seconds = 0, iter([9.0, 3e-3, 8e-3, 4e-3])

        def run(self, repeats):
            return next(self.seconds)

    slept = []
    assert timing.first_after_pause_ms(Sleepy(), slept.append) == pytest.approx(4.0)
    assert slept == [timing.PAUSE_S] * timing.PAUSES


def timed(ms, half_width=0.01):
    values = dict.fromkeys(STATISTICS, ms)
    widths = dict.fromkeys(STATISTICS, half_width * ms)
    return timing.TimedNetwork(NetworkTime(values, values, widths, 100), 1.0, 0.01)


def test_half_widths_explain_the_differences_between_two_measurements():
    rng = np.random.default_rng(0)
    first = {str(i): timed(1.0) for i in range(30)}
    sd = math.sqrt(2) * 0.01 / 1.645  # what the half-widths say of the difference of two
    for factor, low, high in ((1.0, 1.0, 1.3), (3.0, 2.3, 3.3)):
        last = {name: timed(math.exp(rng.normal(0, factor * sd))) for name in first}
        wide = timing.widened(last, first)
        ratios = {wide[n].time.half_widths["median"] / last[n].time.half_widths["median"] for n in last}
        assert low <= min(ratios) <= max(ratios) <= high
    assert timing.widened({"a": timed(1.0)}, {})["a"] == timed(1.0)


def test_tails_are_measured_once_in_a_run(search, table, tmp_path):
    search(Moved(noise=0.1))
    out = tmp_path / "run"
    kept = (out / TAILS).read_bytes()
    references, device = references_of(table, SPACE), Moved(noise=0.5)
    assert reference_timer(Run.open(out), device, references).references.tails == json.loads(kept)
    assert device.samples == 0
    (out / TAILS).write_text('{"p99": -1}')
    with pytest.raises(HwnasError, match="is damaged; remove it"):
        read_tails(out)


def test_a_run_is_timed_again_at_the_speed_of_its_table(search, tmp_path):
    result = search(Moved())
    again = retime_run(tmp_path / "run", backend=Moved(lambda ms: 0.8), space=SPACE)
    assert set(again) == {network["id"] for network in result.networks}
    for network in result.networks:
        assert again[network["id"]].slowness == pytest.approx(0.8, rel=0.02)
        latency = network["latency_ms"]
        assert again[network["id"]].time.at_table_speed["q10"] == pytest.approx(
            latency["at_table_speed"]["q10"], rel=0.02
        )
