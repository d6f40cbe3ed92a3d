"""A search with int8 metrics: what its files say, and which runs it goes on with."""

import json
from dataclasses import replace

import pytest
from run_toys import create_run
from simulated_device import AdditiveBackend

import hwnas
from hwnas import SearchSettings
from hwnas._errors import RunError
from hwnas._runs._compare import compare_runs
from hwnas._runs._journal import read_trials
from hwnas._runs._metrics import metric_of, metric_of_run
from hwnas._runs._run import Run
from hwnas.spaces import make_space
from hwnas.tasks import DEFAULT_METRIC
from hwnas.training import score_onnx

OPTIONS = {"data": "digits", "data_limit": 120, "epochs": 1, "minimize": "params", "samples": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished search whose device is simulated; with what it told."""
    folder, told = tmp_path_factory.mktemp("int8"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas._report._write._pictures", lambda shown: {})
        patch.chdir(folder)
        space = make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)
        hwnas.profile(space, AdditiveBackend(), out=folder / "prices.json", networks=2)
        more = {"table": folder / "prices.json", "offline": True, "precision": "int8", "strategy": "random"}
        hwnas.search(space, out=folder / "run", progress=told.append, **more, **OPTIONS)
    return folder / "run", told


def test_trials_and_networks_say_that_their_metric_is_that_of_int8(run):
    path, told = run
    rows = [json.loads(line) for line in (path / "trials.jsonl").read_text().splitlines()]
    assert [row["precision"] for row in rows] == ["int8"] * 3
    opened = Run.open(path)
    assert metric_of_run(opened.identity, "supernet").text == "int8 accuracy"
    assert {metric_of(network).precision for network in opened.pareto()} == {"int8"}
    assert any("best int8 accuracy" in line for line in told)
    assert any(": test int8 accuracy" in line for line in told)
    assert "validation int8 accuracy" in (path / "report.html").read_text()


def test_delivered_files_do_what_was_said_of_them(run):
    path, _ = run
    settings = Run.open(path).settings
    task = hwnas.tasks.make_task(None, "digits", seed=settings.seed, limit=120)
    for network in Run.open(path).pareto():
        file = path / network["onnx"]
        assert b"QuantizeLinear" in file.read_bytes()
        assert network["accuracy"] == pytest.approx(score_onnx(file, task, "test"))
        assert network["validation_accuracy"] == pytest.approx(score_onnx(file, task, "validation"))


def test_runs_of_two_precisions_are_compared_with_a_note(run, tmp_path):
    path, _ = run
    opened = Run.open(path)
    assert compare_runs([path, path]).metric.text == "int8 accuracy"
    identity = {name: value for name, value in opened.identity.items() if name != "metric"}
    other = Run.check(tmp_path / "other", replace(opened.settings, precision="fp32"), identity)
    journal = other.lock()
    other.continue_from(0)
    for record in read_trials(path / "trials.jsonl"):
        journal.append(replace(record, precision=None))
    other.release()
    comparison = compare_runs([path, other.path])
    assert comparison.metric == DEFAULT_METRIC
    assert "the runs differ in precision: run int8, other fp32" in comparison.notes


def test_a_search_with_the_metric_of_fp32_networks_is_not_continued(run, tmp_path):
    path, _ = run
    opened = Run.open(path)
    evaluator = {name: value for name, value in opened.identity["evaluator"].items() if name != "precision"}
    earlier = {name: value for name, value in opened.identity.items() if name != "metric"} | {"evaluator": evaluator}
    begun = create_run(tmp_path / "run", opened.settings, earlier)
    (begun.path / "trials.jsonl").write_bytes((path / "trials.jsonl").read_bytes())
    with pytest.raises(RunError, match=r"have the metric of fp32 networks.* this one evaluates int8 networks"):
        Run.check(begun.path, opened.settings, opened.identity)


def test_an_evaluator_that_quantises_nothing_says_so(tmp_path):
    from hwnas._pipeline._overrides import Overrides
    from hwnas._pipeline._setup_inputs import resolve_inputs

    told = []
    settings = SearchSettings(
        precision="int8",
        data_limit=60,
        evaluator="synflow",
        finalize="train",
        space_settings={"preset": "tiny", "resolution": [8], "width": [0.5]},
    )
    resolve_inputs(settings, tmp_path, Overrides(), told.append, parallel=False)
    (line,) = [line for line in told if "int8" in line]
    assert line == (
        "--precision int8: evaluator synflow quantises no network, its log_synflow is not that of the int8 network"
    )
