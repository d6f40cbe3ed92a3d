"""Delivered networks: which meet the budget as measured, which others dominate, what is picked by what."""

import contextlib
import io
import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cells import search
from hypothesis import given
from run_toys import create_run
from test_hwnas_fuzz import change, quick, seeds

from hwnas import HwnasError, SearchResult, SearchSettings
from hwnas._cli import main
from hwnas._costs._space_costs import SpaceCosts
from hwnas._pipeline._choose import Chosen
from hwnas._pipeline._deliver import deliver_networks, validation_samples
from hwnas._pipeline._setup import SearchCosts, SearchSetup
from hwnas._pipeline._winner import Winner
from hwnas._runs._delivered import checks, described, dominators_of, judge, remarks, written_latency
from hwnas._runs._entries import require_networks
from hwnas._runs._front import PICKS, pick_network, pick_text
from hwnas._runs._list import find_runs
from hwnas._runs._run import Run
from hwnas.data import load_data
from hwnas.evaluators import make_evaluator
from hwnas.spaces import make_space
from hwnas.tasks import DEFAULT_METRIC, ImageClassification, Metric
from profilers import EnergyUnavailableError

BUDGETS = {"latency_ms": 2.0}
MSE = Metric("mse", "min", unit="lx", low=0.0)


def network(name, validation, measured, test=0.5, **more):
    latency = {"predicted": 1.9, "low": 1.8, "high": 2.0, "measured": measured, "measured_half_width": 0.01}
    latency |= {} if measured is None else {"statistic": "median"}
    found = {"id": name, "trial": 0, "arch": f"arch-{name}", "accuracy": test, "validation_accuracy": validation}
    found |= {
        "latency_ms": latency,
        "macs": 10,
        "params": 600_001,
        "peak_memory_bytes": 5,
        "onnx": f"models/{name}.onnx",
    }
    return found | {"images": {"test": 400, "validation": 100}} | more


def finished(path, networks, budgets=BUDGETS):
    """A run that handed these over, with files that hold their names."""
    run = create_run(path, SearchSettings(budgets=budgets, samples=200), {"evaluator": {}})
    run.folder("models")
    for n in networks:
        run.write(n["onnx"], n["id"].encode())
    run.write("trials.jsonl", "")
    run.write_pareto(networks)
    run.finish(0)
    return path


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    return captured.err.rstrip("\n").removeprefix("hwnas: error: ")


SOME_OVER = [network("a", 0.6, 1.0), network("b", 0.7, 1.995), network("c", 0.9, 2.1), network("d", 0.95, 2.5)]


def test_budgets_are_judged_by_what_was_measured():
    (check,) = checks(SOME_OVER[2], BUDGETS)
    assert (check.value, check.measured, check.within) == (2.1, True, False)
    assert check.text == "latency 2.1 ± 0.010 ms (median) measured, 5 % over the budget of 2 ms"
    (near,) = checks(SOME_OVER[1], BUDGETS)
    assert near.within
    assert near.text.endswith("0.25 % below the budget of 2 ms, within the error of the measurement")
    unmeasured = network("e", 0.6, None)
    (check,) = checks(unmeasured, BUDGETS)
    assert (check.value, check.measured, check.within, check.half_width) == (1.9, False, True, None)
    assert checks(unmeasured, {"latency_ms": 1.9 * (1 - 1e-7)})[0].within  # six digits are written
    assert not checks(unmeasured, {"latency_ms": 1.9 * (1 - 1e-4)})[0].within


def test_latencies_of_earlier_versions_are_their_q10():
    old = network("a", 0.6, 1.0)
    del old["latency_ms"]["statistic"]
    assert require_networks([old]) == [old]
    assert checks(old, BUDGETS)[0].text.startswith("latency 1 ± 0.010 ms (q10) measured, 50 % below ")
    assert written_latency(old) == "1 ± 0.010 ms (q10) measured"


