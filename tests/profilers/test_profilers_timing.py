import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers import JournalError, SampleSet, SamplingSettings, Timer
from profilers._journal import SampleJournal, sample_into
from profilers._samples import bootstrap_quantiles, disturbed, drift, split_half_noise
from profilers._timing import REFERENCE_OP, second_pass_name, stop_reason

QUIET = SamplingSettings(min_rounds=10, max_rounds=40, check_every=5, inner_seconds=1e-3)


class SimulatedMachine:
    """A clock that runs on as work is done, and noise that depends on the time: bursts, drift, steps, heavy tails."""

    def __init__(self, noise=lambda now, rng: 1.0, seed=0):
        self.now, self.noise, self.rng = 0.0, noise, np.random.default_rng(seed)

    def runnable(self, seconds):
        return SimulatedRunnable(self, seconds)


class SimulatedRunnable:
    def __init__(self, machine, seconds):
        self.machine, self.seconds, self.calls = machine, seconds, 0

    def run(self, repeats):
        self.calls += repeats
        taken = repeats * self.seconds * self.machine.noise(self.machine.now, self.machine.rng)
        self.machine.now += taken
        return taken


def bursts(now, rng):
    """A neighbour that takes the core for a fifth of every tenth of a second."""
    return 3.0 if now % 0.1 < 0.02 else 1.0


def heavy_tails(now, rng):
    return 1.0 + 0.02 * rng.pareto(1.5)


def measure(machine, times, settings=QUIET, **options):
    runnables = {f"r{i}": machine.runnable(t) for i, t in enumerate(times)}
    return Timer(runnables, settings, **options).run()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(1e-5, 3e-3), min_size=2, max_size=8),
    st.sampled_from([bursts, heavy_tails]),
    st.integers(0, 100),
)
def test_q10_finds_the_true_times_under_bursts_and_tails(times, noise, seed):
    samples = measure(SimulatedMachine(noise, seed), times)
    for i, seconds in enumerate(times):
        assert samples[f"r{i}"].quantile() == pytest.approx(seconds, rel=0.05)


def test_ratios_survive_a_step_change():
    machine = SimulatedMachine(lambda now, rng: 1.0 if now < 0.7 else 1.3)
    samples = measure(machine, [1e-3, 2e-3, 4e-3], SamplingSettings(min_rounds=40, max_rounds=40))
    values = [samples[f"r{i}"].quantile() for i in range(3)]
    assert values[1] / values[0] == pytest.approx(2.0, rel=0.01)
    assert values[2] / values[0] == pytest.approx(4.0, rel=0.01)


def test_a_quiet_machine_converges_early():
    samples = measure(SimulatedMachine(), [1e-3, 2e-3])
    assert {s.stop for s in samples.values()} == {"converged"}
    assert {len(s.seconds) for s in samples.values()} == {10}


def test_noise_that_does_not_shrink_settles():
    flips = SimulatedMachine(lambda now, rng: rng.choice([1.0, 1.5], p=[0.12, 0.88]))
    samples = measure(flips, [1e-3] * 6, SamplingSettings(min_rounds=10, max_rounds=400, target=1e-4))
    assert "settled" in {s.stop for s in samples.values()}
    assert all(s.stop is not None for s in samples.values())


def test_the_cap_ends_everything():
    noisy = SimulatedMachine(lambda now, rng: rng.uniform(1, 3))
    samples = measure(noisy, [1e-3, 1e-3], SamplingSettings(min_rounds=5, max_rounds=12, target=1e-6))
    assert {s.stop for s in samples.values()} <= {"cap", "settled"}
    assert max(len(s.seconds) for s in samples.values()) == 12


def test_sampling_ends_when_its_time_is_over_but_not_before_the_fewest_rounds():
    for seconds, rounds in ((0.0, 10), (0.3, 13)):
        machine = SimulatedMachine(lambda now, rng: rng.uniform(1, 3))
        limits = SamplingSettings(min_rounds=10, max_rounds=40, target=1e-9, max_seconds=seconds)
        runnable = machine.runnable(2.5e-3)
        timer = Timer({"slow": runnable}, limits, clock=lambda machine=machine: machine.now)
        timer.choose_repeats()
        samples = timer.run()["slow"]
        assert samples.stop == "cap"
        assert abs(len(samples.seconds) - rounds) <= (0 if seconds == 0.0 else 3)


