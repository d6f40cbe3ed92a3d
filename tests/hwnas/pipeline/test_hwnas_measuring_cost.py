"""What measuring may cost, and the sampling that follows from it."""

import pytest
from measured_toys import Device, Shape, search

from hwnas._pipeline._measuring_cost import MeasuringCost, choose_sampling
from hwnas.run_directories import read_run


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("expected_s", "allowance_s", "rounds", "priming_runs"),
    [
        ([1e-3] * 10, 5.0, 15, 4),  # 15 rounds of 10 networks, five executions each, take 0.75 s
        ([10e-3] * 10, 7.0, 15, 3),  # 0.4 s to warm up, 15 rounds of 0.5 s are too many, of 0.4 s not
        ([10e-3] * 10, 3.5, 15, 1),
        ([10e-3] * 10, 2.0, 8, 1),
        ([1.0] * 10, 5.0, 5, 1),  # never less than that
        ([1.0] * 10, 0.0, 5, 1),
        ([], 5.0, 15, 4),
    ],
)
def test_fewer_priming_runs_come_before_fewer_rounds(expected_s, allowance_s, rounds, priming_runs):
    sampling = choose_sampling(expected_s, allowance_s)
    assert (sampling.max_rounds, sampling.priming_runs, sampling.min_rounds) == (rounds, priming_runs, 5)
    assert sampling.max_seconds <= allowance_s
    planned = rounds * sum(priming_runs * s + max(s, 300e-6) for s in expected_s) + 4 * sum(expected_s)
    assert planned <= allowance_s or (rounds, priming_runs) == (5, 1)


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


def test_slow_networks_are_measured_in_fewer_rounds(tmp_path, monkeypatch):

    class SlowDevice(Device):
        """Takes its time by the clock that the search looks at."""

        def load(self, graph, **more):
            runnable = super().load(graph, **more)
            run = runnable.run

            def timed(repeats):
                seconds = run(repeats)
                clock.now += seconds
                return seconds

            runnable.run = timed
            return runnable

    clock = Clock()
    for module in ("_measuring_cost", "_measure_trials"):
        monkeypatch.setattr(f"hwnas._pipeline.{module}.time.monotonic", clock)
    device = SlowDevice(slowness=24.0)
    lines = []

    def evaluate(arch):
        clock.now += 0.1

    result = search(tmp_path / "run", device, evaluator=Shape(evaluate), lines=lines, samples=40)
    (line,) = [line for line in lines if line.startswith("measuring took")]
    seconds = float(line.split()[2])
    samples = [record.measurements["latency_ms"]["samples"] for record in read_run(result.path).trials]
    assert min(samples) >= 5
    assert samples[-1] < 15
    assert 0.3 < seconds <= 0.56
