"""What ``--track`` takes."""

import pytest
from cells import arguments, trials_of
from tracker_readers import LIBRARIES, needs

import hwnas
from hwnas._cli import main
from hwnas._runs._watchers import without_passwords

pytestmark = [pytest.mark.filterwarnings(text) for text in LIBRARIES]


def refused(csv, tmp_path, capsys, *more):
    """The error line of a search that ends before its folder is made."""
    capsys.readouterr()
    assert main(arguments(csv, tmp_path / "run", *more)) == 2
    assert not (tmp_path / "run").exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("hwnas: error: ")


@pytest.mark.parametrize(
    "text", ["", "wandb", "tensorboard:x", "mlflow:", "optuna", "optuna:", "postgresql://u:pw@h/d"]
)
def test_other_words_are_refused(csv, tmp_path, capsys, text):
    known = "--track must be tensorboard, mlflow, mlflow:URI or optuna:URL (like optuna:sqlite:///study.db), got "
    assert refused(csv, tmp_path, capsys, "--track", text) == known + repr(text.replace("pw", "***"))


def test_one_tracker_twice_is_refused(csv, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hwnas._trackers._parse.find_spec", lambda package: True)
    line = refused(csv, tmp_path, capsys, "--track", "tensorboard", "--track", "tensorboard")
    assert line == "--track tensorboard is given twice; leave one out"


@pytest.mark.parametrize(
    ("text", "package"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("optuna:sqlite:///a.db", "optuna")]
)
def test_a_missing_package_is_a_line_that_names_the_extra(csv, tmp_path, capsys, monkeypatch, text, package):
    monkeypatch.setattr("hwnas._trackers._parse.find_spec", lambda name: None)
    line = refused(csv, tmp_path, capsys, "--track", text)
    assert line == f"--track {package} needs {package}, which is not installed: pip install 'hwnas[{package}]'"


@needs("optuna")
def test_a_database_that_cannot_be_opened_is_a_line_without_its_password(csv, tmp_path, capsys):
    line = refused(csv, tmp_path, capsys, "--track", "optuna:foo://me:secret@server/x")
    assert line.startswith("--track optuna:foo://me:***@server/x cannot start (NoSuchModuleError: ")
    assert line.endswith("; fix this, or leave out --track optuna:foo://me:***@server/x")
    assert "secret" not in line
    line = refused(csv, tmp_path, capsys, "--track", f"optuna:sqlite:///{tmp_path}/absent/study.db")
    assert "unable to open database file" in line


@needs("mlflow")
def test_a_server_that_is_not_there_is_a_line(csv, tmp_path, capsys):
    line = refused(csv, tmp_path, capsys, "--track", "mlflow:http://me:secret@localhost:9")
    assert line.startswith("--track mlflow:http://me:***@localhost:9 cannot start (MlflowException: API request to ")
    assert "secret" not in line


@needs("tensorboard")
@needs("optuna")
def test_several_trackers_at_once_from_python(csv, tmp_path):
    options = {"evaluator": f"table:{csv}", "accuracy_column": "acc", "latency_column": "ms", "strategy": "random"}
    where = {"out": tmp_path / "run", "samples": 11, "track": ["tensorboard", f"optuna:sqlite:///{tmp_path}/study.db"]}
    result = hwnas.search("nasbench201", **options, **where)
    assert len(result.trials) == len(trials_of(tmp_path / "run")) == 11
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert (tmp_path / "study.db").stat().st_size > 0


def test_python_takes_strings_alone(tmp_path):
    for wrong in (3, ["tensorboard", 3], {"tensorboard": True}):
        with pytest.raises(hwnas.HwnasError, match="--track must be a string or several, got "):
            hwnas.search("nasbench201", out=tmp_path / "run", track=wrong)


def test_passwords_are_hidden_wherever_they_stand():
    assert without_passwords("a postgresql+x://me:p:w@h:5/d b http://h:80/x c sqlite:///a@b.db") == (
        "a postgresql+x://me:***@h:5/d b http://h:80/x c sqlite:///a@b.db"
    )
    assert without_passwords("://:pw@h") == "://:***@h"
    assert without_passwords("x://u:a/b@c@h/d, x://u:p@h/d") == "x://u:***@h/d, x://u:***@h/d"
    assert without_passwords("x://h/d?user=u&password=secret&n=1") == "x://h/d?user=u&password=***&n=1"