@pytest.mark.parametrize(
    "nonsense",
    [{"statistic": "mean"}, {"raw": 3}, {"raw": {"q11": 1.0}}, {"at_table_speed": {"q10": "x"}}, {"slowness": [1]}],
)
def test_measured_latencies_are_checked(nonsense):
    entry = network("a", 0.6, 1.0)
    entry["latency_ms"] |= {"raw": {"q10": 1.0}, "slowness": 1.1, "after_pause": None}
    assert require_networks([entry]) == [entry]
    entry["latency_ms"] |= nonsense
    with pytest.raises(ValueError, match="latency_ms has an impossible value"):
        require_networks([entry])


def test_an_arena_is_compared_where_the_entry_says_so():
    entry = network("a", 0.6, 1.0, arena_bytes=900)
    assert checks(entry, {"peak_memory_bytes": 100.0})[0].value == 5
    (check,) = checks(entry | {"memory_statistic": "arena"}, {"peak_memory_bytes": 800.0})
    assert (check.value, check.within, check.statistic) == (900.0, False, "arena")
    assert check.text.startswith("memory 900 bytes (arena) measured, 12.5 % over the budget of 800 bytes")
    (unknown,) = checks(entry | {"memory_statistic": "arena", "arena_bytes": None}, {"peak_memory_bytes": 800.0})
    assert not unknown.within


def test_surely_within_is_beyond_the_error():
    near, safe = (checks(network("a", 0.6, ms), BUDGETS)[0] for ms in (1.995, 1.98))
    assert (near.within, near.surely_within, safe.surely_within) == (True, False, True)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_the_exit_code_says_that_nothing_meets_the_budget(monkeypatch, capsys, more):
    for networks, code in ((SOME_OVER, 0), (SOME_OVER[2:], 1)):
        judged = [dict(n) for n in networks]
        judge(judged, BUDGETS, ["latency_ms"])
        result = SearchResult(Path("run"), SearchSettings(budgets=BUDGETS), (), (), tuple(judged))
        monkeypatch.setattr("hwnas._api._search.watched_search", lambda *given, result=result: result)
        try:
            left = main(["search", *more])
        except SystemExit as leaving:
            left = leaving.code
        assert left == code
        err = capsys.readouterr().err
        text = "hwnas: no network of the run meets its budget; the nearest is c: latency 2.1 ± 0.010 ms (median) "
        assert err.startswith(text) == (code == 1)
        assert err.count("\n") == code
        advice = "; raise the budget or increase --samples, or export the nearest with "
        assert err.endswith(f"{advice}`hwnas export run --allow-over-budget`\n") == (code == 1)


def test_every_budget_counts_and_what_is_not_known_keeps_none():
    found = checks(SOME_OVER[0], {**BUDGETS, "params": 600_000.0, "macs": 10.0, "peak_memory_bytes": 4.0})
    assert [check.within for check in found] == [True, False, True, False]
    old = {name: value for name, value in SOME_OVER[0].items() if name != "macs"}
    assert not checks(old, {"macs": 1e9})[0].within
    assert math.isnan(
        checks(network("f", 0.5, None) | {"latency_ms": {"predicted": None, "measured": None}}, BUDGETS)[0].value
    )


def test_entries_say_which_budgets_they_keep():
    entries = [dict(n) for n in SOME_OVER]
    judge(entries, BUDGETS, ["latency_ms"])
    assert [n["within_budget"] for n in entries] == [True, True, False, False]
    assert entries[2]["budgets"]["latency_ms"] == {
        "upper": 2.0,
        "value": 2.1,
        "half_width": 0.01,
        "measured": True,
        "within": False,
        "statistic": "median",
    }
    judge(entries, {}, ["latency_ms"])
    assert all(n["within_budget"] is True and n["budgets"] == {} for n in entries)


