"""Budgets bind what is measured: on a device with known times, whose truth is not what the table says."""

import json
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
from simulated_device import AdditiveBackend, AdditiveRunnable

import hwnas
from hwnas import HwnasError
from hwnas._costs._draw import draw_networks
from hwnas._pipeline import _time_networks as timing
from hwnas._pipeline._measure_winners import _LazyWeights
from hwnas._pipeline._reference_tails import TAILS, read_tails
from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._list import read_run
from hwnas._runs._run import Run
from hwnas._tables._references import references_of
from hwnas._tables._validate import table_references
from hwnas.run_directories import retime_run
from latency_tables import save_table
from profilers import STATISTICS, NetworkTime, SamplingSettings, UnsupportedGraphError, profile_ops


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

    def run(device, said=None, space=SPACE, **more):
        options = {"measure": "winners", "strategy": "mutation", "samples": 25, "table": table} | more
        where = {"evaluator": Slowest(), "out": tmp_path / "run"}
        lines = said if said is not None else []
        return hwnas.search(space, device=device, progress=lines.append, **where | options)

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
    result = search(Moved(), budgets={"latency": 0.99 * slow}, **unmeasured)
    assert result.networks[0]["latency_ms"]["predicted"] == slow
    assert not any(network["within_budget"] for network in result.networks)
    assert "(q10) predicted, " in result.over_budget


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
    said, again = [], []
    first = search(Moved(noise=0.1), said)
    out = tmp_path / "run"
    kept = json.loads((out / TAILS).read_bytes())
    assert sum("measuring single inferences of 10 reference networks" in line for line in said) == 1
    second = search(Moved(noise=0.5), again, samples=30)
    assert not any("single inferences" in line for line in again)
    assert json.loads((out / TAILS).read_bytes()) == kept
    assert first.trials[3].arch == second.trials[3].arch
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


@pytest.mark.parametrize("measure", ["none", "winners"])
def test_listings_count_a_trial_by_the_statistic_that_its_budget_binds(search, table, tmp_path, measure):
    tailed, out = with_tails(table, median=1.1, p99=1.5), tmp_path / "run"
    more = {"measure": measure, "table": tailed, "latency_statistic": "p99"}
    search(Moved(), budgets={"latency": 1e3}, samples=20, **more)
    q10 = [trial.values["latency_ms"] for trial in read_run(out).full]
    budget = 1.5 * float(np.median(q10))
    search(Moved(), budgets={"latency": budget}, samples=20, **more)
    past = read_run(out)
    within = past.within({"latency_ms": budget})
    assert within == [1.5 * ms <= budget for ms in q10]
    assert 0 < sum(within) < len(within)
    kept = [trial.values["accuracy"] for trial, inside in zip(past.full, within, strict=True) if inside]
    assert past.best({"latency_ms": budget}) == max(kept)


def with_tails(table, **tails):
    """The table, with how many times q10 each statistic is."""
    return replace(table, environment={**table.environment, "reference_tails": {"q10": 1.0, **tails}})


@pytest.mark.parametrize("measure", ["none", "winners"])
def test_a_budget_of_another_statistic_limits_what_is_proposed(search, table, measure):
    budget = float(np.median([network.latency_ms for network in table.networks]))
    tailed = with_tails(table, median=1.1, p99=1.5)
    more = {"measure": measure, "table": tailed, "latency_statistic": "p99"}
    result = search(Moved(), budgets={"latency": budget}, **more)
    q10 = [
        tailed.corrected_price(tailed.unfitted_graph_ms(SPACE.graph(trial.arch))).value_ms for trial in result.trials
    ]
    assert 0.9 * budget < 1.5 * max(q10) <= 1.001 * budget
    if measure == "none":
        for network in result.networks:
            latency, check = network["latency_ms"], network["budgets"]["latency_ms"]
            assert latency["expected"] == pytest.approx(1.5 * latency["predicted"], rel=1e-5)
            assert (check["value"], check["statistic"], check["within"]) == (latency["expected"], "p99", True)


def test_a_statistic_that_nothing_can_say_is_refused(search, tmp_path):
    with pytest.raises(HwnasError, match=r"^--latency-statistic p99 needs measurements, or a latency table that "):
        search(Moved(), measure="none", latency_statistic="p99")
    assert not (tmp_path / "run").exists()
    result = search(Moved(), measure="none", budgets={"latency": 1e3})
    assert Run.open(tmp_path / "run").settings.latency_statistic == "q10"
    assert {n["budgets"]["latency_ms"]["statistic"] for n in result.networks} == {"q10"}


class Replaying(Moved):
    """Times many inferences at once, like a captured graph."""

    times_one_inference = False


def test_no_tail_is_stated_where_many_inferences_are_timed_at_once(search):
    with pytest.raises(HwnasError, match=r"^--latency-statistic p90 needs single inferences, but --protocol kernel "):
        search(Replaying(), latency_statistic="p90")
    for latency in latencies(search(Replaying())):
        assert set(latency["raw"]) == set(latency["at_table_speed"]) == set(latency["half_widths"]) == {"q10", "median"}
        assert latency["after_pause"] is None
        assert latency["measured"] == latency["at_table_speed"]["median"]


