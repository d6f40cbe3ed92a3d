"""Trials of another run as the first ones of a search."""

import json
import shutil

import pytest
from cells import arguments, search, trials_of

from hwnas._cli import main
from hwnas._pipeline._search import run_search
from hwnas._runs._settings import SearchSettings


def refused(csv, out, capsys, *more, **options):
    """The line that a search is refused with."""
    assert main(arguments(csv, out, *more, **options)) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def values(folder):
    return {trial["arch"]: trial["values"] for trial in trials_of(folder)}


def test_another_strategy_begins_with_all_trials_and_evaluates_none_twice(csv, tmp_path):
    before = search(csv, tmp_path / "a", samples=30, strategy="random")
    after = search(csv, tmp_path / "b", "--warm-start", before, samples=40, strategy="nsga2")
    trials = trials_of(after)
    assert len(trials) == 40
    assert [trial["arch"] for trial in trials[:30]] == [trial["arch"] for trial in trials_of(before)]
    assert [trial.get("from") for trial in trials] == [str(before)] * 30 + [None] * 10
    assert values(before).items() <= values(after).items()
    assert len(values(after)) == 40


def test_a_search_goes_on_without_the_other_run_and_ends_the_same(csv, tmp_path):
    before = search(csv, tmp_path / "a", samples=12, strategy="random")
    search(csv, tmp_path / "whole", "--warm-start", before, samples=30)
    search(csv, tmp_path / "parts", "--warm-start", before, samples=16)
    shutil.rmtree(before)
    search(csv, tmp_path / "parts", samples=18)
    search(csv, tmp_path / "parts", "--warm-start", before, samples=30)
    whole, parts = (trials_of(tmp_path / name) for name in ("whole", "parts"))
    assert [trial["codes"] for trial in whole] == [trial["codes"] for trial in parts]


def test_few_trials_are_filled_up_and_what_breaks_the_budget_is_left_out(csv, tmp_path):
    before = search(csv, tmp_path / "a", samples=20, strategy="random", budget=None)
    after = search(csv, tmp_path / "b", "--warm-start", before, samples=15, budget="4ms")
    within = [trial["arch"] for trial in trials_of(before) if trial["values"]["latency_ms"] <= 4]
    trials = trials_of(after)
    assert 0 < len(within) < 10
    assert [trial["arch"] for trial in trials if "from" in trial] == within
    assert [trial["number"] for trial in trials] == list(range(15))


def test_budgets_that_change_later_find_the_rest_of_the_trials_and_leave_no_gap(csv, tmp_path):
    before = search(csv, tmp_path / "a", samples=60, strategy="random", budget=None)
    first = [trial["arch"] for trial in trials_of(before)]
    out = search(csv, tmp_path / "b", "--warm-start", before, samples=12, budget="3ms")
    for samples, budget in ((40, "5ms"), (50, "4ms"), (90, None), (95, "8ms")):
        search(csv, out, samples=samples, budget=budget)
        assert [trial["number"] for trial in trials_of(out)] == list(range(samples))
    taken = [trial["arch"] for trial in trials_of(out) if "from" in trial]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(first)
    assert len(taken) > 40


def test_what_would_have_been_evaluated_otherwise_is_refused(csv, tmp_path, capsys):
    before = search(csv, tmp_path / "a", samples=5, strategy="random")
    other = tmp_path / "other.csv"
    other.write_text(csv.read_text().replace(",0.5", ",0.4"))
    line = refused(other, tmp_path / "b", capsys, "--warm-start", before)
    assert line.startswith(f"hwnas: error: --warm-start {before}: its evaluator.")
    assert line.endswith("so values differ; leave --warm-start out")
    assert refused(csv, tmp_path / "b", capsys, "--warm-start", tmp_path / "none").endswith(
        "no such run; name the folder of a search (see `hwnas runs`)"
    )
    assert "is not a run of hwnas" in refused(csv, tmp_path / "b", capsys, "--warm-start", tmp_path)
    assert not (tmp_path / "b").exists()
    search(csv, tmp_path / "b", samples=12)
    assert "was started without --warm-start" in refused(
        csv, tmp_path / "b", capsys, "--warm-start", before, samples=20
    )


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damaged_first_trials_are_refused(csv, tmp_path, capsys, damage):
    before = search(csv, tmp_path / "a", samples=5, strategy="random")
    out = search(csv, tmp_path / "b", "--warm-start", before, samples=12)
    file = out / "warm-start.json"
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_text(file.read_text()[:40])
    else:
        body = json.loads(file.read_text())
        body["trials"] = dict.fromkeys(body["trials"], 0.5)
        file.write_text(json.dumps(body))
    line = refused(csv, out, capsys, "--warm-start", before, samples=20)
    assert "warm-start.json" in line
    assert "restore it or choose another --out" in line


def test_a_trained_supernet_comes_along(tmp_path):
    settings = {"preset": "tiny", "resolution": [8], "width": [0.5]}
    common = {"space_settings": settings, "data_limit": 60, "evaluator_options": {"epochs": 1}, "samples": 3}
    common |= {"minimize": ("macs",), "table": str(table_of(settings, tmp_path))}
    first = run_search(SearchSettings(**common, strategy="random"), tmp_path / "a")
    said = []
    second = SearchSettings(**common, strategy="mutation", warm_start=str(first.path))
    run_search(second, tmp_path / "b", progress=said.append)
    assert f"the supernet is copied from {first.path}" in said
    kept = [(tmp_path / name / "evaluator" / "supernet.pt").read_bytes() for name in "ab"]
    assert kept[0] == kept[1]
    assert values(tmp_path / "a") == values(tmp_path / "b")


def table_of(settings, folder):
    """A table of made-up prices for this machine."""
    from hwnas._tables._build import build_table
    from hwnas.spaces import make_space
    from profilers import OnnxRuntimeBackend, SamplingSettings

    space = make_space("mobilenetv3", image_channels=1, classes=10, **settings)
    quick = SamplingSettings(min_rounds=3, max_rounds=3)
    build_table(space, OnnxRuntimeBackend(threads=1, image_channels=1), folder / "t.json", networks=2, settings=quick)
    return folder / "t.json"
