"""Trials that are measured: what the search is told, what is journalled, and what becomes of trouble."""

import gc
import json
import weakref
from dataclasses import replace

import numpy as np
import pytest
from cells import arguments, cut, trials_of
from measured_toys import SPACE, Device, Shape, exact_table, search, true_ms

from hwnas import HwnasError
from hwnas._cli import main
from hwnas.run_directories import read_run
from profilers import REFERENCE_TAILS, DeviceUnavailableError, UnsupportedGraphError
from profilers._cuda import KernelRunnable


def convolutions_dearer(op):
    """What this device takes longer than the table's prices say."""
    return 1.3 if op.kind == "conv" else 1.0


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    """A search on a device that the table is wrong about, a quarter slower than when the table was made."""
    lines = []
    table, device = exact_table(convolutions_dearer), Device(1.25, slower=convolutions_dearer)
    out = tmp_path_factory.mktemp("biased") / "run"
    return search(out, device, table, samples=25, lines=lines), lines, device


def latencies(out):
    return {trial["arch"]: trial["values"].get("latency_ms") for trial in trials_of(out)}


def test_the_search_is_told_what_the_device_takes_at_the_tables_speed(biased):
    result, _, device = biased
    for trial in result.trials:
        true = true_ms(trial.text, convolutions_dearer)
        assert trial.values["latency_ms"] == pytest.approx(true, rel=1e-5)
    assert any(abs(true_ms(t.text) / t.values["latency_ms"] - 1) > 0.1 for t in result.trials)
    assert len(device.loaded) == 25 + 4 + 1  # each trial once, four references and the reference op
    assert [seed for _, seed in device.loaded].count(0) == 6  # the first trial's seed, and what has none of its own


def test_the_journal_holds_estimates_and_measurements(biased):
    records = read_run(biased[0].path).trials
    for record in records:
        facts, raw = record.measurements["latency_ms"], 1.25 * record.values["latency_ms"]
        assert [facts[name] for name in ("q10", "median", "p90", "p99")] == pytest.approx([raw] * 4, rel=1e-5)
        assert facts["at_table_speed_median"] == record.values["latency_ms"]
        assert facts["slowness"] == pytest.approx(1.25, rel=1e-5)
        assert 0 < facts["half_width"] < 0.05 * record.values["latency_ms"]
        assert facts["samples"] == 20
    table_ms = [true_ms(record.arch) for record in records]
    expected = [record.estimates["latency_ms"] for record in records]
    assert expected[:10] == pytest.approx(table_ms[:10])
    told = np.array([record.values["latency_ms"] for record in records])
    without, corrected = abs(np.array(table_ms) / told - 1)[15:], abs(np.array(expected) / told - 1)[15:]
    assert np.median(corrected) < np.median(without) / 2


def test_what_people_are_told(biased):
    _, lines, _ = biased
    assert lines.count("this machine is now 25 % slower than when the table was made") == 1
    (cost,) = [line for line in lines if line.startswith("measuring took ")]
    assert cost.endswith("% of its time on it")
    (table,) = [line for line in lines if line.startswith("measured trials: ")]
    assert "the table's prices were off by" in table
    assert "; corrected by the trials so far " in table


def test_budgets_are_judged_by_what_was_told(tmp_path):
    table, device = exact_table(convolutions_dearer), Device(slower=convolutions_dearer)
    costs = sorted(true_ms(arch, convolutions_dearer) for arch in SPACE.sample(200, np.random.default_rng(0)))
    budget = costs[100]
    result = search(tmp_path / "run", device, table, samples=30, latency_budget=f"{budget}ms")
    over = [trial for trial in result.trials if trial.values["latency_ms"] > budget]
    assert over  # by the table's prices alone they would keep it
    assert all(true_ms(trial.text) <= budget for trial in over)
    assert all(true_ms(trial.text, convolutions_dearer) <= budget * (1 + 1e-5) for trial in result.front)
    past = read_run(result.path)
    within = [t.values["score"] for t in result.trials if t.values["latency_ms"] <= budget]
    assert past.best({"latency_ms": budget}) == max(within)
    assert len([t for t in over if t.number >= 15]) < len(over)  # the trials correct the estimates
    other = search(tmp_path / "run", device, table, samples=35, latency_budget=f"{costs[60]}ms")
    assert other.trials[:30] == result.trials
    assert other.front
    assert all(trial.values["latency_ms"] <= costs[60] for trial in other.front)


