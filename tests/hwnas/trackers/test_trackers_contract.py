"""What holds for every tracker, with the real tools: every trial once, whatever happens to the search."""

import json
import shutil

import pytest
from cells import arguments, cut, search, trials_of
from tracker_readers import LIBRARIES, TOOLS, Mlflow

from hwnas._cli import main
from hwnas._common._pace import Pace
from hwnas._trackers._base import Tracker

pytestmark = [pytest.mark.filterwarnings(text) for text in LIBRARIES]


@pytest.fixture(params=TOOLS)
def tool(request, tmp_path_factory, tmp_path, monkeypatch):
    folder = tmp_path_factory.mktemp("tool")
    monkeypatch.chdir(folder)  # MLflow puts artifacts there
    if request.param is Mlflow:  # a new database takes MLflow seconds
        shutil.copy(request.getfixturevalue("mlflow_database"), folder / "mlflow.db")
    return request.param(folder, tmp_path / "run")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Log each trial when it comes."""
    monkeypatch.setattr("hwnas._trackers._base.Pace", lambda least_s, share: Pace(0.0, 1.0))


def run(csv, tool, *more, **options):
    return search(csv, tool.out, "--track", tool.text, *more, **options)


def logged_as_journalled(tool):
    trials = trials_of(tool.out)
    for name in ("accuracy", "latency_ms"):
        points = tool.points(f"objectives/{name}")
        assert [step for step, _ in points] == [trial["number"] for trial in trials]
        assert [value for _, value in points] == pytest.approx([trial["values"][name] for trial in trials])
    assert [step for step, _ in tool.points("trial/seconds")] == [trial["number"] for trial in trials]
    return len(trials)


def test_every_trial_is_logged_once_also_of_an_extended_search_with_other_budgets(csv, tool):
    run(csv, tool, samples=12)
    assert logged_as_journalled(tool) == 12
    run(csv, tool, samples=12)
    run(csv, tool, samples=16, budget="7ms")
    assert logged_as_journalled(tool) == 16


def test_a_tracker_that_comes_later_gets_the_trials_before_it(csv, tool):
    search(csv, tool.out, samples=11)
    run(csv, tool, samples=13)
    assert logged_as_journalled(tool) == 13


def test_a_killed_search_leaves_what_it_had_not_logged_to_the_next(csv, tool, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("hwnas._trackers._base.Pace", lambda least_s, share: Pace(1e9, 1.0))
        patch.setattr(Tracker, "end", lambda self, finished: None)
        run(csv, tool, samples=12)
    assert tool.points("trial/seconds") == []
    run(csv, tool, samples=14)
    assert logged_as_journalled(tool) == 14


def test_a_tool_that_is_ahead_of_the_journal_gets_nothing_twice(csv, tool):
    run(csv, tool, samples=12)
    cut(tool.out, 7)
    run(csv, tool, samples=12)
    assert logged_as_journalled(tool) == 12


def test_an_interrupt_while_a_trial_is_logged_leaves_it_there_once(csv, tool, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr("hwnas._trackers._base.Pace", lambda least_s, share: Pace(1e9, 1.0))
        patch.setattr("hwnas._pipeline._search.deliver", interrupted_log(patch))
        assert main(arguments(csv, tool.out, "--track", tool.text, samples=12)) == 130
    assert "12 trials are safe" in capsys.readouterr().err
    assert logged_as_journalled(tool) == 12
    run(csv, tool, samples=13)
    assert logged_as_journalled(tool) == 13


def interrupted_log(patch):
    """A delivery that is interrupted while the tracker logs: half of the trials are in the tool then."""
    trackers = []
    begin = Tracker.begin
    patch.setattr(Tracker, "begin", lambda self, search: trackers.append(self) or begin(self, search))

    def deliver(setup, study, progress):
        (tracker,) = trackers
        log = tracker._log

        def half(trials):
            log(trials[: len(trials) // 2])
            raise KeyboardInterrupt

        tracker._log = half
        try:
            tracker._flush()
        finally:
            del tracker._log

    return deliver


def test_a_tool_that_fails_costs_one_warning_and_never_the_search(csv, tool, monkeypatch, capsys):
    trial = Tracker.trial

    def destroy(self, record, status):
        if record.number == 8:
            tool.destroy()
        trial(self, record, status)

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "trial", destroy)
        run(csv, tool, samples=14)
    error = capsys.readouterr().err
    (warning,) = (line for line in error.splitlines() if "warning" in line)
    assert f"warning: --track {tool.text} failed (" in warning
    assert "; the search continues without it. Run the same command again to log the missing trials" in warning
    assert "Traceback" not in error
    assert len(trials_of(tool.out)) == 14
    assert (tool.out / "trials.csv").read_text().count("\n") == 15


def test_a_search_is_the_same_with_a_tracker(csv, tool, tmp_path):
    run(csv, tool, samples=12)
    search(csv, tmp_path / "alone", samples=12)
    assert trials_of(tool.out) == trials_of(tmp_path / "alone")
    settings = [json.loads((out / "settings.json").read_text()) for out in (tool.out, tmp_path / "alone")]
    assert settings[0]["settings"] == settings[1]["settings"]
    assert settings[0]["identity"] == settings[1]["identity"]


def test_nothing_but_events_is_on_standard_output(csv, tool, capfd):
    capfd.readouterr()
    run(csv, tool, "--json", samples=11)
    captured = capfd.readouterr()
    assert [json.loads(line)["event"] for line in captured.out.splitlines()].count("trial") == 11
    assert captured.err == ""