def test_stop_rules_one_by_one():
    settings_ = SamplingSettings(min_rounds=20, max_rounds=60, target=0.01)
    assert stop_reason(SampleSet(1, widths=[0.005]), 15, settings_) is None
    assert stop_reason(SampleSet(1, widths=[0.05, 0.01]), 20, settings_) == "converged"
    assert stop_reason(SampleSet(1, widths=[0.05, 0.05, 0.05]), 40, settings_) is None
    assert stop_reason(SampleSet(1, widths=[0.05, 0.051, 0.049, 0.05]), 40, settings_) == "settled"
    assert stop_reason(SampleSet(1, widths=[0.05, 0.08]), 60, settings_) == "cap"


def test_short_runnables_are_repeated_within_a_sample_and_primed_before_it():
    machine = SimulatedMachine()
    fast, slow = machine.runnable(1e-5), machine.runnable(5e-3)
    settings_ = SamplingSettings(min_rounds=1, max_rounds=1, warmup_runs=3, inner_seconds=3e-4)
    samples = Timer({"fast": fast, "slow": slow}, settings_).run()
    assert (samples["fast"].repeats, samples["slow"].repeats) == (30, 1)
    assert samples["fast"].seconds == pytest.approx([1e-5])
    assert fast.calls == 3 + 3 + settings_.priming_runs + 30
    assert slow.calls == 3 + 3 + settings_.priming_runs + 1


@pytest.mark.parametrize("name", [REFERENCE_OP, second_pass_name(REFERENCE_OP)])
def test_the_calibration_runnable_is_in_every_round(name):
    machine = SimulatedMachine()
    noisy = SimulatedMachine(lambda now, rng: rng.uniform(1, 2))
    samples = Timer(
        {name: machine.runnable(1e-3), "noisy": noisy.runnable(1e-3)},
        SamplingSettings(min_rounds=10, max_rounds=40, target=1e-6),
    ).run()
    assert len(samples[name].seconds) == len(samples["noisy"].seconds) > 10


@pytest.mark.parametrize("seed", range(6))
def test_the_calibration_runnable_has_a_reason_to_stop_however_noisy_it_is(seed):
    quiet, noisy = SimulatedMachine(), SimulatedMachine(lambda now, rng: 1 + rng.exponential(0.05), seed)
    runnables = {REFERENCE_OP: noisy.runnable(1e-3)} | {f"r{i}": quiet.runnable(1e-3) for i in range(12)}
    samples = Timer(runnables, SamplingSettings(min_rounds=10, max_rounds=40)).run()
    assert max(len(one.seconds) for one in samples.values()) < 40
    assert all(one.stop for one in samples.values())


def test_a_higher_noise_weight_is_sampled_for_longer():
    machine = SimulatedMachine(lambda now, rng: 1 + rng.exponential(0.03))
    names = [f"r{i}" for i in range(12)]
    samples = Timer({n: machine.runnable(1e-3) for n in names}, QUIET, noise_weights={"r0": 4.0, "r1": 0.1}).run()
    rounds = {name: len(one.seconds) for name, one in samples.items()}
    assert rounds["r1"] == 10
    assert rounds["r0"] > np.median(list(rounds.values())) >= rounds["r1"]


def test_a_moment_is_the_number_of_a_sample(tmp_path):
    machine = SimulatedMachine()
    path, limits = tmp_path / "s.jsonl", SamplingSettings(min_rounds=3, max_rounds=3)
    with SampleJournal(path, {}) as journal:
        first = sample_into(journal, {n: machine.runnable(1e-3) for n in "abc"}, limits, {}, "pass 1", print)
        second = sample_into(
            journal, {second_pass_name(n): machine.runnable(1e-3) for n in "abc"}, limits, {}, "pass 2", print
        )
    moments = [m for one in (*first.values(), *second.values()) for m in one.moments]
    assert sorted(moments) == list(range(18))
    assert max(m for one in first.values() for m in one.moments) == 8
    with SampleJournal(path, {}) as journal:
        assert {n: one.moments for n, one in journal.history.items()} == {
            n: one.moments for n, one in {**first, **second}.items()
        }


