"""A one-shot method as the strategy of a search: its networks are ordinary trials."""

import json
import shutil

import numpy as np
import pytest
import torch
from made_tables import made_table
from simulated_device import AdditiveBackend

import hwnas
from hwnas._cli import main
from hwnas._common._canvas import pictures_of
from hwnas._pipeline._measuring_cost import MeasuringCost
from hwnas._pipeline._oneshot import counted_cost
from hwnas._pipeline._oneshot_strategy import OneShotStrategy
from hwnas._pipeline._strategies import make_strategy, strategy_options
from hwnas._report._distribution import distribution_plot, distribution_section
from hwnas._runs._compare import compare_runs
from hwnas._runs._settings import SearchSettings
from hwnas.costs import SpaceCosts, make_problem
from hwnas.oneshot import EpochRecord, TrainingRecord, read_training
from hwnas.testing._oneshot import KnownSpace
from search import SearchError, Study

torch.set_num_threads(1)
SPACE = KnownSpace()
TABLE = made_table(SPACE, None)
COSTS = SpaceCosts(SPACE, TABLE)
GRID = SPACE.canonical_codes(np.indices(SPACE.cardinalities).reshape(len(SPACE.choices), -1).T)
PRICES = dict(zip(map(tuple, GRID.tolist()), COSTS.latency_ms(GRID).tolist(), strict=True))
BUDGET = float(np.median(list(PRICES.values())))


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})


def search(out, lines=None, **more):
    options = {"strategy": "dmasking", "samples": 14, "epochs": 2, "data_limit": 80, **more}
    told = (lines if lines is not None else []).append
    options = {"table": TABLE, "offline": True, **options}
    return hwnas.search(options.pop("space", SPACE), data="digits", out=out, progress=told, **options)


def trials(out):
    return [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]