def test_picks_go_by_validation_and_keep_the_budget():
    front = [network("a", 0.6, 1.0, test=0.9), network("b", 0.8, 1.2, test=0.6), *SOME_OVER[2:]]
    assert pick_network(front, "best", BUDGETS)["id"] == "b"
    over = pick_network(front, "best", BUDGETS, allow_over_budget=True)
    assert over["id"] == "d"
    kept = pick_network(front, "best", BUDGETS)
    judge([over, kept], BUDGETS, ["latency"])
    assert pick_text(kept, "best") == f"{pick_text(over, 'best')} within the budgets"
    assert pick_network(front, "fastest", BUDGETS)["id"] == "a"
    worse = [network(name, v, ms, test=1 - v) for name, v, ms in (("a", 0.5, 1.0), ("b", 0.9, 2.0), ("c", 0.92, 8.0))]
    assert pick_network(worse, "knee")["id"] == "b"
    assert pick_network(worse, "best")["id"] == "c"
    with pytest.raises(HwnasError, match=r"^c is over the budget: latency 2\.1 .* 5 % over .*--allow-over-budget$"):
        pick_network(front, "c", BUDGETS)
    assert pick_network(front, "c", BUDGETS, allow_over_budget=True)["id"] == "c"
    result = SearchResult(None, SearchSettings(budgets=BUDGETS), (), (), tuple(front))
    assert result.pick("best")["id"] == "b"
    assert result.pick("best", allow_over_budget=True)["id"] == "d"


def test_after_a_final_training_the_finished_networks_are_compared():
    front = [
        network("a", 0.9, 1.0, final_validation_accuracy=0.5),
        network("b", 0.8, 1.2, final_validation_accuracy=0.7),
    ]
    assert pick_network(front, "best")["id"] == "b"
    scores = [
        network(name, None, ms, score={"naswot": value}, final_validation_accuracy=final)
        for name, ms, value, final in (("a", 1.0, 9.0, 0.3), ("b", 1.1, 8.0, 0.6))
    ]
    assert pick_network(scores, "best")["id"] == "b"
    only = [{**n, "final_validation_accuracy": None} for n in scores]
    assert pick_network(only, "best")["id"] == "a"


def test_what_others_beat_as_measured_is_marked_and_never_picked():
    entries = [
        network("a", 0.6, 1.2),
        network("b", 0.6, 1.1),
        network("c", 0.9, 1.3, test=0.1),
        network("d", 0.7, 1.4, test=1.0),
    ]
    entries += [network("e", 0.95, 1.5)]
    judge(entries, BUDGETS, ["latency_ms"])
    assert [n["dominated_by"] for n in entries] == ["b", None, None, "c", None]
    kept = [n for n in entries if n["dominated_by"] is None]
    assert dominators_of(kept, ["latency_ms"]) == [None] * 3
    assert {pick_network(entries, pick)["id"] for pick in ("fastest", "knee", "best")} <= {"b", "c", "e"}
    assert pick_network(entries, "d")["id"] == "d"
    assert described(entries[3], BUDGETS).endswith("; dominated by c")
    assert "2 of 5 networks are dominated by another one, as measured: a by b, d by c" in remarks(entries, BUDGETS)
    smaller = [*entries[:1], entries[1] | {"params": 10**9}]
    assert dominators_of(smaller, ["latency_ms", "params"]) == [None, None]
    unmarked = [{k: v for k, v in n.items() if k != "dominated_by"} for n in entries]  # as earlier versions wrote
    assert {pick_network(unmarked, pick)["id"] for pick in ("fastest", "knee", "best")} <= {"b", "c", "e"}


def test_what_is_over_the_budget_beats_nothing_within_it():
    entries = [network("a", 0.6, 1.0), network("b", 0.9, 2.3), network("c", 0.9, 2.1)]
    judge(entries, BUDGETS, ["latency_ms"])
    assert pick_network(entries, "best", BUDGETS)["id"] == "a"
    assert pick_network(entries, "best", BUDGETS, allow_over_budget=True)["id"] == "c"


def with_error(name, mse, ms, **more):
    """A network with an error instead of an accuracy."""
    found = {key: value for key, value in network(name, None, ms).items() if "accuracy" not in key}
    return found | {"metric": MSE.as_dict(), "mse": mse + 0.1, "validation_mse": mse} | more