def two_passes(path, limits, machine, stop_in_second=None):
    """Both passes of three runnables, as a profile samples them; the second interrupted after some rounds."""
    limits = SamplingSettings(**limits)
    with SampleJournal(path, {}) as journal:
        found = sample_into(journal, {n: machine.runnable(1e-3) for n in "abc"}, limits, {}, "pass 1", print)
        rounds = journal.rounds
        write = journal.write_round

        def write_round(number, seconds):
            if stop_in_second is not None and number >= stop_in_second:
                raise KeyboardInterrupt
            write(number, seconds)

        journal.write_round = write_round
        second = {second_pass_name(n): machine.runnable(1e-3) for n in "abc"}
        return found | sample_into(journal, second, limits, {}, "pass 2", print), rounds


def test_a_finished_pass_is_not_sampled_again_and_no_moment_is_given_twice(tmp_path):
    limits = {"min_rounds": 4, "max_rounds": 40, "max_seconds": 0.0, "target": 1e-9}
    machine = SimulatedMachine(lambda now, rng: rng.uniform(1, 1.5))
    path = tmp_path / "s.jsonl"
    with pytest.raises(KeyboardInterrupt):
        two_passes(path, limits, machine, stop_in_second=2)
    samples, rounds = two_passes(path, limits, machine)
    assert rounds == 4 + 2
    assert {n: len(one.seconds) for n, one in samples.items()} == {
        n: 4 for m in "abc" for n in (m, second_pass_name(m))
    }
    moments = [m for one in samples.values() for m in one.moments]
    assert sorted(moments) == list(range(24))
    with SampleJournal(path, {}) as journal:
        assert {n: (one.moments, one.stop) for n, one in journal.history.items()} == {
            n: (one.moments, one.stop) for n, one in samples.items()
        }


def test_moments_go_on_behind_everything_that_was_sampled(tmp_path):
    machine = SimulatedMachine()
    history = {"a": SampleSet(1, [1e-3] * 3, moments=[0, 2, 4])}
    limits = SamplingSettings(min_rounds=5, max_rounds=5)
    samples = Timer({"a": machine.runnable(1e-3)}, limits, history=history, first_moment=40).run()
    assert samples["a"].moments == [0, 2, 4, 40, 41]


def test_the_order_inside_a_journal_line_is_that_of_measuring(tmp_path):
    order = []

    class Noting:
        def __init__(self, name):
            self.name = name

        def run(self, repeats):
            order.append(self.name)
            return repeats * 1e-3

    with SampleJournal(tmp_path / "s.jsonl", {}) as journal:
        limits = SamplingSettings(min_rounds=2, max_rounds=2, priming_runs=1)
        sample_into(journal, {n: Noting(n) for n in "abcdef"}, limits, {}, "pass", print)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    written = [name for line in lines if "seconds" in line for name in line["seconds"]]
    assert written == order[-24::2]


def test_drift_is_seen():
    steady = SampleSet(1, seconds=[1.0] * 40)
    moved = SampleSet(1, seconds=list(np.linspace(1.0, 1.2, 40)))
    assert drift(steady) == 0.0
    assert 0.1 < drift(moved) < 0.2


def test_halves_of_a_profile_are_compared():
    steady = [SampleSet(1, seconds=[1.0] * 20)] * 9
    torn = SampleSet(1, seconds=[1.0, 1.2] * 10)
    assert split_half_noise(steady) == (0.0, 0.0)
    median, p90 = split_half_noise([*steady[:5], torn, torn])
    assert median == 0.0
    assert p90 == pytest.approx(0.2 / 1.1)
    assert split_half_noise([SampleSet(1, seconds=[1.0] * 7)]) is None


def test_bootstrap_quantiles_follow_numpy_in_the_mean():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 1, 50)
    draws = bootstrap_quantiles(values, rng, draws=4000)
    resampled = [np.quantile(rng.choice(values, 50), 0.1) for _ in range(4000)]
    assert draws.mean() == pytest.approx(np.mean(resampled), rel=0.005)
    assert draws.std() == pytest.approx(np.std(resampled), rel=0.1)


