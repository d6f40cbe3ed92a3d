"""Trials as a study of Optuna in a database, as optuna-dashboard shows it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hwnas._common._pace import Pace
from hwnas._common._text import printable
from hwnas._runs._journal import TrialRecord
from hwnas._runs._watched import column_of, trial_numbers
from hwnas._runs._watchers import without_passwords
from hwnas._trackers._base import Logged, Tracker
from hwnas._trackers._calls import calls
from hwnas._trackers._kept import run_key

NUMBER, RUN = "hwnas_trial", "hwnas_run"
_CONSTRAINTS = "constraints"
"""Attribute of a trial in which Optuna's samplers, its front and optuna-dashboard look for constraints."""


class OptunaTracker(Tracker):
    """Adds every trial to a study of Optuna.

    The study is named after the run's folder; where another run has that name in the database, a part of the run's key
    follows it. A trial that failed has the state FAIL, a low-fidelity one PRUNED: neither counts for Optuna's front.

    Args:
        url: The database, as SQLAlchemy writes it: ``sqlite:///study.db``.
        pace: See `Tracker`.
    """

    def __init__(self, url: str, pace: Pace | None = None) -> None:
        super().__init__(f"optuna:{without_passwords(url)}", pace)
        self._url = url
        self._storage: Any = None
        self._study: Any = None
        self._distributions: Mapping[str, Any] = {}

    def _connect(self) -> None:
        with calls("optuna"):
            from optuna.storages import RDBStorage

            self._storage = RDBStorage(self._url)

    def _open(self) -> None:
        from optuna.distributions import CategoricalDistribution

        with calls("optuna"):
            self._study = self._found_or_created()
            self._distributions = {
                choice.name: CategoricalDistribution(choice.values) for choice in self.search.space.choices
            }

    def _logged(self) -> Iterable[int]:
        with calls("optuna"):
            attributes = [trial.user_attrs for trial in self._study.get_trials(deepcopy=False)]
        return [mine[NUMBER] for mine in attributes if NUMBER in mine]

    def _found_or_created(self) -> Any:
        from optuna import create_study

        run, objectives = self.search.run, self.search.objectives
        key, name = run_key(run), printable(run.path.resolve().name)
        taken = {study.study_name: study for study in self._summaries()}
        if name in taken and taken[name].user_attrs.get(RUN) != key:
            name = f"{name}-{key}"
        study = create_study(
            storage=self._storage,
            study_name=name,
            directions=["maximize" if objective.direction == "max" else "minimize" for objective in objectives],
            load_if_exists=True,
        )
        study.set_metric_names([objective.name for objective in objectives])
        study.set_user_attr(RUN, key)
        return study

    def _summaries(self) -> Sequence[Any]:
        from optuna import get_all_study_summaries

        return get_all_study_summaries(self._storage, include_best_trial=False)

    def _log(self, trials: Sequence[Logged]) -> None:
        with calls("optuna"):
            self._study.add_trials([self._trial(logged) for logged in trials])

    def _trial(self, logged: Logged) -> Any:
        """Return a trial of Optuna; when it ended is known of one that was evaluated just now."""
        from optuna.trial import TrialState, create_trial

        record = logged.record
        complete = record.failed is None and not record.low_fidelity
        state = TrialState.FAIL if record.failed is not None else TrialState.PRUNED
        names = [choice.name for choice in self.search.space.choices]
        objectives = [objective.name for objective in self.search.objectives]
        trial = create_trial(
            state=TrialState.COMPLETE if complete else state,
            values=[record.values[name] for name in objectives] if complete else None,
            params=dict(zip(names, self.search.chosen(record), strict=True)),
            distributions=dict(self._distributions),
            user_attrs=_attributes(record, objectives if complete else ()),
            system_attrs=self._constraints(record),
        )
        if record.seconds is not None:
            trial.datetime_start = (trial.datetime_complete or datetime.now()) - timedelta(seconds=record.seconds)
        return trial

    def _constraints(self, record: TrialRecord) -> dict[str, list[float]]:
        """Return how far the trial is above each budget: 0 or less where it keeps it."""
        numbers, budgets = record.bound, self.search.run.settings.budgets
        excess = [numbers[name] - upper for name, upper in budgets.items() if name in numbers]
        return {_CONSTRAINTS: excess} if excess else {}

    def close(self) -> None:
        """Close the connections to the database."""
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()


def _attributes(record: TrialRecord, objectives: Collection[str]) -> dict[str, Any]:
    """Return what is known of a trial but its objectives; each attribute takes Optuna milliseconds to write."""
    numbers = {column_of(name): value for name, value in trial_numbers(record).items() if name not in objectives}
    attributes: dict[str, Any] = {NUMBER: record.number, "arch": record.arch, **numbers}
    optional = {"seconds": record.seconds, "failed": record.failed, "source": record.source}
    attributes |= {name: value for name, value in optional.items() if value is not None}
    return attributes | ({"low_fidelity": True} if record.low_fidelity else {})