class Wide(Stack):
    """The same ops, of which there are fewer networks and other names of choices."""

    name, settings = "wide", {"shallow": True}
    choices = (
        hwnas.Choice("channels", (4, 6, 8, 10, 12)),
        hwnas.Choice("side", (1, 3, 5)),
        hwnas.Choice("n", (1, 2, 3)),
    )


def test_references_are_networks_of_the_space_of_the_table(search, table, monkeypatch):
    said = []
    result = search(Moved(), said, space=Wide())
    assert any(line.startswith("the machine's speed is not known: ") for line in said)
    for latency in latencies(result):
        assert latency["slowness"] is None
        assert "at_table_speed" not in latency
    monkeypatch.setattr("hwnas._tables._validate.make_space", lambda name, **settings: {"stack": SPACE}[name])
    references = table_references(table, Wide())
    assert len(references.networks) == 4
    for reference in references.networks:
        (measured,) = [n for n in table.networks if n.arch == reference.name]
        assert reference.then_ms == measured.latency_ms
        assert reference.graph.op_counts == SPACE.graph(SPACE.parse(measured.arch)).op_counts


def test_a_run_of_another_space_than_its_table_is_timed_again(search, tmp_path, monkeypatch):
    makes = {"stack": SPACE, "wide": Wide()}
    for module in ("_tables._validate", "_pipeline._retime"):
        monkeypatch.setattr(f"hwnas.{module}.make_space", lambda name, **settings: makes[name])
    result = search(Moved(), space=Wide())
    again = retime_run(tmp_path / "run", backend=Moved(lambda ms: 1.2))
    for network in result.networks:
        timed_again = again[network["id"]]
        assert timed_again.slowness == pytest.approx(1.2, rel=0.02)
        assert timed_again.time.at_table_speed["q10"] == pytest.approx(network["latency_ms"]["predicted"], rel=0.03)


def test_what_cannot_be_loaded_is_left_out_with_a_line(table):
    device, said, alive, most = Moved(), [], set(), []

    def loader(name):
        def load(seed):
            if name == "big":
                raise MemoryError("no room")
            if name == "odd":
                raise UnsupportedGraphError("no kernel for it")
            runnable = AdditiveRunnable(device, 1e-4)
            alive.add(name)
            weakref.finalize(runnable, alive.discard, name)
            most.append(len(alive))
            return runnable

        return load

    timer = timing.ReferenceTimer(device, references_of(table, SPACE))
    loaders = {name: loader(name) for name in ("a", "big", "b", "odd")}
    timed, runnables = timing.time_networks(timer, loaders, total_ms=1.0, seed=0, progress=said.append)
    assert set(timed) == set(runnables) == {"a", "b"}
    assert sorted(line.split(":")[0] for line in said) == ["big cannot be measured", "odd cannot be measured"]
    assert most == [1, 2, 1, 2]  # one pass's sessions are released before the next one's are loaded


class Small(Moved):
    """Cannot load networks that take longer than 0.5 ms, but for those of a table."""

    def __init__(self, spared):
        super().__init__()
        self.spared = spared

    def load(self, graph, **more):
        runnable = super().load(graph, **more)
        ms = 1e3 * runnable.seconds
        if ms > 0.5 and min(abs(ms / spared - 1) for spared in self.spared) > 1e-3:
            raise UnsupportedGraphError("too little memory")
        return runnable


def test_a_network_that_the_device_refuses_stops_no_search(search, table):
    said = []
    result = search(Small([network.latency_ms for network in table.networks]), said)
    assert any(line.endswith(" cannot be measured: too little memory") for line in said)
    assert all(latency["measured"] is not None for latency in latencies(result))


def test_each_pass_loads_its_references_anew(table):
    device = Moved()
    timer = timing.ReferenceTimer(device, references_of(table, SPACE))
    before = len(device.loaded)
    timing.time_networks(timer, {}, total_ms=1.0, seed=0)
    assert len(device.loaded) == before + timing.PASSES * before


def test_consistent_measurements_are_averaged():
    both = timing.joined({"a": timed(1.02), "b": timed(1.2), "c": timed(1.0)}, {"a": timed(1.0), "b": timed(1.0)})
    assert both["a"].time.at_table_speed["median"] == pytest.approx(math.sqrt(1.02))
    assert both["a"].time.raw["median"] == 1.02
    assert both["a"].time.half_widths == timed(1.02).time.half_widths
    assert both["b"] == timed(1.2)
    assert both["c"] == timed(1.0)
    as_timed = replace(timed(1.02), slowness=None)
    assert timing.joined({"a": as_timed}, {"a": timed(1.0)})["a"] == as_timed


def test_a_loaded_timer_goes_with_the_setup_to_another_evaluator(table):
    setup = object.__new__(SearchSetup)
    vars(setup).update(dict.fromkeys(SearchSetup.__dataclass_fields__), timer="loaded")
    other = setup.with_evaluator("another")
    assert (other.evaluator, other.timer) == ("another", "loaded")


def test_weights_are_made_where_a_device_reads_them():
    made = []
    weights = _LazyWeights(lambda: made.append("weights") or {"conv.w": np.ones(3, np.float32)})
    assert not made
    assert list(weights) == ["conv.w"]
    assert weights["conv.w"].sum() == 3
    assert len(weights) == len(made) == 1