def test_less_error_is_better_everywhere():
    entries = [
        with_error("a", 3.0, 1.0),
        with_error("b", 1.0, 2.0),
        with_error("c", 2.0, 2.5),
        with_error("d", 1.3, 1.2),
    ]
    judge(entries, {}, ["latency_ms"])
    assert [entry["dominated_by"] for entry in entries] == [None, None, "b", None]
    assert {pick: pick_network(entries, pick)["id"] for pick in PICKS} == {"fastest": "a", "knee": "d", "best": "b"}
    assert described(entries[1], {}) == "arch-b, validation MSE 1 lx, test MSE 1.1 lx, 2 ± 0.010 ms (median) measured"
    assert remarks(entries[:2], {}) == []
    score = {"name": "e", "direction": "min", "score": True}
    values = (("a", 3.0, 1.0), ("b", 1.0, 2.0), ("c", 2.0, 2.5))
    scored = [network(name, None, ms, score={"e": value}, score_metric=score) for name, value, ms in values]
    assert dominators_of(scored, ["latency_ms"]) == [None, None, "b"]
    assert pick_network(scored, "best")["id"] == "b"


def test_entries_of_another_metric_are_checked():
    good = with_error("a", 3.0, 1.0)
    assert require_networks([good]) == [good]
    for bad in ({"mse": -1.0}, {"metric": {"name": "mse", "direction": "up"}}, {"metric": 3}, {"mse": None}):
        with pytest.raises(ValueError, match=r"."):
            require_networks([good | bad])
    with pytest.raises(ValueError, match="not a network"):
        require_networks([{name: value for name, value in good.items() if name != "validation_mse"}])


def test_sampling_errors_are_those_of_a_binomial_share():
    draws = np.random.default_rng(0).binomial(400, 0.9, 20000) / 400
    assert DEFAULT_METRIC.standard_error(0.9, 400) == pytest.approx(draws.std(), rel=0.03)
    assert 0.001 < DEFAULT_METRIC.standard_error(1.0, 400) < 0.0025
    assert DEFAULT_METRIC.standard_error(1.0, 400) == pytest.approx(DEFAULT_METRIC.standard_error(0.0, 400))
    assert described(SOME_OVER[0], BUDGETS) == (
        "arch-a, validation accuracy 60.00% ± 4.90%, test accuracy 50.00% ± 2.50% (± one standard error), "
        "1 ± 0.010 ms (median) measured"
    )
    old = {name: value for name, value in SOME_OVER[0].items() if name != "images"}
    assert "60.00%, test accuracy 50.00%, 1 ±" in described(old, BUDGETS)
    assert remarks([old], BUDGETS) == []
    assert remarks(SOME_OVER[:1], BUDGETS) == [
        "accuracy comes from 100 validation and 400 test samples: ± is one standard error, binomial"
    ]


@pytest.mark.parametrize("fresh", [True, False])
def test_export_ships_what_keeps_the_budget(tmp_path, capsys, fresh):
    """Also of a run of an earlier version, whose entries do not say what they keep."""
    entries = [dict(n) for n in SOME_OVER]
    if fresh:
        judge(entries, BUDGETS, ["latency_ms"])
    run, target = finished(tmp_path / "run", entries), tmp_path / "n.onnx"
    for pick in ("knee", "best", "fastest", "b"):
        assert main(["export", str(run), "--pick", pick, "-o", str(target)]) == 0
        assert target.read_bytes() in (b"a", b"b")
    assert refused(capsys, "export", run, "--pick", "d", "-o", target) == (
        "d is over the budget: latency 2.5 ± 0.010 ms (median) measured, 25 % over the budget of 2 ms; "
        "pick another one or add --allow-over-budget"
    )
    assert target.read_bytes() == b"b"
    assert main(["export", str(run), "--pick", "d", "--allow-over-budget", "-o", str(target)]) == 0
    assert target.read_bytes() == b"d"
    assert "; latency 2.5 ± 0.010 ms (median) measured, 25 % over the budget of 2 ms\n" in capsys.readouterr().out


