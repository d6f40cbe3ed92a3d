"""Searches for the best network within a budget instead of a front: trials are measured on a simulated device."""

from types import SimpleNamespace

import numpy as np
import pytest
from cells import trials_of
from measured_toys import DELIVERY, SPACE, Device, exact_table, search, true_ms, unhurried  # noqa: F401

import hwnas
from hwnas import HwnasError
from hwnas._pipeline._winner import find_candidates
from hwnas.run_directories import read_run

BUDGET = float(np.quantile([true_ms(arch) for arch in SPACE.sample(200, np.random.default_rng(0))], 0.6))
OPTIONS = {"samples": 40, "latency_budget": BUDGET, "strategy": "lamoo"}


class Larger(hwnas.Evaluator):
    """The slower a network is, the better, with less and less gain; a few are out of line."""

    name, measure = "larger", "score"
    settings = property(lambda self: {})

    def evaluate(self, arch):
        return hwnas.Evaluation(true_ms(arch) ** 0.5 + 0.002 * int(SPACE.encode(arch).sum() % 5))


def judged(result):
    """The best score within the budget, and the share of the trials that need at least three quarters of it."""
    within = [trial for trial in result.trials if trial.values["latency_ms"] <= BUDGET]
    near = [trial.values["latency_ms"] >= 0.75 * BUDGET for trial in result.trials]
    return max(trial.values["score"] for trial in within), float(np.mean(near))


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    return search(tmp_path_factory.mktemp("goal") / "best", Device(), evaluator=Larger(), goal="best", **OPTIONS)


def test_the_search_uses_the_budget_that_it_was_given(best, tmp_path):
    front = search(tmp_path / "front", Device(), evaluator=Larger(), **OPTIONS)
    assert judged(best)[0] >= judged(front)[0]
    assert judged(best)[1] > judged(front)[1] + 0.2
    assert [trial.text for trial in best.trials[:10]] == [trial.text for trial in front.trials[:10]]


def test_latencies_are_recorded_and_the_best_are_delivered(best):
    assert all(trial.values["latency_ms"] == pytest.approx(true_ms(trial.text), rel=1e-5) for trial in best.trials)
    scores = {trial.text: trial.values["score"] for trial in best.trials}
    surely = sorted(trial.values["score"] for trial in best.trials if trial.values["latency_ms"] < 0.98 * BUDGET)
    assert len(best.networks) == 3
    assert min(scores[network["arch"]] for network in best.networks) >= surely[-3]
    assert scores[best.pick()["arch"]] == max(scores[network["arch"]] for network in best.networks)
    assert all(network["within_budget"] for network in best.networks)


def test_the_next_best_are_delivered_whatever_the_front_holds():
    """Networks that the best one dominates count, too."""
    trials = [SimpleNamespace(number=i, codes=(0,) * len(SPACE.choices), values=v) for i, v in enumerate(alike(100))]
    context = SimpleNamespace(
        successful=trials, told_points=np.array([[-v["score"], v["latency_ms"]] for v in alike(100)])
    )
    objectives = [SimpleNamespace(name="score"), SimpleNamespace(name="latency_ms")]
    study = SimpleNamespace(
        context=lambda: context, problem=SimpleNamespace(objectives=objectives), front=lambda: trials[3:]
    )
    run = SimpleNamespace(settings=SimpleNamespace(goal="best", budgets={}, latency_column=None))
    setup = SimpleNamespace(run=run, metric=hwnas.Metric("score", "max"), space=SPACE)
    chosen = find_candidates(study, setup)
    assert {winner.trial for winner in chosen.first} == {0, 1, 2}
    assert [winner.trial for winner in chosen.spares[:3]] == [3, 4, 5]


def alike(count):
    """Values of networks: the first three are the best and as slow as each other, the others form a front."""
    rows = [{"score": 1000.0 - i, "latency_ms": 1000.0 + i} for i in range(3)]
    return rows + [{"score": 900.0 - i, "latency_ms": 900.0 - i} for i in range(count - 3)]


def test_where_nothing_keeps_the_budget_the_nearest_are_delivered(tmp_path):
    budget = 1.02 * min(true_ms(arch) for arch in SPACE.sample(400, np.random.default_rng(0)))

    def dearer(op):
        """Convolutions take longer than the table says."""
        return 2.0 if op.kind == "conv" else 1.0

    lines = []
    options = {"evaluator": Larger(), "goal": "best", "samples": 12, "latency_budget": budget, "lines": lines}
    result = search(tmp_path / "run", Device(slower=dearer), exact_table(dearer), **options)
    assert result.over_budget is not None
    progress = [line for line in lines if "of 12 samples: " in line]
    assert progress[0] == "1 of 12 samples: best score none yet", "there is no hypervolume without a front"
    measured = sorted(trial.values["latency_ms"] for trial in result.trials)
    delivered = [network["latency_ms"]["measured"] for network in result.networks]
    assert sorted(delivered) == pytest.approx(measured[:3], rel=1e-3)


def test_one_over_the_budget_is_replaced_by_the_next_best(best, tmp_path):
    scores = {trial.text: trial.values["score"] for trial in best.trials}
    first = next(trial for trial in best.trials if trial.text == best.pick("best")["arch"])

    class Slower(Device):
        """At the end, the best network takes longer than in its trial."""

        def load(self, graph, *, seed=0, tied=(), cold=False):
            runnable = super().load(graph, seed=seed)
            if seed >= DELIVERY and graph == SPACE.graph(first.arch):
                runnable.seconds = 1.2e-3 * BUDGET
            return runnable

    result = search(tmp_path / "run", Slower(), evaluator=Larger(), goal="best", **OPTIONS)
    delivered = {network["arch"]: scores[network["arch"]] for network in result.networks}
    others = [scores[network["arch"]] for network in best.networks if network["arch"] != first.text]
    assert [trial.text for trial in result.trials] == list(scores)
    assert first.text not in delivered
    assert len(delivered) == 3
    assert max(delivered.values()) >= max(others)


def test_a_search_that_was_stopped_continues_exactly(best, tmp_path):
    options = {"evaluator": Larger(), "goal": "best", **OPTIONS}
    search(tmp_path / "run", Device(), **{**options, "samples": 23})
    search(tmp_path / "run", Device(), **options)
    assert [t["codes"] for t in trials_of(tmp_path / "run")] == [t["codes"] for t in trials_of(best.path)]
    assert read_run(tmp_path / "run").run.settings.goal == "best"
    with pytest.raises(HwnasError, match="goal"):
        search(tmp_path / "run", Device(), **{**options, "goal": "front"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "--goal best needs a budget, like --latency-budget 4ms; without one, the largest network"),
        ({"latency_budget": 1.0, "strategy": "drnas"}, "--goal best is for strategies that learn from trials; drnas "),
        ({"tables": ["a.json", "b.json"]}, "--goal best searches for one device; leave --tables out"),
    ],
)
def test_what_the_goal_cannot_be_combined_with(given, message, tmp_path):
    with pytest.raises(HwnasError, match=message):
        hwnas.search("mobilenetv3", data="digits", goal="best", out=tmp_path / "run", **given)
    with pytest.raises(HwnasError, match="--goal must be front or best, got 'fast'"):
        hwnas.search("mobilenetv3", data="digits", goal="fast", out=tmp_path / "run", latency_budget=1.0)