def proposed(out):
    return [tuple(trial["codes"]) for trial in trials(out)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas._report._write._pictures", lambda shown: {})
        out = tmp_path_factory.mktemp("oneshot") / "run"
        lines = []
        search(out, lines, latency_budget=BUDGET)
        return out, lines


def test_its_networks_are_trials_within_the_budget_each_once(whole):
    out, _ = whole
    rows = proposed(out)
    assert len(set(rows)) == len(rows) == 14
    assert max(PRICES[row] for row in rows) <= BUDGET
    record = read_training(out / "evaluator" / "oneshot.json")
    assert (record.method, record.cost, record.reference, record.is_budget) == ("dmasking", "latency_ms", BUDGET, True)
    assert len(record.epochs) == 2
    assert (out / "report.html").is_file()
    assert json.loads((out / "pareto.json").read_text())


def test_report_and_comparison_state_what_the_training_cost(whole, tmp_path):
    out, lines = whole
    record = read_training(out / "evaluator" / "oneshot.json")
    assert record.cost_line in lines
    assert "train samples" in record.cost_line
    page = (out / "report.html").read_text()
    assert "<h2>How the distribution developed</h2>" in page
    assert f"<p>{record.cost_line}. The expected latency counted in the loss as a share of" in page
    assert page.count("<dt>kernel0</dt>") >= 1
    shutil.copytree(out, tmp_path / "copy")
    comparison = compare_runs([out, tmp_path / "copy"])
    assert sum(record.cost_line in note for note in comparison.notes) == 2
    assert comparison.as_dict()["runs"][0]["training"]["samples"] == record.train_samples


def test_the_picture_and_other_snapshots(tmp_path):
    record = record_of([[[0.9, 0.1], [0.004, 0.5, 0.496], [1 / 3] * 3, [1 / 3] * 3]] * 2)
    record.epochs = [EpochRecord(record.snapshots[0], 0.5, 0.3), EpochRecord(record.snapshots[0], 0.4, 0.2)]
    picture = pictures_of(lambda: {"distribution": distribution_plot(record)})
    section = distribution_section(record, picture)
    assert "data:image/png;base64," in section
    assert section.count("<details><summary>Distribution 1 of 2</summary>") == 1
    assert "1 more below 0.5%" in section
    assert "<span class=more>3 <small>50%</small></span>" in section


def test_the_first_one_is_the_most_probable_network_within_the_budget(whole):
    out, _ = whole
    distribution = read_training(out / "evaluator" / "oneshot.json").snapshots[0]

    def log_probability(row):
        return sum(np.log(distribution[column][code]) for column, code in enumerate(row))

    within = [row for row, price in PRICES.items() if price <= BUDGET]
    assert proposed(out)[0] == max(within, key=log_probability)


def test_more_samples_continue_without_another_training(whole, tmp_path):
    out, _ = whole
    before, trained = trials(out), (out / "evaluator" / "oneshot.json").read_bytes()
    lines = []
    search(out, lines, latency_budget=BUDGET, samples=17)
    assert trials(out)[:14] == before
    assert len(trials(out)) == 17
    assert "continuing after 14 trials" in lines
    assert (out / "evaluator" / "oneshot.json").read_bytes() == trained
    assert not any("loss" in line for line in lines)
    assert any(line.startswith("dmasking: 2 epochs, ") for line in lines)


class Killed(BaseException):
    """The process ends here."""


def test_a_search_that_is_cut_in_training_and_in_its_trials_ends_as_the_whole_one(whole, tmp_path, monkeypatch):
    from hwnas.evaluators import OneShotEvaluator
    from hwnas.training import _loop

    first = proposed(whole[0])[:14]
    save, evaluate = _loop._save, OneShotEvaluator.evaluate
    counted = {"epochs": 0, "trials": 0}

    def cut_training(job, optimizer, average, epoch):
        save(job, optimizer, average, epoch)
        counted["epochs"] += 1
        if counted["epochs"] == 2:
            raise Killed

    def cut_trials(evaluator, arch):
        counted["trials"] += 1
        if counted["trials"] == 5:
            raise Killed
        return evaluate(evaluator, arch)

    monkeypatch.setattr(_loop, "_save", cut_training)
    with pytest.raises(Killed):
        search(tmp_path / "run", latency_budget=BUDGET)
    monkeypatch.setattr(OneShotEvaluator, "evaluate", cut_trials)
    with pytest.raises(Killed):
        search(tmp_path / "run", latency_budget=BUDGET)
    search(tmp_path / "run", latency_budget=BUDGET)
    assert proposed(tmp_path / "run") == first
    values = [[trial["values"] for trial in trials(out)[:14]] for out in (whole[0], tmp_path / "run")]
    assert values[0] == values[1]


def test_another_budget_continues_on_the_same_distribution(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole[0], out)
    count, trained = len(trials(out)), (out / "evaluator" / "oneshot.json").read_bytes()
    looser, lines = 1.3 * BUDGET, []
    search(out, lines, latency_budget=looser, samples=count + 8)
    more = proposed(out)[count:]
    assert len(more) == 8
    assert max(PRICES[row] for row in more) <= looser
    assert any(PRICES[row] > BUDGET for row in more)
    assert (out / "evaluator" / "oneshot.json").read_bytes() == trained
    search(out, lines, latency_budget=looser, samples=count + 9)  # what was proposed can be proposed again
    assert lines[-1].startswith("report")


def test_a_damaged_distribution_stops_a_run_with_trials(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole[0], out)
    (out / "evaluator" / "oneshot.json").write_text("{}")
    with pytest.raises(hwnas.HwnasError, match=r"oneshot.json is missing or damaged; restore it"):
        search(out, latency_budget=BUDGET, samples=30)


def record_of(distributions, cost="latency_ms"):
    values = [[str(value) for value in choice.values] for choice in SPACE.choices]
    record = TrainingRecord("dmasking", {}, [choice.name for choice in SPACE.choices], values, cost, 1.0)
    record.snapshots = distributions
    return record


def opened(folder, distributions, budgets, **options):
    """A strategy of such a training, its problem, and the first rows that it gives."""
    record_of(distributions).write(folder / "oneshot.json")
    strategy = OneShotStrategy("dmasking", options).bound(folder / "oneshot.json", COSTS)
    problem = make_problem(SPACE, {"latency_ms": COSTS.latency_ms}, ("latency",), budgets)
    return strategy, problem, strategy.opening(problem, 10, 0)


@pytest.mark.parametrize("budget", [None, BUDGET])
def test_the_ladder_goes_down_from_the_best_network_to_cheap_ones(tmp_path, budget):
    """Each rung gives the most probable network within it; the first is the budget, or no bound."""
    dearest = max(PRICES, key=lambda row: PRICES[row])
    shares = [
        np.linspace(0.1, 0.4, n) + 1.0 * (np.arange(n) == code)
        for code, n in zip(dearest, SPACE.cardinalities, strict=True)
    ]
    distribution = [(own / own.sum()).tolist() for own in shares]
    budgets = {} if budget is None else {"latency_ms": budget}
    strategy, problem, first = opened(tmp_path, [distribution], budgets, rungs=6)
    rungs = [rung.get("latency", np.inf) for rung in strategy.sources[0].ladder(problem)]
    assert len(rungs) == 6
    assert rungs == sorted(rungs, reverse=True)
    assert rungs[0] == (budget or np.inf)

    def log_probability(row):
        return sum(np.log(distribution[column][code]) for column, code in enumerate(row))

    best = [max((row for row, price in PRICES.items() if price <= rung), key=log_probability) for rung in rungs]
    expected = list(dict.fromkeys(best))
    assert len(expected) > 2
    assert [tuple(row) for row in first.tolist()][: len(expected)] == expected


def test_every_snapshot_has_networks(tmp_path):
    left = [[1.0 - 1e-6, 1e-6 / (n - 1)] + [1e-6 / (n - 1)] * (n - 2) for n in SPACE.cardinalities]
    right = [vector[::-1] for vector in left]
    _, _, first = opened(tmp_path, [left, right], {})
    assert first[0].tolist() == [0] * len(SPACE.choices)
    assert first[1].tolist() == [n - 1 for n in SPACE.cardinalities]


def test_a_decided_distribution_still_gives_the_whole_space_within_a_budget(tmp_path):
    hot = [[1.0, *[0.0] * (n - 1)] for n in SPACE.cardinalities]
    cheap = sorted(set(PRICES.values()))[20]
    strategy, problem, first = opened(tmp_path, [hot], {"latency_ms": cheap})
    study = Study(problem, strategy, seed=0, initial=10, batch=5, first=first)
    while proposals := study.ask():
        for proposal in proposals:
            study.tell(proposal.number, {"accuracy": 0.5})
    rows = [trial.codes for trial in study.trials]
    assert len(rows) == len(set(rows)) == sum(price <= cheap for price in PRICES.values())


def test_the_cost_that_counts_is_the_one_with_a_budget():
    assert counted_cost(SearchSettings()) == "latency_ms"
    assert counted_cost(SearchSettings(minimize=("macs",))) == "macs"
    assert counted_cost(SearchSettings(minimize=("macs",), budgets={"latency_ms": 4.0})) == "latency_ms"
    settings = SearchSettings(minimize=("latency", "params"), budgets={"macs": 1e6, "params": 9})
    assert counted_cost(settings) == "params"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"evaluator": "train"}, "needs --evaluator supernet, got train"),
        ({"low_fidelity": "synflow"}, "needs --strategy lamoo"),
        ({"strategy_options": {"tau": 0}}, "option tau must be a number from 0.001 to 1000, got 0"),
        ({"strategy_options": {"size": 3}}, "has no option 'size'"),
        ({"supernet_sampling": "bestup"}, "leave out --supernet-sampling"),
        ({"warm_start": "other"}, "leave out --warm-start"),
        ({"precision": "mixed"}, "cannot choose a precision for each block"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(tmp_path, options, line):
    with pytest.raises(hwnas.Errors, match=line) as caught:
        search(tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_trials_are_measured_and_expected_within_the_budget(tmp_path):
    """Estimates are corrected by what is measured, and networks are proposed that are expected within the budget."""
    table = hwnas.profile(SPACE, AdditiveBackend(image_channels=1), out=tmp_path / "table.json", networks=2)
    budget = float(np.median(SpaceCosts(SPACE, table).latency_ms(GRID)))
    device = AdditiveBackend(image_channels=1, slower=lambda op: 1.2)
    more = {"table": table, "device": device, "offline": False, "measure": "trials", "samples": 20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MeasuringCost, "allowance_s", lambda cost, trials: 1e6)
        search(tmp_path / "run", latency_budget=budget, **more)
        search(tmp_path / "run", latency_budget=budget, **{**more, "samples": 22})  # proposed again, as they were
    measured = trials(tmp_path / "run")
    assert len(measured) == 22
    assert len(set(proposed(tmp_path / "run"))) == 22
    assert all("latency_ms" in trial["measurements"] for trial in measured)
    assert max(trial["values"]["latency_ms"] for trial in measured) <= 1.05 * budget


class Closed(hwnas.Space):
    """Not a choice graph."""

    name = "closed"

    def __init__(self):
        self.inner = KnownSpace()

    @property
    def settings(self):
        return {}

    @property
    def choices(self):
        return self.inner.choices

    def graph(self, arch):
        return self.inner.graph(arch)


def test_a_space_that_cannot_be_mixed_is_refused(tmp_path):
    with pytest.raises(hwnas.Errors, match="not stated as a choice graph"):
        search(tmp_path / "run", space=Closed())


def test_the_command_line_knows_it(tmp_path, capsys):
    assert main(["search", "--strategy", "dmasking", "--evaluator", "synflow", "--out", str(tmp_path / "run")]) == 2
    assert "needs --evaluator supernet, got synflow" in capsys.readouterr().err


def test_it_proposes_in_a_search_alone():
    problem = make_problem(SPACE, {"latency_ms": COSTS.latency_ms}, ("latency",), {})
    with pytest.raises(hwnas.HwnasError, match="proposes what a search has trained"):
        make_strategy("dmasking").opening(problem, 1, 0)
    assert [option.name for option in strategy_options("dmasking")][-3:] == ["rungs", "cost", "single"]
    assert make_strategy("dmasking", tau=2.0).name == "dmasking(tau=2.0)"
    with pytest.raises(SearchError, match="unknown strategy"):
        make_strategy("nosuch")