@pytest.mark.parametrize("left", [0, 7, 10, 18, 24])
def test_a_resumed_search_is_the_uninterrupted_one_and_measures_no_told_trial_again(biased, tmp_path, left):
    result, _, _ = biased
    table, device = exact_table(convolutions_dearer), Device(1.25, slower=convolutions_dearer)
    search(tmp_path / "run", device, table, samples=max(left, 1))
    cut(tmp_path / "run", left)
    again = Device(1.25, slower=convolutions_dearer)
    search(tmp_path / "run", again, table, samples=25)
    assert trials_of(tmp_path / "run") == trials_of(result.path)
    assert len(again.loaded) == 25 - left + 5


def test_a_search_that_is_stopped_between_two_trials_measures_its_open_batch_again(biased, tmp_path):
    result, _, _ = biased
    table, seen = exact_table(convolutions_dearer), []

    def stop(arch):
        seen.append(arch)
        if len(seen) == 13:
            raise KeyboardInterrupt

    device = Device(1.25, slower=convolutions_dearer)
    with pytest.raises(KeyboardInterrupt, match="12 trials are safe"):
        search(tmp_path / "run", device, table, evaluator=Shape(stop), samples=25)
    assert len(device.loaded) == 15 + 5
    search(tmp_path / "run", device, table, samples=25)
    assert trials_of(tmp_path / "run") == trials_of(result.path)


def test_a_batch_is_measured_before_it_is_evaluated_and_its_sessions_are_dropped(tmp_path):
    device, loaded, alive = Device(), [], []
    load = device.load

    def noted(graph, **more):
        runnable = load(graph, **more)
        loaded.append(weakref.ref(runnable))
        return runnable

    def look(arch):
        gc.collect()
        alive.append((len(loaded), sum(runnable() is not None for runnable in loaded), device.samples))

    device.load = noted
    search(tmp_path / "run", device, evaluator=Shape(look), samples=15)
    assert [counted for counted, _, _ in alive] == [15] * 10 + [20] * 5
    assert {kept for _, kept, _ in alive} == {5}  # the references alone
    assert len({samples for _, _, samples in alive}) == 2  # nothing is timed between the trials of a batch


def test_trials_of_worker_processes_are_measured_here(tmp_path):
    search(tmp_path / "here", Device(1.1), samples=12)
    search(tmp_path / "there", Device(1.1), samples=12, workers=2)
    assert trials_of(tmp_path / "there") == trials_of(tmp_path / "here")


@pytest.mark.parametrize("statistic", ["q10", "p90"])
def test_the_chosen_statistic_is_told(tmp_path, statistic):
    search(tmp_path / "run", Device(noise=0.2), samples=10, latency_statistic=statistic)
    for record in read_run(tmp_path / "run").trials:
        facts = record.measurements["latency_ms"]
        assert record.values["latency_ms"] == facts[f"at_table_speed_{statistic}"]
        assert facts["q10"] < facts["median"] < facts["p90"] <= facts["p99"]


def test_a_network_that_the_runtime_refuses_fails_its_trial_and_is_not_evaluated(tmp_path):
    evaluated = []
    device = Device(refuses=lambda op: op.kind == "pool" and len(device.loaded) >= 5)
    search(tmp_path / "run", device, evaluator=Shape(evaluated.append), samples=15)
    records = read_run(tmp_path / "run").trials
    failed = [record for record in records if record.failed]
    assert 0 < len(failed) < 15
    assert {record.failed for record in failed} == {"it cannot be measured: no kernel for it"}
    assert all("last=pool" in record.arch for record in failed)
    assert len(evaluated) == 15 - len(failed)


def breaking(device, error, after):
    """Make the device raise from its n-th load on, when the network runs."""
    load = device.load

    def broken(graph, **more):
        runnable = load(graph, **more)
        if len(device.loaded) > after:
            runnable.run = raising
        return runnable

    def raising(repeats):
        raise error

    device.load = broken
    return device


