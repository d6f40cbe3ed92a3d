"""The report: what it says, and that a browser shows it whole, narrow or wide."""

import re
from dataclasses import replace

import numpy as np
import pytest
from browser import ask
from cells import search
from reports import COSTS, SPACE, TABLES, TINY, make_report, measured

from hwnas._pipeline._problem import make_problem
from hwnas._report import write_report
from hwnas._report._choices import favour_table, favours
from hwnas._report._curves import make_curves
from hwnas._report._networks import final_training
from hwnas._report._plots import hypervolume_plot
from hwnas._report._time import CORE_CROSSINGS, MEMORY, START, time_plot, time_spent
from hwnas._tables._validate import space_of
from hwnas.spaces import make_space
from hwnas.tasks import DEFAULT_METRIC
from latency_tables import load_table
from search import Constraint, Objective, Trial

CELLS = load_table(TABLES / "nasbench201-32px-1-thread-intel-xeon.json")
SHARED = load_table(TABLES / "nasbench201-32px-2-threads-intel-xeon.json")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A run of 40 random trials whose accuracy grows with MACs, reported; its name wants escaping."""
    return make_report(tmp_path_factory.mktemp("report") / "a<b>&c")


@pytest.mark.parametrize("table", [TINY, CELLS, SHARED])
def test_the_parts_of_the_time_add_up_to_the_prediction(table):
    space = space_of(table)
    archs = space.sample(5, np.random.default_rng(1))
    spent = time_spent(space, table, [{"id": f"t{i}", "arch": space.format(arch)} for i, arch in enumerate(archs)])
    for arch, one in zip(archs, spent, strict=True):
        assert sum(one.parts.values()) == pytest.approx(table.price(space.graph(arch)).value_ms, rel=1e-9)
        assert START in one.parts
        times = [ms for _, ms in one.costliest]
        assert times == sorted(times, reverse=True)
    groups = {group for one in spent for group in one.parts} - {START, CORE_CROSSINGS, MEMORY}
    assert all((CORE_CROSSINGS in one.parts) == (table is SHARED) for one in spent)
    assert {"stem", "head"} < groups if table is TINY else all("stage" not in group for group in groups)
    assert time_plot(spent).startswith(b"\x89PNG")


def test_fitted_tables_and_runs_without_one_have_no_parts():
    assert time_spent(SPACE, None, []) == []
    fitted = replace(TINY, identity={"device": "phone", "protocol": "whole-network-fit-v1"})
    arch = SPACE.sample(1, np.random.default_rng(0))[0]
    assert time_spent(SPACE, fitted, [{"id": "t0", "arch": SPACE.format(arch)}]) == []


def test_what_the_front_favours_is_told_from_chance():
    space = make_space("mobilenetv3", resolution=[8, 16], width=[0.5, 1.0])
    rng = np.random.default_rng(0)
    rows = space.canonical_codes(rng.integers(0, space.cardinalities, (300, len(space.choices))))
    trials = [Trial(i, tuple(row)) for i, row in enumerate(rows.tolist())]
    front = [trial for trial in trials if trial.codes[1] == 1][:30]
    found = favours(space, front, trials)
    assert found[0].name == "resolution"
    small, large = found[0].shares
    assert (small.value, small.front, small.favoured) == (8, 0.0, -1)
    assert (large.value, large.front, large.favoured) == (16, 1.0, 1)
    by_name = {favour.name: favour for favour in found}
    deep = sum(trial.codes[2] > 0 for trial in front)
    assert by_name["stage0.block1.kernel"].networks == deep < 30 == by_name["stage0.block0.kernel"].networks
    strengths = [favour.strength for favour in found]
    assert strengths == sorted(strengths, reverse=True)
    few = favours(
        space, [trial for trial in front if trial.codes[2] == 0][:8] + [t for t in front if t.codes[2]][:2], trials
    )
    assert "stage0.block1.kernel" not in {favour.name for favour in few}  # it matters in two networks of ten
    page = favour_table(found, len(front), len(trials))
    assert "<span class=more><b>16</b> 100% " in page
    assert "<span class=less><b>8</b> 0% " in page


def test_hypervolume_over_time_counts_every_second(reported):
    _, study = reported
    seconds = {trial.number: 0.5 + trial.number for trial in study.trials}
    curves = make_curves(study.problem, study.trials, DEFAULT_METRIC, seconds)
    assert curves.seconds[-1] == pytest.approx(sum(seconds.values()))
    assert (np.diff(curves.seconds) > 0).all()
    assert make_curves(study.problem, study.trials, DEFAULT_METRIC, {}).seconds is None
    assert make_curves(study.problem, study.trials, DEFAULT_METRIC).seconds is None


def test_a_search_for_the_best_network_shows_its_value_so_far(reported):
    _, study = reported
    latencies = np.array([trial.values["latency_ms"] for trial in study.trials])
    limit = float(np.median(latencies))
    tight = make_problem(SPACE, {"latency_ms": COSTS.latency_ms}, ["latency"], {"latency_ms": limit})
    curves = make_curves(tight, study.trials, DEFAULT_METRIC, goal="best")
    within = [trial.values["accuracy"] if trial.values["latency_ms"] <= limit else 0.0 for trial in study.trials]
    expected = np.maximum.accumulate(within)[curves.samples - 1]
    assert np.nan_to_num(curves.volumes).tolist() == expected.tolist()
    assert (np.diff(expected) > 0).any()
    assert hypervolume_plot(curves).startswith(b"\x89PNG")


def test_trials_outside_the_budget_are_on_no_front(reported):
    _, study = reported
    latencies = np.array([trial.values["latency_ms"] for trial in study.trials])
    tight = make_problem(
        SPACE, {"latency_ms": COSTS.latency_ms}, ["latency"], {"latency_ms": float(np.median(latencies))}
    )
    curves = make_curves(tight, study.trials, DEFAULT_METRIC)
    assert (curves.costs[curves.on_front] <= np.median(latencies)).all()
    assert len(curves.costs) == 40


def test_told_values_decide_about_an_estimated_budget(reported):
    _, study = reported
    median = float(np.median([trial.values["latency_ms"] for trial in study.trials]))

    def half(codes):
        return 0.5 * COSTS.latency_ms(codes)

    latency = Objective("latency_ms", "min", half, estimated=True)
    budget = Constraint("latency_ms", half, median, estimated=True)
    problem = replace(study.problem, objectives=(study.problem.objectives[0], latency), constraints=(budget,))
    curves = make_curves(problem, study.trials, DEFAULT_METRIC)
    assert (curves.costs[curves.on_front] <= median).all()


def test_the_page_holds_everything_and_names_nothing_elsewhere(reported):
    run, _ = reported
    page = (run.path / "report.html").read_text()
    for title in (
        "Networks",
        "Where the time goes",
        "Progress",
        "What the networks of the front have in common",
        "Settings and device",
    ):
        assert f"<h2>{title}</h2>" in page
    for name in ("front", "time", "hypervolume", "hypervolume_time"):
        assert (run.path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert page.count("data:image/png;base64,") == 4
    assert "hwnas: a&lt;b&gt;&amp;c" in page
    assert "a<b>" not in page
    outside = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*|'sha256-[A-Za-z0-9+/=]*'", "", page)
    assert re.findall(r"(?:https?:)?//[\w.]+", outside) == []
    assert {link.split("/")[0] for link in re.findall(r"(?:href|src)='([^']*)'", outside)} <= {"data:,", "models", ""}


def test_the_page_names_the_final_training_and_its_teacher(tmp_path):
    run, study = make_report(tmp_path / "run", deliver=measured)
    assert "before they were exported" not in (run.path / "report.html").read_text()
    run.settings = replace(run.settings, finalize="distil")
    write_report(run, study, SPACE)
    sentence = (
        " The networks were trained further from the weights of the search, with {} as teacher (--finalize distil) "
        "before they were exported."
    )
    assert sentence.format("the largest network of the supernet") in (run.path / "report.html").read_text()
    with_model = replace(run.settings, model="net.onnx")
    assert final_training(with_model) == sentence.format("the original model")


def test_a_run_on_a_benchmark_has_no_parts_of_time(csv, tmp_path):
    search(csv, tmp_path / "run", samples=12, report=True)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Where the time goes" not in page
    assert "What the networks of the front have in common" in page


WIDE = """
  const wide = [...doc.querySelectorAll('body *')].filter((e) => !e.closest('.wide') &&
    e.getBoundingClientRect().right > doc.documentElement.clientWidth + 1).map((e) => e.tagName);
  return [doc.documentElement.clientWidth, doc.documentElement.scrollWidth, wide];
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_whole(reported, tmp_path, width):
    assert ask((reported[0].path / "report.html").read_text(), tmp_path, WIDE, width) == [width, width, []]
