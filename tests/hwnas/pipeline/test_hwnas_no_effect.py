"""Options that would change nothing are refused, each in one line; and a search in which one trial counts goes on."""

import json

import pytest
from cells import search

from hwnas import HwnasError
from hwnas._cli import main
from hwnas._pipeline._effect import require_effect
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import make_space

BUDGET = {"latency_ms": 4.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low_fidelity_design": 12}, "--low-fidelity-design changes nothing without --low-fidelity"),
        ({"strategy": "lamoo-cheap"}, "--strategy lamoo-cheap changes nothing without --low-fidelity"),
        ({"strategy": "lamoo-low-fidelity"}, "--strategy lamoo-low-fidelity changes nothing without"),
        ({"strategy_options": {"low_fidelity_ratio": 3}}, "low_fidelity_ratio changes nothing without"),
        ({"memory_statistic": "arena"}, "--memory-statistic arena says what --memory-budget binds"),
        ({"latency_statistic": "p99", "latency_column": "ms"}, "--latency-statistic p99 is of latencies that are"),
    ],
)
def test_options_that_change_nothing_are_refused(given, message, tmp_path):
    settings = SearchSettings(**{"measure": "none", **given})
    with pytest.raises(HwnasError, match=message):
        require_effect(settings, tmp_path)
    (tmp_path / "trials.jsonl").write_text("{}\n")
    require_effect(settings, tmp_path)  # a run that began so goes on


def test_options_that_have_an_effect_are_not(tmp_path):
    for given in (
        {"low_fidelity": "naswot", "low_fidelity_design": 12},
        {"low_fidelity": "naswot", "strategy_options": {"low_fidelity_ratio": 3}},
        {"memory_statistic": "arena", "budgets": {"peak_memory_bytes": 1e6}},
        {"latency_statistic": "p99", "budgets": BUDGET},
    ):
        require_effect(SearchSettings(**given), tmp_path)


@pytest.mark.parametrize("measure", ["none", "winners"])
def test_latencies_of_a_column_need_no_statistic(csv, tmp_path, measure):
    out = tmp_path / "run"
    search(csv, out, "--measure", measure, samples=4)
    search(csv, out, "--measure", measure, samples=6)
    assert len((out / "trials.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    "more",
    [["--data-limit", "5"], ["--frames", "4"], ["--split-by", "2"]],
    ids=lambda more: more[0],
)
def test_options_of_data_need_data(csv, tmp_path, capsys, more):
    columns = ["--accuracy-column", "acc", "--latency-column", "ms", *more]
    command = ["search", "--space", "nasbench201", "--evaluator", f"table:{csv}", *columns, "--samples", "2"]
    command += ["--out", str(tmp_path / "run")]
    assert main(command) == 2
    assert capsys.readouterr().err.endswith(f"{more[0]} is of data, and this search has none; leave it out\n")


@pytest.mark.parametrize("samples", [1, 12])
@pytest.mark.parametrize("strategy", ["lamoo", "qehvi"])
def test_a_search_in_which_one_trial_counts_goes_on(tmp_path, samples, strategy):
    space = make_space("resnet", image_size=8, classes=4)
    rows = [space.format(space.decode(row)) for row in space_rows(space, 40)]
    lines = [f'"{arch}",{0.5 + i / 100:.2f},{1 if i == 7 else 9 + i / 100}' for i, arch in enumerate(rows)]
    (tmp_path / "few.csv").write_text("\n".join(["arch,acc,ms", *lines]) + "\n")
    command = ["search", "--space", "resnet", "--image-size", "8", "--classes", "4", "--strategy", strategy]
    command += ["--evaluator", f"table:{tmp_path / 'few.csv'}", "--accuracy-column", "acc", "--latency-column", "ms"]
    assert main([*command, "--samples", str(samples), "--out", str(tmp_path / "run"), "--begin-with", rows[7]]) == 0
    assert json.loads((tmp_path / "run" / "pareto.json").read_text())


def space_rows(space, count):
    """Codes of different networks."""
    import numpy as np

    drawn = space.sample(20 * count, np.random.default_rng(0))
    return [space.encode(arch) for arch in dict.fromkeys(drawn)][:count]
