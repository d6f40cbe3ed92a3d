"""Trials that are measured: what the search is told, what is journalled, and what becomes of trouble."""

import gc
import json
import re
import sys
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from cells import arguments, cut, trials_of
from measured_toys import (  # noqa: F401
    DELIVERY,
    SPACE,
    Device,
    Shape,
    exact_table,
    search,
    true_ms,
    unhurried,
)

from hwnas import HwnasError
from hwnas._cli import main
from hwnas._pipeline._memory import free_memory
from hwnas.run_directories import read_run
from latency_tables import load_table, save_table
from profilers import REFERENCE_TAILS, DeviceMemoryError, DeviceUnavailableError, UnsupportedGraphError
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
        assert facts["samples"] == 100
        assert record.deviations == {"latency_ms": facts["half_width"] / 1.645}
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
    assert re.fullmatch(r"measuring took [\d.]+ s a trial; the search waited for it [\d.]+ % of its time", cost)
    (table,) = [line for line in lines if line.startswith("measured trials: ")]
    assert "predictions of the table were off by" in table
    assert ", estimates corrected by earlier trials by " in table


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
    assert {record.failed for record in failed} == {"the device cannot run the network: no kernel for it"}
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
    with pytest.raises(
        HwnasError, match=r"the first 5 evaluations failed .* the device cannot run the network: RuntimeError: oom"
    ):
        search(tmp_path / "run", breaking(Device(), RuntimeError("oom"), 5), lines=lines)
    with pytest.raises(HwnasError, match=r"the first 5 .* the device cannot run the network: too large"):
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


def test_a_search_goes_on_where_the_file_of_its_table_is_gone(tmp_path):
    file, device = tmp_path / "table.json", Device()
    save_table(exact_table(), file)
    for samples in (5, 7):
        result = search(tmp_path / "run", device, str(file), samples=samples)
        file.unlink(missing_ok=True)
    whole = search(tmp_path / "whole", Device(), samples=7)
    assert [trial.text for trial in result.trials] == [trial.text for trial in whole.trials]


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


class SmallDevice(Device):
    """Has room for some networks of trials at a time; `fits` says how many, by the seed of the one that is loaded."""

    def __init__(self, fits, error):
        super().__init__()
        self.fits, self.error, self.alive = fits, error, weakref.WeakSet()

    def load(self, graph, *, seed=0, **more):
        if seed < DELIVERY and len(self.alive) >= self.fits(seed):
            raise type(self.error)(*self.error.args)  # an error that lives on keeps the frames of its traceback alive
        runnable = super().load(graph, seed=seed, **more)
        if 0 < seed < DELIVERY:
            self.alive.add(runnable)
        return runnable


NO_MEMORY = [
    DeviceMemoryError("the GPU has too little memory"),
    UnsupportedGraphError("torch cannot execute the graph: CUDA error: out of memory"),
    MemoryError(),
]


@pytest.fixture(scope="module")
def beside_each_other(tmp_path_factory):
    """The trials of a device on which all networks of a batch fit."""
    run = tmp_path_factory.mktemp("fits") / "all"
    search(run, Device(), samples=15)
    return trials_of(run)


@pytest.mark.parametrize("error", NO_MEMORY)
def test_networks_that_do_not_fit_beside_the_others_are_measured_alone(tmp_path, error, beside_each_other):
    device = SmallDevice(lambda seed: 3 if seed else 99, error)
    search(tmp_path / "run", device, samples=15)
    assert trials_of(tmp_path / "run") == beside_each_other


@pytest.mark.parametrize("error", NO_MEMORY)
def test_a_network_for_which_memory_never_suffices_fails_and_says_so(tmp_path, error):
    evaluated = []
    device = SmallDevice(lambda seed: 0 if seed in (3, 12) else 99, error)
    search(tmp_path / "run", device, evaluator=Shape(evaluated.append), samples=15)
    records = read_run(tmp_path / "run").trials
    assert [record.number for record in records if record.failed] == [3, 12]
    assert all("too little free memory" in records[number].failed for number in (3, 12))
    assert len(evaluated) == 13
    assert all(record.measurements for record in records if not record.failed)


