"""`--train-precision`: a run keeps the format that it began with, on any machine."""

from pathlib import Path

import pytest

import hwnas._pipeline._train_precision as module
from hwnas._errors import HwnasError, RunError
from hwnas._pipeline._final_recipe import final_recipe
from hwnas._pipeline._train_precision import recipe_changes, with_train_precision
from hwnas._runs._record import read_record, write_record
from hwnas._runs._run import Run
from hwnas._runs._same_search import require_same_search
from hwnas._runs._settings import SearchSettings
from hwnas.tasks import make_task

TABLE = Path(__file__).resolve().parents[2] / "fixtures" / "run-format-2" / "table.json"


@pytest.fixture(autouse=True)
def native(monkeypatch):
    monkeypatch.setattr(module, "native_precision", lambda device: "bf16")


def resolved(out, own_evaluator=False, **settings):
    return with_train_precision(SearchSettings(**settings), out, own_evaluator=own_evaluator).train_precision


def written(path, settings):
    path.mkdir()
    record = {"settings": settings, "identity": {}}
    write_record(path, record)
    assert read_record(path)["settings"] == settings
    return path


def test_a_new_run_trains_in_the_format_of_the_machine(tmp_path):
    assert resolved(tmp_path) == "bf16"
    assert resolved(tmp_path, train_precision="fp32") == "fp32"
    assert resolved(tmp_path, evaluator="table:a.csv") == "auto"
    assert resolved(tmp_path, evaluator="table:a.csv", finalize="train") == "bf16"
    assert resolved(tmp_path, own_evaluator=True) == "auto"


def test_a_run_goes_on_in_its_own_format(tmp_path):
    settings = SearchSettings().as_dict()
    earlier = {name: value for name, value in settings.items() if name != "train_precision"}
    assert resolved(written(tmp_path / "old", earlier)) == "fp32"
    assert resolved(written(tmp_path / "gpu", {**earlier, "device": "cuda"}), device="cuda") == "bf16"
    assert resolved(written(tmp_path / "new", {**settings, "train_precision": "fp32"})) == "fp32"
    assert resolved(written(tmp_path / "open", {**settings, "train_precision": "auto"}), finalize="train") == "bf16"


def test_another_format_is_another_search(tmp_path):
    runs = [SearchSettings(train_precision=precision) for precision in ("fp32", "bf16", "auto")]
    with pytest.raises(RunError, match='contains a search with train_precision "fp32", this one has "bf16"'):
        require_same_search(tmp_path, runs[0], runs[1], None, {})
    require_same_search(tmp_path, runs[2], runs[1], None, {})
    with pytest.raises(HwnasError, match="--train-precision must be auto, fp32 or bf16, got 'fp16'"):
        SearchSettings(train_precision="fp16")


@pytest.mark.parametrize(
    ("device", "precision", "changes"),
    [
        ("cpu", "fp32", {}),
        ("cpu", "bf16", {"train_precision": "bf16"}),
        ("cuda", "bf16", {}),
        ("cuda:1", "fp32", {"train_precision": "fp32"}),
        ("ssh://board", "bf16", {"train_precision": "bf16"}),
        ("cpu", "auto", {}),
    ],
)
def test_recipes_name_what_was_not_the_only_format(device, precision, changes):
    assert recipe_changes(SearchSettings(device=device, train_precision=precision)) == changes


def test_final_trainings_have_the_format_of_the_run():
    task = make_task(None, "digits", limit=100)
    settings = SearchSettings(finalize="train", train_precision="bf16", evaluator="table:a.csv")
    assert final_recipe(settings, task).train_precision == "bf16"
    assert final_recipe(SearchSettings(finalize="train", train_precision="fp32"), task).train_precision is None


def test_a_search_records_its_format(tmp_path):
    from hwnas import search

    search(
        data="digits",
        out=tmp_path / "run",
        data_limit=120,
        epochs=1,
        samples=2,
        minimize="macs",
        resolution=[8],
        width=[0.5],
        evaluator="train",
        strategy="random",
        table=TABLE,
        offline=True,
    )
    run = Run.open(tmp_path / "run")
    assert run.settings.train_precision == "bf16"
    assert run.identity["evaluator"]["recipe"]["train_precision"] == "bf16"
