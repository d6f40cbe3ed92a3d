"""A run of MLflow, read by MLflow."""

import json
import os
import shutil

import pytest
from cells import arguments, search
from tracker_readers import LIBRARIES, Mlflow, needs

from hwnas._cli import main
from hwnas._trackers._mlflow import parameters

pytestmark = [needs("mlflow"), *(pytest.mark.filterwarnings(text) for text in LIBRARIES)]


@pytest.fixture
def tool(tmp_path, mlflow_database, monkeypatch):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)  # for artifacts
    return Mlflow(tmp_path, tmp_path / "run")


def run_of(tool):
    return tool.client.get_run(tool.run_id)


def artifacts(tool):
    return {item.path for item in tool.client.list_artifacts(tool.run_id)}


def test_settings_are_parameters_and_results_are_artifacts(csv, tool):
    (tool.out / "deploy").mkdir(parents=True)
    shutil.rmtree(tool.out)
    search(csv, tool.out, "--track", tool.text, samples=12, report=True)
    run = run_of(tool)
    assert (
        run.data.params.items()
        >= {
            "space": "nasbench201",
            "samples": "12",
            "strategy": "mutation",
            "budgets.latency_ms": "8.0",
            "evaluator_options.accuracy_column": "acc",
            "minimize": '["latency"]',
        }.items()
    )
    assert "provider" not in run.data.params
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert artifacts(tool) == {"report.html", "pareto.json", "trials.csv"}
    stored = tool.client.download_artifacts(tool.run_id, "trials.csv")
    assert (tool.out / "trials.csv").read_bytes() == open(stored, "rb").read()  # noqa: PTH123, SIM115


def test_what_is_delivered_for_a_device_is_an_artifact(csv, tool, monkeypatch):
    monkeypatch.setattr("hwnas._pipeline._deliver.deliver_folder", lambda run, progress: None)  # there are no weights
    search(csv, tool.out, samples=11)
    (tool.out / "deploy").mkdir()
    (tool.out / "deploy" / "predict.py").write_text("x = 1\n")
    search(csv, tool.out, "--track", tool.text, samples=12)
    assert "deploy" in artifacts(tool)
    assert [item.path for item in tool.client.list_artifacts(tool.run_id, "deploy")] == ["deploy/predict.py"]


def test_a_changed_search_goes_on_in_the_same_run_and_says_what_changed(csv, tool):
    search(csv, tool.out, "--track", tool.text, samples=12)
    before = tool.run_id
    search(csv, tool.out, "--track", tool.text, samples=14, budget="7ms")
    search(csv, tool.out, "--track", tool.text, samples=14, budget="8ms")
    run = run_of(tool)
    assert tool.run_id == before
    assert (run.data.params["samples"], run.data.params["budgets.latency_ms"]) == ("12", "8.0")
    changed = {name: value for name, value in run.data.tags.items() if name.startswith("changed.")}
    assert changed == {"changed.samples": "14", "changed.budgets.latency_ms": "8.0"}


def test_a_run_that_was_deleted_begins_anew_with_all_trials(csv, tool):
    search(csv, tool.out, "--track", tool.text, samples=12)
    before = tool.run_id
    tool.client.delete_run(before)
    search(csv, tool.out, "--track", tool.text, samples=13)
    assert tool.run_id != before
    assert [step for step, _ in tool.points("trial/failed")] == list(range(13))


def test_another_server_gets_a_run_of_its_own(csv, tool, tmp_path, mlflow_database):
    search(csv, tool.out, "--track", tool.text, samples=12)
    (tmp_path / "other").mkdir()
    shutil.copy(mlflow_database, tmp_path / "other" / "mlflow.db")
    other = Mlflow(tmp_path / "other", tool.out)
    search(csv, tool.out, "--track", other.text, samples=13)
    assert [step for step, _ in other.points("trial/failed")] == list(range(13))


def test_an_interrupted_search_is_killed_and_running_again_afterwards(csv, tool, monkeypatch):
    def stop(setup, study, progress):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hwnas._pipeline._search.deliver", stop)
        assert main(arguments(csv, tool.out, "--track", tool.text, samples=12)) == 130
    assert run_of(tool).info.status == "KILLED"
    assert artifacts(tool) == {"trials.csv"}
    search(csv, tool.out, "--track", tool.text, samples=12)
    assert run_of(tool).info.status == "FINISHED"


def test_the_experiment_is_the_users_own_where_one_is_named(csv, tool, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "boards")
    search(csv, tool.out, "--track", tool.text, samples=11)
    assert tool.client.get_experiment(run_of(tool).info.experiment_id).name == "boards"


def test_the_environment_is_left_as_it_was(csv, tool):
    before = dict(os.environ)
    search(csv, tool.out, "--track", tool.text, samples=11)
    assert {name for name in os.environ if name.startswith("MLFLOW")} == {n for n in before if n.startswith("MLFLOW")}


def test_a_damaged_file_of_the_run_is_a_line_that_says_what_to_do(csv, tool, capsys):
    search(csv, tool.out, "--track", tool.text, samples=11)
    (tool.out / "trackers.json").write_text("{")
    assert main(arguments(csv, tool.out, "--track", tool.text, samples=12)) == 2
    assert "trackers.json is damaged; remove it, and the search is logged anew" in capsys.readouterr().err
    (tool.out / "trackers.json").write_text(json.dumps({"mlflow": {"run_id": 3}}))
    assert main(arguments(csv, tool.out, "--track", tool.text, samples=12)) == 2


def test_parameters_are_flat_short_and_say_something():
    settings = {"a": 1, "b": None, "c": {"d e!": [1], "f": {"g": 2}}, "h": [], "i": "", "j": "x" * 900, "k": False}
    assert parameters(settings) == {"a": "1", "c.d e_": "[1]", "c.f": '{"g": 2}', "j": "x" * 500, "k": "false"}
