"""Run directories on disk: what they are, how far they came, what they found. Nothing heavy is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hwnas._costs._cost import cost_named
from hwnas._errors import HwnasError, RunError
from hwnas._runs._delivered import overruns, samples_of
from hwnas._runs._journal import JOURNAL, TrialRecord, damaged_line, read_trials
from hwnas._runs._metrics import metric_of_run
from hwnas._runs._place import is_locked
from hwnas._runs._run import Run
from hwnas.tasks import DEFAULT_METRIC, Metric
from latency_tables import read_json

_MOST_SETTINGS = 2**24


@dataclass(frozen=True)
class PastRun:
    """A run and its journal.

    Attributes:
        run: The run.
        trials: Its trials in their order, failed and low-fidelity ones too.
    """

    run: Run
    trials: tuple[TrialRecord, ...]

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metric, then the costs."""
        costs = tuple(cost_named(word).key for word in self.run.settings.minimize)
        return (self.metric.name, *costs)

    @property
    def metric(self) -> Metric:
        """What the evaluator gives."""
        return metric_of_run(self.run.identity, self.run.settings.evaluator)

    def standard_error(self, value: float | None) -> float | None:
        """Return the standard error of a value that the search saw; None where it is not known."""
        if value is None or self.metric.uncertainty is None:
            return None
        try:
            samples = validation_samples(self.run.pareto())
        except HwnasError:  # not delivered yet, or damaged: its trials can be read all the same
            return None
        return self.metric.standard_error(value, samples)

    @property
    def full(self) -> list[TrialRecord]:
        """The successful full evaluations."""
        return [trial for trial in self.trials if trial.failed is None and not trial.low_fidelity]

    def within(self, budgets: Mapping[str, float]) -> list[bool]:
        """Return for each successful full evaluation whether it is known to be within budgets.

        A run whose budgets never changed, and whose trials were not measured, keeps them with every trial, whatever is
        journalled of the costs.
        """
        settings = self.run.settings
        always = not self.run.phases and dict(budgets) == dict(settings.budgets) and not self.measured
        return [always or trial.keeps(budgets) for trial in self.full]

    def unknown(self, budgets: Mapping[str, float]) -> int:
        """Return of how many successful full evaluations the journal does not say whether they are within budgets."""
        within = self.within(budgets)
        missing = [not budgets.keys() <= trial.bound.keys() for trial in self.full]
        return sum(absent and not inside for absent, inside in zip(missing, within, strict=True))

    @property
    def measured(self) -> bool:
        """Whether the latency of each trial was measured, rather than predicted."""
        return self.run.settings.measure == "trials"

    def best(self, budgets: Mapping[str, float]) -> float | None:
        """Return the best value of the metric within budgets; None where no trial is known to be."""
        metric = self.metric
        values = [trial.values[metric.name] for trial in self.full]
        kept = [value for value, within in zip(values, self.within(budgets), strict=True) if within]
        return max(kept, key=lambda value: metric.sign * value, default=None)


@dataclass(frozen=True)
class RunInfo:
    """One line of `hwnas runs`.

    Attributes:
        name: The folder, relative to the one that was searched.
        state: ``finished``, ``running``, ``stopped`` or ``damaged``.
        trials: Evaluated architectures, without low-fidelity ones.
        samples: Architectures to evaluate.
        space: The search's space.
        data: The search's data, or the table that its values come from.
        device: The search's device.
        budgets: Upper bounds, by the cost's key.
        device_budgets: Upper bounds of the latency in milliseconds on each of several devices, by its name.
        metric: What the best value is of.
        best: The best value within the budgets; None before there is one.
        standard_error: Its standard error, where it is known.
        networks: Networks that a finished run delivered.
        over_budget: How many of these are over the budgets, as measured.
        when: Last change, ISO 8601.
        problem: Why it is damaged; empty otherwise.
    """

    name: str
    state: str
    trials: int = 0
    samples: int = 0
    space: str = ""
    data: str = ""
    device: str = ""
    budgets: Mapping[str, float] | None = None
    device_budgets: Mapping[str, float] | None = None
    metric: Metric = DEFAULT_METRIC
    best: float | None = None
    standard_error: float | None = None
    networks: int = 0
    over_budget: int = 0
    when: str = ""
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        facts = {**asdict(self), "measure": self.metric.name}
        facts |= {"budgets": dict(self.budgets or {}), "device_budgets": dict(self.device_budgets or {})}
        return facts | {"metric": self.metric.as_dict()}