def test_where_no_network_keeps_the_budget_the_nearest_is_named(tmp_path, capsys):
    run, target = finished(tmp_path / "run", SOME_OVER[2:]), tmp_path / "n.onnx"
    assert refused(capsys, "export", run, "-o", target) == (
        "no network of the run meets its budget; the nearest is c: latency 2.1 ± 0.010 ms (median) measured, "
        "5 % over the budget of 2 ms; add --allow-over-budget to export it anyway, or raise the budget, or increase "
        "--samples"
    )
    assert not target.exists()
    assert remarks(SOME_OVER[2:], BUDGETS)[0].startswith("all networks are over the budget: c: latency 2.1 ")


def test_runs_say_how_many_are_over_the_budget(tmp_path, capsys):
    finished(tmp_path / "r" / "one", SOME_OVER)
    finished(tmp_path / "r" / "two", SOME_OVER[:2])
    assert main(["runs", str(tmp_path / "r")]) == 0
    assert capsys.readouterr().out.splitlines()[3:] == ["one: 2 of 4 networks exceed the budget when measured"]
    assert [(info.networks, info.over_budget) for info in find_runs(tmp_path / "r")] == [(4, 2), (2, 0)]


NONSENSE = [{"latency_ms": 3}, {"latency_ms": {}}, {"accuracy": "x"}, {"validation_accuracy": True}, {"id": 3}]
NONSENSE += [{"onnx": []}, {"score": 1}, {"score": {"x": "y"}}, {"macs": None}, {"dominated_by": ["a"]}]
NONSENSE += [{"params": 10**400}, {"latency_ms": {"predicted": True, "measured": None}}, {"arch": None}]
NONSENSE += [{"images": {"validation": 10**400}}, {"images": 3}]
NONSENSE += [{"accuracy": None}, {"onnx": "../a.onnx"}, {"onnx": "/etc/hostname"}, {"onnx": "models/\ud800"}]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_entries_that_no_version_wrote_are_refused(tmp_path, capsys, nonsense):
    run = finished(tmp_path / "run", [])
    Run.open(run).write_pareto([network("a", 0.6, 1.0) | nonsense])
    assert "pareto.json is damaged" in refused(capsys, "export", run)
    assert main(["runs", str(run)]) == 0
    assert "damaged" in capsys.readouterr().out


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    entries = [dict(n) for n in SOME_OVER]
    judge(entries, BUDGETS, ["latency_ms"])
    return finished(tmp_path_factory.mktemp("fuzz") / "run", entries), entries


@quick
@given(seed=seeds)
def test_entries_of_any_content_with_a_right_hash_end_in_a_network_or_one_line(fuzzed, seed):
    run, entries = fuzzed
    rng, changed = random.Random(seed), json.loads(json.dumps(entries))
    for _ in range(rng.randint(1, 3)):
        change(changed, rng)
    with contextlib.suppress(ValueError):  # NaN and infinity cannot be hashed
        Run.open(run).write_pareto(changed)
    target = run.parent / "n.onnx"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["export", str(run), "--pick", rng.choice(["knee", "a", "best"]), "-o", str(target)])
    assert (code, err.getvalue().count("\n")) in ((0, 0), (2, 1)), err.getvalue()
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["runs", str(run)]) == 0


@pytest.mark.parametrize("budget", ["8ms", None])
def test_latencies_of_a_column_count_where_they_are_no_objective(csv, tmp_path, capsys, budget):
    more = ["--space-option", "cells=1", "--minimize", "macs"]
    out = search(csv, tmp_path / "run", *more, samples=12, budget=budget)
    networks = Run.open(out).pareto()
    latencies = [one["latency_ms"]["predicted"] for one in networks]
    assert all(0 < latency < 20 for latency in latencies)
    if budget is not None:
        assert all(one["within_budget"] for one in networks)
        assert all(one["budgets"]["latency_ms"]["value"] <= 8 for one in networks)
    assert pick_network(networks, "fastest", {})["latency_ms"]["predicted"] == min(latencies)