def test_freed_memory_is_tried_first(tmp_path, monkeypatch):
    freed = []
    monkeypatch.setattr("hwnas._pipeline._measure_trials.free_memory", lambda: freed.append(1))
    device = SmallDevice(lambda seed: 99 if freed or seed != 4 else 0, NO_MEMORY[0])
    search(tmp_path / "run", device, samples=10)
    assert not any(record.failed for record in read_run(tmp_path / "run").trials)
    assert len(freed) == 1
    assert len(device.loaded) == 10 + 5  # none alone


def test_memory_that_runs_out_while_a_batch_is_timed(tmp_path):
    device = Device()
    load, alive = device.load, weakref.WeakSet()

    def loading(graph, *, seed=0, **more):
        runnable = load(graph, seed=seed, **more)
        run, runs = runnable.run, []

        def running(repeats):
            runs.append(repeats)
            if seed < DELIVERY and len(alive) > 2 and len(runs) > 5:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return run(repeats)

        runnable.run = running
        if 0 < seed < DELIVERY:
            alive.add(runnable)
        return runnable

    device.load = loading
    search(tmp_path / "run", device, samples=15)
    search(tmp_path / "all", Device(), samples=15)
    assert trials_of(tmp_path / "run") == trials_of(tmp_path / "all")


def test_torch_gives_its_free_memory_back(monkeypatch):
    given = []
    cuda = SimpleNamespace(is_available=lambda: True, empty_cache=lambda: given.append(1))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    free_memory()
    assert given == [1]


def test_a_trial_is_timed_as_single_inferences_as_winners_are(tmp_path):
    device, repeated = Device(), set()
    load = device.load

    def loading(graph, *, seed=0, **more):
        runnable = load(graph, seed=seed, **more)
        run = runnable.run

        def running(repeats):
            repeated.add(repeats)
            return run(repeats)

        runnable.run = running
        return runnable

    device.load = loading
    search(tmp_path / "run", device, samples=10)
    assert repeated == {1, 4}  # 4 untimed ones before each


def test_a_search_says_that_no_other_network_is_expected_within_the_budget(tmp_path):
    def slower(op):
        return 1.6

    costs = sorted(true_ms(arch) for arch in every_network())
    lines, budget = [], costs[60]  # by the table's prices, 61 networks keep it; as measured, none or few
    device, table = Device(slower=slower), exact_table(slower)
    result = search(tmp_path / "run", device, table, samples=60, latency_budget=f"{budget}ms", lines=lines)
    done = len(result.trials)
    assert done < 60
    assert lines.count(f"no untried network is expected within the budget; {done} of 60 samples") == 1


def test_a_search_says_that_every_network_is_tried(tmp_path):
    costs = sorted(true_ms(arch) for arch in every_network())
    lines = []
    options = {"minimize": "macs", "measure": "winners", "latency_budget": f"{costs[20] * 1.0001}ms"}
    result = search(tmp_path / "run", Device(), samples=60, lines=lines, **options)
    assert len(result.trials) == 21
    assert lines.count("no untried network that may be proposed is left; 21 of 60 samples") == 1


def test_a_start_that_ended_before_its_first_trial_leaves_no_table_behind(tmp_path):
    """The next start may be given another table; the run then keeps that one."""

    class Stopped(Shape):
        after = 0

        def evaluate(self, arch):
            self.after -= 1
            if self.after < 0:
                raise KeyboardInterrupt
            return super().evaluate(arch)

    def dearer(op):
        return 2.0 if op.kind == "conv" else 1.0

    stopped, second = Stopped(), exact_table(dearer)
    with pytest.raises(KeyboardInterrupt, match="0 trials are safe"):
        search(tmp_path / "run", Device(), evaluator=stopped)
    stopped.after = 12
    with pytest.raises(KeyboardInterrupt, match="trials are safe"):
        search(tmp_path / "run", Device(slower=dearer), second, evaluator=stopped)
    assert load_table(tmp_path / "run" / "table.json").networks == second.networks
    assert len(search(tmp_path / "run", Device(slower=dearer), second).trials) == 20