@pytest.mark.parametrize("killed_after", [1, 5, 7, 12])
def test_a_resumed_sampling_keeps_every_round_and_goes_on(tmp_path, killed_after):
    path, settings_ = tmp_path / "s.jsonl", SamplingSettings(min_rounds=10, max_rounds=20, target=1e-9)

    def sample(limit=None):
        machine = SimulatedMachine(lambda now, rng: rng.uniform(1, 1.5))
        with SampleJournal(path, {"plan": "x"}) as journal:
            runnables = {f"r{i}": machine.runnable(1e-3) for i in range(3)}

            def on_round(number, seconds):
                if limit is not None and number >= limit:
                    raise KeyboardInterrupt
                journal.write_round(number, seconds)

            timer = Timer(runnables, settings_, history=journal.history, on_round=on_round)
            journal.write_repeats(timer.choose_repeats())
            return timer.run()

    with pytest.raises(KeyboardInterrupt):
        sample(killed_after)
    before = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"round": 99, "seco')  # the line in flight when the power went
    samples = sample()
    assert path.read_bytes().startswith(before)
    rounds = [json.loads(line)["round"] for line in path.read_text().splitlines() if "round" in json.loads(line)]
    assert rounds == list(range(20))
    assert all(len(s.seconds) == 20 for s in samples.values())
    assert sample().keys() == samples.keys()  # a finished journal is not sampled again
    assert len(path.read_text().splitlines()) == len(rounds) + 2


def test_a_journal_of_another_profile_is_refused(tmp_path):
    path = tmp_path / "s.jsonl"
    SampleJournal(path, {"plan": "x"}).close()
    with pytest.raises(JournalError, match="setting, space or version of hwnas; delete it or choose another -o"):
        SampleJournal(path, {"plan": "y"})


def test_a_damaged_journal_is_refused(tmp_path):
    path = tmp_path / "s.jsonl"
    SampleJournal(path, {"plan": "x"}).close()
    with path.open("a") as file:
        file.write('{"seconds": {"never seen": 1}}\n')
    with pytest.raises(JournalError, match="is damaged; delete it to measure again"):
        SampleJournal(path, {"plan": "x"})


def neighbour(first, last):
    """A machine on which something else runs from one moment to another, and slows everything down by its own share."""
    return SimulatedMachine(lambda now, rng: 1.7 if first < now < last else 1.0)


def sampled(machine, **options):
    runnables = {f"r{i}": machine.runnable(1e-3) for i in range(4)} | {REFERENCE_OP: machine.runnable(1e-3)}
    limits = SamplingSettings(min_rounds=20, max_rounds=20, check_every=5, inner_seconds=1e-3, priming_runs=0)
    timer = Timer(runnables, limits, clock=lambda: machine.now, **options)
    return timer, timer.run()


def test_disturbed_rounds_are_measured_again():
    timer, samples = sampled(neighbour(0.06, 0.12))
    lost = int(disturbed(samples[REFERENCE_OP]).sum())
    assert lost >= 5
    assert timer.repeated == lost
    assert {len(one.seconds) for one in samples.values()} == {20 + lost}
    assert drift(samples[REFERENCE_OP]) < 0.01
    assert {one.stop for one in samples.values()} <= {"converged", "settled", "cap"}


def test_a_machine_that_stays_disturbed_is_given_up_after_half_as_many_rounds_and_its_drift_is_told():
    timer, samples = sampled(neighbour(0.06, 1e9))
    assert timer.repeated == 10
    assert drift(samples[REFERENCE_OP]) == pytest.approx(0.7)


def test_few_disturbed_rounds_are_not_measured_again():
    timer, samples = sampled(neighbour(0.06, 0.08))
    assert disturbed(samples[REFERENCE_OP]).sum() > 0
    assert timer.repeated == 0


def test_an_interrupted_sampling_is_ended_but_measures_nothing_again():
    rounds = []
    sampled(neighbour(0.06, 0.12), on_round=lambda number, seconds: rounds.append(dict(seconds)))
    history = {name: SampleSet(1, []) for name in rounds[0]}
    moment = 0
    for seconds in rounds[:22]:
        for name, value in seconds.items():
            history[name].add(value, moment)
            moment += 1
    resumed, samples = sampled(SimulatedMachine(), history=history)
    assert resumed.repeated == 0
    assert len(samples[REFERENCE_OP].seconds) == 22
    assert all(one.stop for one in samples.values())
