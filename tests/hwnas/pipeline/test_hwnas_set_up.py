"""Setting up a search: steps that change nothing behind each other's back; files of the run are read under its lock."""

import json
from pathlib import Path

import numpy as np
import pytest
from cells import search, trials_of

from hwnas import HwnasError, SearchSettings
from hwnas._pipeline._evaluation import prepare_evaluators
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._search import run_search
from hwnas._pipeline._set_up import set_up
from hwnas._pipeline._setup_inputs import identity_of, make_search_backend, resolve_inputs
from hwnas._runs._run import Run
from latency_tables import load_table

TABLE = Path(__file__).resolve().parents[2] / "fixtures" / "run-format-2" / "table.json"


@pytest.fixture
def settings(csv):
    """A search on the table of cells, without a folder."""
    return SearchSettings(
        space="nasbench201",
        evaluator=f"table:{csv}",
        evaluator_options={"accuracy_column": "acc"},
        latency_column="ms",
        samples=5,
    )


def test_inputs_follow_from_settings_alone(settings, tmp_path):
    inputs, same = (resolve_inputs(settings, tmp_path, Overrides(), print, parallel=False) for _ in range(2))
    assert (inputs.task, inputs.low_fidelity) == (None, None)
    assert inputs.evaluator.space.name == inputs.space.name == "nasbench201"
    assert json.dumps(identity_of(settings, inputs)) == json.dumps(identity_of(settings, same))


@pytest.mark.parametrize(
    ("side", "chosen", "line"),
    [
        (64, {}, "images of 64 pixels are scaled down, since the networks read at most 32; --preset imagenet reads"),
        (48, {}, None),
        (48, {"resolution": [16]}, "images of 48 pixels are scaled down, since the networks read at most 16; --preset"),
        (140, {"preset": "imagenet", "resolution": [128]}, None),
    ],
)
def test_images_that_networks_read_far_smaller_are_told(tmp_path, side, chosen, line):
    labels = np.arange(12) % 2
    images = np.zeros((12, side, side, 3), np.uint8)
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    said: list[str] = []
    settings = SearchSettings(data=str(tmp_path / "d.npz"), space_settings=chosen)
    resolve_inputs(settings, tmp_path, Overrides(), said.append, parallel=False)
    assert [text.startswith(f"data: {line}") for text in said if "scaled" in text] == [True] * (line is not None)


def test_a_setup_holds_the_lock_and_writes_nothing(settings, tmp_path):
    setup = set_up(settings, tmp_path / "run", lambda text: None, Overrides())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["trials.jsonl"]
    with pytest.raises(Exception, match="is in use by another hwnas search"):
        Run.check(tmp_path / "run", settings)
    setup.run.release()
    assert not (tmp_path / "run").exists()


def test_what_is_refused_after_the_lock_leaves_nothing_behind(settings, tmp_path):
    with pytest.raises(HwnasError, match="no network of the space meets --latency-budget"):
        set_up(
            SearchSettings(**{**settings.as_dict(), "budgets": {"latency_ms": 1e-9}}),
            tmp_path / "run",
            lambda text: None,
            Overrides(),
        )
    assert not (tmp_path / "run").exists()


def test_evaluators_get_what_networks_cost_when_they_are_prepared(tmp_path):
    settings = SearchSettings(
        space_settings=dict(load_table(TABLE).space["settings"]),
        data_limit=60,
        evaluator="naswot",
        finalize="train",
        table=str(TABLE),
        offline=True,
    )
    setup = set_up(settings, tmp_path / "run", lambda text: None, Overrides())
    assert setup.evaluator.cost is None
    prepare_evaluators(setup, lambda text: None)
    assert setup.evaluator.cost is setup.costs.training
    assert setup.costs.training.name.startswith("latency_ms of table ")
    assert setup.backend is None
    setup.run.release()


def test_a_search_that_another_one_overtakes_continues_that_one(csv, tmp_path, monkeypatch):
    """The other one begins, in the same folder and from another run's trials, after this one has looked there."""
    before, lock = search(csv, tmp_path / "a", samples=12, strategy="random"), Run.lock

    def overtaken(run):
        monkeypatch.setattr(Run, "lock", lock)
        search(csv, tmp_path / "b", "--warm-start", before, samples=12)
        return lock(run)

    monkeypatch.setattr(Run, "lock", overtaken)
    search(csv, tmp_path / "b", samples=14)
    trials = trials_of(tmp_path / "b")
    assert [trial.get("from") for trial in trials] == [str(before)] * 12 + [None] * 2
    assert Run.open(tmp_path / "b").settings.warm_start == str(before)


def test_a_backend_is_made_of_the_settings():
    backend = make_search_backend(SearchSettings(batch=2, threads=1))
    assert (backend.batch, backend.identity()["device"]) == (2, "cpu")
    with pytest.raises(HwnasError, match="unknown device"):
        make_search_backend(SearchSettings(device="toaster"))


def test_a_run_needs_no_command_line(settings, tmp_path):
    run = run_search(settings, tmp_path / "run")
    assert run.finished == 5