def read_run(path: Path) -> PastRun:
    """Return a run with its trials, without touching it; a torn last line is left out.

    Raises:
        RunError: The folder is not a run, or a file of it is damaged.
    """
    run = Run.open(path)
    past = PastRun(run, tuple(read_trials(path / JOURNAL, unhashed=run.unhashed)))
    for number, trial in enumerate(past.trials, 1):
        if trial.failed is None and not set(past.objectives) <= trial.values.keys():
            raise damaged_line(path / JOURNAL, number)
    return past


def find_runs(folder: Path) -> list[RunInfo]:
    """Return all runs below a folder (or the one that it is), sorted by name.

    Raises:
        RunError: There is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder; choose one that contains run directories")
    runs = []
    for place, folders, files in os.walk(folder):
        if "settings.json" in files and _looks_like_run(Path(place), files):
            folders.clear()
            runs.append(describe_run(Path(place), folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return sorted(runs, key=lambda info: info.name)


def describe_run(path: Path, folder: Path) -> RunInfo:
    """Return one run for `hwnas runs`, damaged ones too."""
    name = str(path.relative_to(folder)) if path != folder else str(path)
    when = _changed(path)
    try:
        past = read_run(path)
    except HwnasError as error:
        return RunInfo(name, "damaged", when=when, problem=str(error))
    settings, done, state = past.run.settings, sum(not trial.low_fidelity for trial in past.trials), _state(past)
    try:
        networks = past.run.pareto() if state == "finished" else []
    except HwnasError as error:
        return RunInfo(name, "damaged", when=when, problem=str(error))
    metric, best, samples = past.metric, past.best(settings.budgets), validation_samples(networks)
    return RunInfo(
        name=name,
        state=state,
        trials=done,
        samples=settings.samples,
        space=settings.space,
        data=settings.evaluator if settings.evaluator.startswith("table:") else settings.data,
        device=settings.device if settings.latency_column is None else f"column {settings.latency_column}",
        budgets=settings.budgets,
        device_budgets={d.name: d.latency_budget_ms for d in settings.several if d.latency_budget_ms is not None},
        metric=metric,
        best=best,
        standard_error=None if best is None else metric.standard_error(best, samples),
        networks=len(networks),
        over_budget=sum(bool(overruns(network, settings.budgets)) for network in networks),
        when=when,
    )


def validation_samples(networks: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the number of validation samples of a run, from its networks; None where they do not state it."""
    return samples_of(networks[0], "validation") if networks else None


def _state(past: PastRun) -> str:
    run = past.run
    if is_locked(run.path / JOURNAL):
        return "running"
    whole = run.finished == len(past.trials) and (run.path / "pareto.json").exists()
    return "finished" if whole else "stopped"


def _looks_like_run(path: Path, files: list[str]) -> bool:
    """Return whether a settings.json is a run's: by its format, or by the journal beside it if unreadable."""
    try:
        record = read_json(path / "settings.json", _MOST_SETTINGS)
    except (OSError, ValueError):
        return JOURNAL in files
    return isinstance(record, dict) and record.get("format") == "hwnas-run"


def _changed(path: Path) -> str:
    times = [file.stat().st_mtime for name in (JOURNAL, "settings.json") if (file := path / name).exists()]
    return datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds") if times else ""