def test_a_network_that_fails_while_it_runs_fails_its_trial(tmp_path):
    lines = []
    with pytest.raises(HwnasError, match=r"the first 5 evaluations failed .* it cannot be measured: RuntimeError: oom"):
        search(tmp_path / "run", breaking(Device(), RuntimeError("oom"), 5), lines=lines)
    with pytest.raises(HwnasError, match=r"the first 5 .* it cannot be measured: too large"):
        search(tmp_path / "other", breaking(Device(), UnsupportedGraphError("too large"), 5))


def test_a_device_that_is_gone_ends_the_search_and_a_resumed_one_continues(biased, tmp_path):
    result, _, _ = biased
    table, device = exact_table(convolutions_dearer), Device(1.25, slower=convolutions_dearer)
    with pytest.raises(DeviceUnavailableError, match="cannot reach it"):
        search(tmp_path / "run", breaking(device, DeviceUnavailableError("cannot reach it"), 22), table, samples=25)
    assert trials_of(tmp_path / "run") == trials_of(result.path)[:15]
    search(tmp_path / "run", Device(1.25, slower=convolutions_dearer), table, samples=25)
    assert trials_of(tmp_path / "run") == trials_of(result.path)


def test_a_warm_start_takes_values_and_measures_latencies_itself(tmp_path):
    search(tmp_path / "a", Device(), samples=14, seed=3)
    evaluated, device = [], Device(1.5, slower=convolutions_dearer)
    table = exact_table(convolutions_dearer)
    evaluator = Shape(evaluated.append)
    search(tmp_path / "b", device, table, evaluator=evaluator, samples=20, warm_start=str(tmp_path / "a"))
    records = read_run(tmp_path / "b").trials
    warm = [record for record in records if record.source is not None]
    assert len(warm) == 14
    assert len(evaluated) == 6
    for record in records:
        true = true_ms(record.arch, convolutions_dearer)
        assert record.values["latency_ms"] == pytest.approx(true, rel=1e-5)


def test_latency_that_counts_for_nothing_is_measured_where_trials_are_asked_for(tmp_path):
    device = Device(1.5)
    result = search(tmp_path / "run", device, minimize="macs", samples=12)
    assert set(result.trials[0].values) == {"score", "macs", "latency_ms"}
    small = sorted(trial.values["latency_ms"] for trial in result.trials)[4]
    budgeted = search(tmp_path / "run", device, minimize="macs", samples=12, latency_budget=f"{small}ms")
    assert 0 < len(budgeted.front) <= 5


def test_the_speed_is_said_again_where_it_has_moved(tmp_path):
    device, lines = Device(1.1), []

    def slower(arch):
        device.slowness *= 1.01

    # references keep the speed at which they were loaded: load all of them anew for each batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas._pipeline._setup.SearchSetup.timer", property(_fresh_timer))
        search(tmp_path / "run", device, evaluator=Shape(slower), lines=lines, samples=30)
    said = [line for line in lines if line.endswith("than when the table was made")]
    assert said[0] == "this machine is now 10 % slower than when the table was made"
    assert said[1] == "this machine is now 22 % slower than when the table was made"
    assert 3 <= len(said) <= 5


def _fresh_timer(setup):
    from hwnas._tables._references import references_of
    from profilers import ReferenceTimer

    return ReferenceTimer(setup.backend, references_of(setup.costs.space_costs.table, setup.space))


def test_a_table_without_networks_tells_times_as_they_are(tmp_path):
    lines = []
    search(tmp_path / "run", Device(1.4), exact_table(references=0), samples=10, lines=lines)
    for record in read_run(tmp_path / "run").trials:
        assert record.values["latency_ms"] == pytest.approx(1.4 * true_ms(record.arch), rel=1e-5)
        assert "slowness" not in record.measurements["latency_ms"]
    assert not any("when the table was made" in line for line in lines)


@pytest.mark.parametrize("measure", ["winners", "none"])
def test_other_searches_are_told_the_tables_prices(tmp_path, measure):
    device = Device(1.5)
    search(tmp_path / "run", device, samples=12, measure=measure)
    for record in read_run(tmp_path / "run").trials:
        assert record.values["latency_ms"] == pytest.approx(true_ms(record.arch))
        assert not record.measurements
        assert not record.estimates
    assert len(device.loaded) == (5 if measure == "winners" else 0)  # the references of the delivery