def test_what_is_not_known_beats_nothing():
    latency = {"predicted": None, "measured": None}
    networks = [network(name, 0.5 + i / 10, None, latency_ms=latency) for i, name in enumerate("ab")]
    assert dominators_of(networks, ["latency_ms"]).count(None) >= 1
    assert pick_network(networks, "knee", {}) in networks
    (check,) = checks(networks[0], {"latency_ms": 3.0})
    assert check.as_dict()["value"] is None


class ConstantRunnable:
    """A network that takes the same time whenever it is asked."""

    def __init__(self, seconds):
        self.seconds = seconds

    def run(self, repeats):
        return repeats * self.seconds


class SlowDevice:
    """Takes 3 ms for whatever it gets."""

    image_channels = 1
    times_one_inference = True

    def load(self, graph, *, seed=0, tied=(), cold=False):
        return ConstantRunnable(3e-3)

    def load_trained(self, graph, weights, path):
        return ConstantRunnable(3e-3)

    def arena_bytes(self, files):
        return [None] * len(files)

    def energy_counter(self):
        raise EnergyUnavailableError("no counter")


@pytest.mark.parametrize("finalize", ["none", "train"])
def test_the_delivery_judges_and_says_so(tmp_path, monkeypatch, finalize):
    space = make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)
    task = ImageClassification(load_data("digits", limit=60))
    evaluator = make_evaluator("train", space, task, epochs=1, batch_size=20)
    evaluator.prepare(tmp_path / "evaluator")
    settings = SearchSettings(space="nasbench201", budgets={"latency_ms": 2.0, "macs": 1e9}, finalize=finalize)
    run = create_run(tmp_path / "run", settings, {"evaluator": evaluator.settings})
    absent = dict.fromkeys(("low_fidelity", "strategy", "problem_with", "problem"))
    journal = SimpleNamespace(records=[{}] * 5)
    monkeypatch.setattr("hwnas._pipeline._deliver.doubt", lambda name, *accuracies: f"{name} is odd")
    parts = SearchSetup(
        run,
        journal,
        SlowDevice(),
        space,
        task,
        evaluator,
        costs=SearchCosts(SpaceCosts(space, None), {}, None),
        **absent,
    )
    archs = list(dict.fromkeys(space.sample(4, np.random.default_rng(1))))[:2]
    winners = [Winner(i, arch, {"accuracy": 0.3 + i / 10, "latency_ms": 1.5 + i / 10}) for i, arch in enumerate(archs)]
    said = []
    entries = deliver_networks(parts, Chosen(winners), said.append)
    assert run.pareto() == json.loads(json.dumps(entries))
    assert [n["within_budget"] for n in entries] == [False, False]
    assert entries[0]["budgets"]["macs"]["within"]
    final = {"final_validation": task.size("validation")} if finalize == "train" else {}
    assert entries[0]["images"] == {"test": task.size("test"), "validation": task.size("validation"), **final}
    assert ("final_validation_accuracy" in entries[0]) == (finalize == "train")
    assert [n.get("doubt") for n in entries] == (["t0000 is odd", "t0001 is odd"] if finalize == "none" else [None] * 2)
    assert ("t0001 is odd" in said) == (finalize == "none")
    if finalize == "none":  # both take 3 ms, and the second has the better validation accuracy
        assert [n["dominated_by"] for n in entries] == ["t0001", None]
    assert any(line.startswith("all networks are over the budget: t0000: latency 3 ") for line in said)
    assert any(line.startswith("t0000: test accuracy ") and "% ± " in line for line in said)
    assert sum("± is one standard error" in line for line in said) == 1


def test_accuracies_from_elsewhere_have_no_error_of_ours(tmp_path):
    task = SimpleNamespace(fingerprint="x", size={"validation": 7}.get)
    for identity, found in (({"evaluator": {"data": "x"}}, 7), ({"evaluator": {}}, None), ({}, None)):
        run = SimpleNamespace(identity=identity)
        assert validation_samples(SimpleNamespace(run=run, task=task)) == found
