"""Runs that go on with more samples or another budget."""

import json
import shutil
from dataclasses import replace

import pytest
from cells import arguments, as_version_1, cut, search, trials_of
from measured_toys import exact_table
from run_toys import create_run

from hwnas import HwnasError, SearchSettings
from hwnas._cli import main
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._setup_table import TABLE, with_kept_table
from hwnas._runs._phases import Phase
from hwnas._runs._run import Run
from latency_tables import dump_table, save_table


@pytest.fixture(scope="module")
def changed(csv, tmp_path_factory):
    """Twelve samples within 8 ms, then up to 24 within 4 ms, then up to 30 within 9 ms."""
    out = tmp_path_factory.mktemp("changed") / "run"
    for samples, budget in ((12, "8ms"), (24, "4ms"), (30, "9ms")):
        search(csv, out, samples=samples, budget=budget)
    return out


def test_more_samples_go_on_as_if_asked_for_at_once(csv, tmp_path):
    search(csv, tmp_path / "two", samples=13)
    search(csv, tmp_path / "two", samples=25)
    search(csv, tmp_path / "one", samples=25)
    assert trials_of(tmp_path / "two") == trials_of(tmp_path / "one")
    assert "phases" not in json.loads((tmp_path / "two" / "settings.json").read_text())


def test_a_run_goes_on_with_its_own_copy_where_the_table_that_was_named_is_gone(tmp_path):
    file, lines, out = tmp_path / "table.json", [], tmp_path / "run"
    made = exact_table()
    settings = SearchSettings(space="nasbench201", table=str(file))
    save_table(made, file)
    create_run(out, settings, {})
    save_table(made, out / TABLE)
    file.unlink()

    def taken(settings):
        return with_kept_table(settings, out, Overrides(), lines.append).table

    assert taken(settings) is None  # the run has no trials: another table may take its place
    (out / "trials.jsonl").write_text("{}\n")
    assert dump_table(taken(settings)) == dump_table(made)
    assert lines == [f"{file} is gone; the run's own copy of it is used"]
    assert taken(replace(settings, table=str(tmp_path / "typo.json"))) is None
    save_table(made, file)
    assert taken(settings) is None
    assert len(lines) == 1


def test_another_budget_binds_what_comes_and_leaves_what_was(changed):
    trials = trials_of(changed)
    latencies = [trial["values"]["latency_ms"] for trial in trials]
    assert len({trial["arch"] for trial in trials}) == len(trials) == 30
    assert 4 < max(latencies[:12]) <= 8
    assert max(latencies[12:24]) <= 4
    assert 8 < max(latencies[24:]) <= 9
    record = json.loads((changed / "settings.json").read_text())
    assert record["phases"] == [
        {"until": 12, "budgets": {"latency_ms": 8.0}},
        {"until": 24, "budgets": {"latency_ms": 4.0}},
    ]
    assert record["settings"]["budgets"] == {"latency_ms": 9.0}
    assert record["finished"] == 30


@pytest.mark.parametrize("left", [26, 24, 29])
def test_a_run_with_changes_resumes_exactly(csv, changed, tmp_path, left):
    out = tmp_path / "run"
    shutil.copytree(changed, out)
    cut(out, left)
    search(csv, out, samples=30, budget="9ms")
    assert trials_of(out) == trials_of(changed)
    assert (out / "pareto.json").read_bytes() == (changed / "pareto.json").read_bytes()


