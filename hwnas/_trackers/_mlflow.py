"""Trials as one run of MLflow."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from os import environ
from typing import Any

from hwnas._common._pace import Pace
from hwnas._common._text import printable
from hwnas._errors import RunError
from hwnas._runs._entries import file_of_run
from hwnas._runs._trials_csv import TRIALS_CSV
from hwnas._runs._watchers import without_passwords
from hwnas._trackers._base import MARK, Logged, Tracker, scalars
from hwnas._trackers._calls import calls
from hwnas._trackers._kept import keep_for, kept_for, run_key
from hwnas._version import __version__

EXPERIMENT = "hwnas"
"""The experiment, where MLFLOW_EXPERIMENT_NAME does not name one."""
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""A search does not wait ten minutes for a server that is gone, as MLflow does by itself."""
_ARTIFACTS = ("report.html", "pareto.json", TRIALS_CSV, "deploy")
_AT_ONCE = 1000
"""Metrics that MLflow takes in one request."""
_LONGEST = 500
"""Characters of a parameter that every server takes."""


class MlflowTracker(Tracker):
    """Logs the settings as parameters, the curves as metrics by the trials' numbers, and the results as artifacts.

    Args:
        uri: The tracking URI; None for MLflow's own choice: MLFLOW_TRACKING_URI, or files in the working folder.
        pace: See `Tracker`.
    """

    def __init__(self, uri: str | None, pace: Pace | None = None) -> None:
        super().__init__(f"mlflow:{without_passwords(uri)}" if uri else "mlflow", pace)
        self._uri = uri
        self._client: Any = None
        self._run_id = ""

    def _connect(self) -> None:
        with _calls():
            from mlflow import MlflowClient
        with _calls():  # its import sets what it logs
            self._client = MlflowClient(self._uri)
            self._client.search_experiments(max_results=1)

    def _open(self) -> None:
        with _calls():
            run = self._found() or self._created()
            self._run_id = run.info.run_id
            self._client.update_run(self._run_id, status="RUNNING")
            self._log_settings(run.data.params, run.data.tags)

    def _logged(self) -> Iterable[int]:
        with _calls():
            return [metric.step for metric in self._client.get_metric_history(self._run_id, MARK)]

    def _found(self) -> Any:
        """Return the run of MLflow that an earlier session began; None where there is none, or it was deleted."""
        from mlflow.exceptions import MlflowException

        kept = kept_for(self.search.run, "mlflow")
        if kept.get("uri") != self._place or "run_id" not in kept:
            return None
        try:
            run = self._client.get_run(kept["run_id"])
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return run if run.info.lifecycle_stage == "active" else None

    def _created(self) -> Any:
        """Begin a run of MLflow, and keep its name in the run's folder."""
        name = environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment is not None else self._client.create_experiment(name)
        mine = self.search.run
        tags = {"hwnas.run": run_key(mine), "hwnas.version": __version__}
        run = self._client.create_run(number, tags=tags, run_name=printable(mine.path.resolve().name))
        keep_for(mine, "mlflow", {"uri": self._place, "run_id": run.info.run_id})
        return run

    @property
    def _place(self) -> str:
        """The server or database, without a password."""
        return without_passwords(str(self._client.tracking_uri))

    def _log_settings(self, before: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Log the settings. MLflow changes no parameter, so one that was changed since has a tag with its new value.

        Args:
            before: The parameters that the run of MLflow has.
            tags: Its tags.
        """
        settings = parameters(self.search.run.settings.as_dict())
        for name, value in settings.items():
            if name not in before:
                self._client.log_param(self._run_id, name, value)
        for name, value in before.items():
            tag, now = f"changed.{name}", settings.get(name, "none")
            if tags.get(tag, value) != now:
                self._client.set_tag(self._run_id, tag, now)

    def _log(self, trials: Sequence[Logged]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        waiting: list[Any] = []
        with _calls():
            for logged in trials:
                record = logged.record
                curves = scalars(logged, self.search).items()
                metrics = [Metric(_key(name), value, now, record.number) for name, value in curves]
                if len(waiting) + len(metrics) > _AT_ONCE:  # a trial is in one request: all of it or nothing
                    self._client.log_batch(self._run_id, metrics=waiting, synchronous=True)
                    waiting = []
                waiting += metrics
            self._client.log_batch(self._run_id, metrics=waiting, synchronous=True)

    def _finish(self, finished: bool) -> None:
        """Log the files of the results, and say how the search ended."""
        with _calls():
            for name in _ARTIFACTS if finished else (TRIALS_CSV,):
                with suppress(RunError):  # there is none
                    place = file_of_run(self.search.run.path, name)
                    if place.is_dir():
                        self._client.log_artifacts(self._run_id, str(place), name)
                    else:
                        self._client.log_artifact(self._run_id, str(place))
            self._client.set_terminated(self._run_id, "FINISHED" if finished else "KILLED")


def parameters(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as MLflow's parameters: those that say something, dictionaries taken apart."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {name: value}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in flat.items()}
    return {_key(name): text[:_LONGEST] for name, text in texts.items() if flat[name] not in (None, "", [])}


def _key(name: str) -> str:
    """Return a name that MLflow takes."""
    return re.sub(r"[^A-Za-z0-9_\-./ ]", "_", name)


def _calls() -> AbstractContextManager[None]:
    return calls("mlflow", _ENVIRONMENT)