def test_offline_nothing_is_measured(tmp_path):
    from latency_tables import save_table

    save_table(exact_table(), tmp_path / "table.json")
    result = search(tmp_path / "run", "cpu", tmp_path / "table.json", measure=None, offline=True, samples=10)
    assert result.settings.measure == "none"
    assert latencies(result.path) == {t.text: pytest.approx(true_ms(t.text)) for t in result.trials}


def test_trials_of_a_gpu_are_timed_by_its_events(tmp_path):
    """Replays of captured graphs between two events, whose clock is a fake one."""
    device = Device()
    load, elapsed = device.load, []

    class Events:
        def __init__(self, seconds):
            self.each = seconds

        def seconds(self, work):
            elapsed.append(self.each)
            work()
            return self.each

    def captured(graph, **more):
        seconds = 1.25 * load(graph, **more).seconds
        return KernelRunnable(lambda: None, 2, Events(2 * seconds))

    device.load = captured
    search(tmp_path / "run", device, samples=10)
    assert len(elapsed) > 10 * 15
    for record in read_run(tmp_path / "run").trials:
        assert record.values["latency_ms"] == pytest.approx(true_ms(record.arch), rel=1e-5)
        assert record.measurements["latency_ms"]["slowness"] == pytest.approx(1.25, rel=1e-5)


def test_lines_of_measured_trials_are_hashed_like_all_others(biased, tmp_path):
    path = tmp_path / "run"
    search(path, Device(), samples=3)
    lines = (path / "trials.jsonl").read_text().splitlines()
    line = json.loads(lines[1])
    line["measurements"]["latency_ms"]["q10"] *= 2
    (path / "trials.jsonl").write_text("\n".join([lines[0], json.dumps(line), *lines[2:]]) + "\n")
    with pytest.raises(HwnasError, match="was changed"):
        read_run(path)


def test_low_fidelity_evaluations_are_not_measured(tmp_path):
    rows = {SPACE.format(arch): (sum(SPACE.encode(arch)) / 40, 0.5) for arch in every_network()}
    lines = [f'"{arch}",{value:.4f},{value * other:.4f}' for arch, (value, other) in rows.items()]
    (tmp_path / "all.csv").write_text("\n".join(["arch,acc,early", *lines]) + "\n")
    device, options = Device(1.2), {"accuracy_column": "acc", "low_fidelity": "early", "strategy": "lamoo"}
    search(tmp_path / "run", device, evaluator=f"table:{tmp_path / 'all.csv'}", samples=15, **options)
    records = read_run(tmp_path / "run").trials
    low = [record for record in records if record.low_fidelity]
    assert low
    assert not any(record.measurements or record.estimates for record in low)
    assert all(record.measurements for record in records if not record.low_fidelity)
    assert len(device.loaded) == 15 + 5


def every_network():
    codes = np.indices(SPACE.cardinalities).reshape(len(SPACE.choices), -1).T
    codes = np.unique(SPACE.canonical_codes(codes[SPACE.valid_codes(codes)]), axis=0)
    return [SPACE.decode(row) for row in codes]


def test_measured_trials_contradict_a_column_of_latencies(csv, tmp_path, capsys):
    assert main(arguments(csv, tmp_path / "run", "--measure", "trials")) == 2
    first = "--measure trials times networks on the device"
    second = "--latency-column takes latencies from the benchmark table"
    assert capsys.readouterr().err == f"hwnas: error: {first}, but {second}; leave one of them out\n"
    assert not (tmp_path / "run").exists()


def test_estimates_are_of_the_told_statistic_where_the_table_knows_its_tails(tmp_path):
    table = replace(exact_table(), environment={REFERENCE_TAILS: {"q10": 1.0, "median": 1.05, "p90": 1.4}})
    search(tmp_path / "run", Device(), table, samples=10, latency_statistic="p90")
    for record in read_run(tmp_path / "run").trials:
        assert record.estimates["latency_ms"] == pytest.approx(1.4 * true_ms(record.arch))
        assert record.values["latency_ms"] == pytest.approx(1.4 * true_ms(record.arch), rel=1e-5)