def test_the_result_keeps_the_present_budget(csv, changed, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(changed, out)
    capsys.readouterr()
    search(csv, out, samples=30, budget="3.5ms")
    err = capsys.readouterr().err
    assert "new budgets from here on: latency 3.5 ms (so far: latency 9 ms)" in err
    assert len(trials_of(out)) == 30
    front = json.loads((out / "pareto.json").read_text())
    assert front
    assert all(n["latency_ms"]["predicted"] <= 3.5 for n in front)


def test_an_impossible_budget_changes_nothing(csv, changed, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(changed, out)
    before = (out / "settings.json").read_bytes()
    assert main(arguments(csv, out, samples=30, budget="1us")) == 2
    assert "no network of the space meets --latency-budget 0.001 ms" in capsys.readouterr().err
    assert (out / "settings.json").read_bytes() == before


def test_where_no_trial_keeps_a_budget_the_nearest_is_delivered_and_the_exit_code_says_so(
    csv, changed, tmp_path, capsys
):
    out = tmp_path / "run"
    shutil.copytree(changed, out)
    first, *others = trials_of(out)[:10]
    cheapest, second = sorted(trial["values"]["latency_ms"] for trial in [first, *others])[:2]
    assert first["values"]["latency_ms"] == cheapest

    def fail_first(record, trials):
        trials[:] = [{**first, "values": {}, "failed": "no luck"}, *others]

    as_version_1(out, fail_first)
    budget = round((cheapest + second) / 2, 3)
    with pytest.raises(SystemExit) as end:
        main(arguments(csv, out, samples=10, budget=f"{budget}ms"))
    assert end.value.code == 1
    near = next(trial["number"] for trial in others if trial["values"]["latency_ms"] == second)
    nearest = f"no network of the run meets its budget; the nearest is t{near:04d}: latency {second:.4g} ms predicted"
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"hwnas: {nearest}, ")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--image-size", "16"], 'contains a search with space_settings {}, this one has {"image_size": 16}'),
        (["--seed", "1"], "contains a search with seed 0, this one has 1"),
        (["--minimize", "macs"], 'contains a search with minimize ["latency"], this one has ["macs"]'),
    ],
)
def test_another_space_seed_or_objective_is_refused_in_one_line(csv, changed, capsys, option, message):
    capsys.readouterr()
    assert main(arguments(csv, changed, *option, samples=30)) == 2
    assert capsys.readouterr().err == f"hwnas: error: {changed} {message}; choose another --out\n"


def test_another_table_of_accuracies_is_refused(csv, changed, tmp_path, capsys):
    capsys.readouterr()
    text = csv.read_text()
    try:
        csv.write_text(text + text.splitlines()[-1] + "\n")
        assert main(arguments(csv, changed, samples=30, budget="9ms")) == 2
    finally:
        csv.write_text(text)
    assert "the data or the defaults have changed, choose another --out" in capsys.readouterr().err


def budgets(latency_ms):
    return {"latency_ms": latency_ms}


def test_phases_without_trials_are_none(tmp_path):
    def call(latency_ms, trials):
        run = create_run(tmp_path / "run", SearchSettings(budgets=budgets(latency_ms)), {})
        (tmp_path / "run" / "trials.jsonl").write_text('{"number": 0}\n')
        run.continue_from(trials)
        return Run.open(tmp_path / "run").phases

    assert call(8.0, 0) == []
    assert call(4.0, 10) == [Phase(10, budgets(8.0))]
    assert call(3.0, 10) == [Phase(10, budgets(8.0))]
    assert call(8.0, 10) == []
    assert call(4.0, 10) == [Phase(10, budgets(8.0))]
    assert call(4.0, 14) == [Phase(10, budgets(8.0))]
    assert call(5.0, 20) == [Phase(10, budgets(8.0)), Phase(20, budgets(4.0))]
    assert call(5.0, 15) == [Phase(10, budgets(8.0)), Phase(15, budgets(4.0))]
    assert call(4.0, 15) == [Phase(10, budgets(8.0))]


@pytest.mark.parametrize(
    "phases",
    [3, [3], [{}], [{"until": 1.5, "budgets": {}}], [{"until": 0, "budgets": {}}], [{"until": 5, "budgets": {"x": 1}}]],
)
def test_damaged_phases_are_refused(tmp_path, phases):
    create_run(tmp_path / "run", SearchSettings(), {})
    (tmp_path / "run" / "trials.jsonl").touch()
    as_version_1(tmp_path / "run", lambda record, trials: record.update(phases=phases))
    with pytest.raises(HwnasError, match=r"settings\.json cannot be read"):
        Run.open(tmp_path / "run")
