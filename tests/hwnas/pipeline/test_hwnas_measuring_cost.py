"""What measuring may cost, and the sampling that follows from it."""

from dataclasses import replace

import numpy as np
import pytest
from measured_toys import SPACE, Device, Shape, exact_table, search, true_ms

from hwnas._pipeline._measuring_cost import MeasuringCost, choose_sampling
from hwnas.run_directories import read_run
from profilers import REFERENCE_OP_MS
from profilers._plan import reference_graph


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("network_ms", "allowance_s", "references", "rounds", "priming_runs"),
    [
        (0.1, 5.0, 4, 100, 4),  # small networks: more rounds, at most a third of the allowance
        (0.4, 5.0, 4, 50, 4),  # 14 networks, 50 rounds of five executions, and one before: 1.41 s
        (1, 5.0, 4, 20, 4),
        (10, 12.0, 4, 20, 3),  # 11.3 s
        (10, 6.0, 4, 20, 1),
        (10, 3.0, 4, 10, 1),
        (30, 5.0, 4, 5, 1),
        (33, 5.0, 3, 5, 1),
        (37, 5.0, 2, 5, 1),
        (60, 5.0, 2, 5, 0),
        (75, 5.0, 2, 4, 0),
        (100, 5.0, 2, 3, 0),  # the least
        (1, 0.0, 2, 3, 0),
    ],
)
def test_large_networks_are_sampled_less(network_ms, allowance_s, references, rounds, priming_runs):
    networks, others = [network_ms / 1e3] * 10, [network_ms / 1e3] * 4
    sampling = choose_sampling(networks, others, allowance_s)
    settings = sampling.settings
    assert (sampling.references, settings.max_rounds, settings.priming_runs) == (references, rounds, priming_runs)
    assert (settings.inner_seconds, settings.min_rounds) == (0.0, 3)
    assert settings.max_seconds <= allowance_s
    takes_s = (10 + references) * network_ms / 1e3 * (1 + rounds * (1 + priming_runs))
    assert takes_s <= allowance_s or (references, rounds, priming_runs) == (2, 3, 0)


def test_without_references_there_are_none_to_leave_out():
    assert choose_sampling([1.0], [], 0.0).references == 0
    assert choose_sampling([1e-3], [1e-3], 5.0).references == 1


def test_half_a_second_a_trial_or_a_share_of_the_searchs_time_whichever_is_more():
    clock = Clock()
    cost = MeasuringCost(clock)
    assert cost.allowance_s(10) == 5.0
    assert cost.line() is None
    clock.now += 3.0
    cost.add(10, 3.0)
    cost.waited_s += 3.0
    assert cost.allowance_s(5) == pytest.approx(0.5 * 15 - 3)
    clock.now += 170.0  # spent on evaluations: 30 s of measuring are 15 % of 200 s
    assert cost.allowance_s(5) == pytest.approx(30 - 3)
    cost.add(5, 27.0)
    cost.waited_s += 27.0
    clock.now += 27.0
    assert cost.allowance_s(5) == 0.0
    assert cost.line() == "measuring took 2 s a trial; the search waited for it 15 % of its time"


class SlowDevice(Device):
    """Everything takes its time by a clock; loading a session takes as long as an inference."""

    def __init__(self, clock, slowness):
        super().__init__(slowness=slowness)
        self.clock = clock

    def load(self, graph, **more):
        runnable = super().load(graph, **more)
        run = runnable.run

        def timed(repeats):
            seconds = run(repeats)
            self.clock.now += seconds
            return seconds

        timed(1)
        runnable.run = timed
        return runnable


def slow_table(slowness):
    """The true prices of a slow device."""
    table = exact_table()

    def slower(entry):
        return replace(entry, **{name: slowness * getattr(entry, name) for name in ("q10_ms", "median_ms", "p90_ms")})

    networks = [
        replace(n, **{name: slowness * getattr(n, name) for name in ("unfitted_ms", "measured_ms", "repeat_ms")})
        for n in table.networks
    ]
    op_ms = 1e3 * slowness * Device().load(reference_graph(3)).seconds
    entries = {op: slower(entry) for op, entry in table.entries.items()}
    return replace(table, entries=entries, networks=tuple(networks), environment={REFERENCE_OP_MS: op_ms})


@pytest.mark.parametrize("millis", [20, 60])
def test_half_a_second_a_trial_binds_for_large_networks_and_quick_evaluations(tmp_path, monkeypatch, millis):
    clock, lines = Clock(), []
    monkeypatch.setattr("hwnas._pipeline._measuring_cost.time.monotonic", clock)
    spent, add = [], MeasuringCost.add

    def noted(self, trials, seconds):
        add(self, trials, seconds)
        spent.append((self.trials, self.spent_s))

    monkeypatch.setattr(MeasuringCost, "add", noted)
    typical_ms = np.median([true_ms(arch) for arch in SPACE.sample(50, np.random.default_rng(0))])
    slowness = float(millis / typical_ms)

    def evaluate(arch):
        clock.now += 0.1

    device, table = SlowDevice(clock, slowness), slow_table(slowness)
    result = search(tmp_path / "run", device, table, evaluator=Shape(evaluate), lines=lines, samples=40)
    assert len(spent) == 7
    for trials, seconds in spent:
        assert seconds <= 0.5 * trials + 0.01
    records = read_run(result.path).trials
    samples = [record.measurements["latency_ms"]["samples"] for record in records]
    assert 3 <= min(samples) < max(samples) <= 20 or set(samples) == {3}
    for record in records:
        assert record.values["latency_ms"] == pytest.approx(slowness * true_ms(record.arch), rel=1e-4)
