"""A study of Optuna, read by Optuna."""

import pytest
from cells import search, trials_of
from tracked_toys import STATUS, record, watched
from tracker_readers import LIBRARIES, Optuna, needs

from hwnas._trackers._optuna import OptunaTracker

pytestmark = [needs("optuna"), *(pytest.mark.filterwarnings(text) for text in LIBRARIES)]


@pytest.fixture
def tool(tmp_path):
    return Optuna(tmp_path, tmp_path / "run")


def logged(tool, *records, **settings):
    """The study of some trials."""
    search_ = watched(tool.out, **settings)
    tracker = OptunaTracker(f"sqlite:///{tool.database}")
    tracker.connect()
    tracker.begin(search_)
    for each in records:
        search_.records.append(each)
        tracker.trial(each, lambda: STATUS)
    tracker.end(True)
    tracker.close()
    return tool.study()


def test_the_study_of_a_search(csv, tool):
    import optuna

    search(csv, tool.out, "--track", tool.text, samples=12)
    trials, directions, _, best, names = tool.study()
    journal = trials_of(tool.out)
    assert [direction.name for direction in directions] == ["MAXIMIZE", "MINIMIZE"]
    assert names == ["accuracy", "latency_ms"]
    for trial, line in zip(trials, journal, strict=True):
        assert trial.state == optuna.trial.TrialState.COMPLETE
        assert trial.values == [line["values"]["accuracy"], line["values"]["latency_ms"]]
        assert trial.user_attrs["arch"] == line["arch"]
        assert trial.user_attrs["seconds"] >= 0
        assert all(line["arch"].count(op) for op in trial.params.values())
        assert trial.datetime_start <= trial.datetime_complete
    assert set(trials[0].distributions) == {"edge01", "edge02", "edge12", "edge03", "edge13", "edge23"}
    assert "nor_conv_3x3" in trials[0].distributions["edge01"].choices
    assert {trial.number for trial in best} <= {trial.number for trial in trials}
    assert best


def test_budgets_are_constraints_that_optuna_and_hwnas_read(tool):
    from hwnas._optuna_constraints import constraints_of

    inside = record(0, values={"accuracy": 0.5, "latency_ms": 2.0}, costs={"macs": 7.0})
    outside = record(1, values={"accuracy": 0.9, "latency_ms": 5.0}, costs={"macs": 7.0})
    trials, _, _, best, _ = logged(tool, inside, outside, budgets={"latency_ms": 4.0, "macs": 8.0})
    assert [dict(constraints_of(trial, None)) for trial in trials] == [{"0": -2.0, "1": -1.0}, {"0": 1.0, "1": -1.0}]
    assert [trial.number for trial in best] == [0]


def test_failed_and_low_fidelity_trials_are_on_no_front(tool):
    trials, _, _, best, _ = logged(
        tool,
        record(0, values={}, failed="diverged"),
        record(1, values={"accuracy": 0.9, "latency_ms": 1.0}, low_fidelity=True),
        record(2, values={"accuracy": 0.5, "latency_ms": 2.0}, extra_columns={"epochs": 3.0}),
    )
    assert [trial.state.name for trial in trials] == ["FAIL", "PRUNED", "COMPLETE"]
    assert trials[0].user_attrs["failed"] == "diverged"
    assert (trials[1].user_attrs["low_fidelity"], trials[1].user_attrs["accuracy"]) == (True, 0.9)
    assert trials[2].user_attrs["epochs"] == 3.0
    assert [trial.number for trial in best] == [2]


def test_another_run_of_the_same_name_gets_a_study_of_its_own(csv, tool, tmp_path):
    search(csv, tool.out, "--track", tool.text, samples=11)
    other = search(csv, tmp_path / "more" / "run", "--track", tool.text, samples=12)
    search(csv, other, "--track", tool.text, samples=13)
    import optuna

    names = optuna.get_all_study_names(f"sqlite:///{tool.database}")
    assert len(names) == 2
    assert len(tool.study("run")[0]) == 11
    (second,) = set(names) - {"run"}
    assert second.startswith("run-")
    assert len(tool.study(second)[0]) == 13


def test_trials_that_others_added_to_the_study_do_not_disturb(csv, tool):
    import optuna

    search(csv, tool.out, "--track", tool.text, samples=11)
    study = optuna.load_study(storage=f"sqlite:///{tool.database}", study_name="run")
    study.add_trial(optuna.trial.create_trial(values=[0.1, 0.2]))
    search(csv, tool.out, "--track", tool.text, samples=12)
    numbers = [trial.user_attrs.get("hwnas_trial") for trial in tool.study()[0]]
    assert numbers == [*range(11), None, 11]


def test_the_verbosity_of_optuna_is_left_as_it_was(csv, tool):
    import optuna

    before = optuna.logging.get_verbosity()
    search(csv, tool.out, "--track", tool.text, samples=11)
    assert optuna.logging.get_verbosity() == before
