"""What the tools hold of a search, read by the tools themselves."""

import json
import shutil
import sqlite3
from contextlib import closing
from importlib.util import find_spec

import pytest


class TensorBoard:
    """Event files, read as TensorBoard reads them."""

    name = "tensorboard"
    text = "tensorboard"

    def __init__(self, folder, out):
        self.out = out

    def points(self, tag):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray

        events = EventAccumulator(str(self.out / "tensorboard"), size_guidance={"tensors": 0})
        events.Reload()
        if tag not in events.Tags()["tensors"]:
            return []
        return [(event.step, make_ndarray(event.tensor_proto).item()) for event in events.Tensors(tag)]

    def destroy(self):
        shutil.rmtree(self.out / "tensorboard")


class Mlflow:
    """A run in a database of MLflow."""

    name = "mlflow"

    def __init__(self, folder, out):
        self.database, self.out = folder / "mlflow.db", out
        self.text = f"mlflow:sqlite:///{self.database}"

    @property
    def client(self):
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.database}")

    @property
    def run_id(self):
        return json.loads((self.out / "trackers.json").read_text())["mlflow"]["run_id"]

    def points(self, tag):
        history = self.client.get_metric_history(self.run_id, tag)
        return [(metric.step, metric.value) for metric in sorted(history, key=lambda metric: metric.step)]

    def destroy(self):
        drop(self.database, "metrics")


class Optuna:
    """A study in a database of Optuna."""

    name = "optuna"

    def __init__(self, folder, out):
        self.database, self.out = folder / "optuna.db", out
        self.text = f"optuna:sqlite:///{self.database}"

    def study(self, name=None):
        import optuna

        storage = optuna.storages.RDBStorage(f"sqlite:///{self.database}")
        try:
            study = optuna.load_study(storage=storage, study_name=name or self.out.name)
            return study.trials, study.directions, study.user_attrs, study.best_trials, study.metric_names
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def points(self, tag):
        trials, *_, names = self.study()
        attribute = tag.partition("/")[2]
        return [
            (
                trial.user_attrs["hwnas_trial"],
                trial.values[names.index(attribute)] if attribute in names else trial.user_attrs[attribute],
            )
            for trial in sorted(trials, key=lambda trial: trial.user_attrs["hwnas_trial"])
        ]

    def destroy(self):
        drop(self.database, "trials")


TOOLS = [
    pytest.param(
        tool,
        id=tool.name,
        marks=pytest.mark.skipif(find_spec(tool.name) is None, reason=f"{tool.name} is not installed"),
    )
    for tool in (TensorBoard, Mlflow, Optuna)
]


def needs(tool):
    """Skip the tests of a file where the tool is not installed."""
    return pytest.mark.skipif(find_spec(tool) is None, reason=f"{tool} is not installed")


def drop(database, table):
    """Remove a table of a database, as a server may that was set up anew."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"DROP TABLE {table}")
        connection.commit()


LIBRARIES = ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::DeprecationWarning")
"""What the libraries leave open or use is theirs."""
