"""Run directories as they lie on disk: what they are, how far they came, what they found. Nothing heavy is loaded."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hwnas._common._chain import Chain, read_lines
from hwnas._errors import HwnasError, RunError
from hwnas._runs._delivered import overruns, samples_of, written_cost
from hwnas._runs._metrics import metric_of_run
from hwnas._runs._run import Run, is_locked
from hwnas._runs._settings import OBJECTIVES
from hwnas.tasks import DEFAULT_METRIC, Metric
from latency_tables import read_json, read_regular

COST_OF = {name: word for word, name in OBJECTIVES.items()}
"""Options of ``--minimize`` by the cost that they stand for."""
_JOURNAL = "trials.jsonl"
_MOST = 1e300
_MOST_SETTINGS = 2**24


@dataclass(frozen=True)
class PastTrial:
    """A journalled trial.

    Attributes:
        values: objective values, by name; empty where it failed.
        costs: costs that are known of it, by name.
        cheap: whether a cheap stand-in was evaluated.
        seconds: that its evaluation took.
    """

    values: Mapping[str, float]
    costs: Mapping[str, float]
    cheap: bool
    seconds: float

    def keeps(self, budgets: Mapping[str, float]) -> bool:
        """Whether it is known to lie within the budgets."""
        return all(self.costs.get(name, math.inf) <= upper for name, upper in budgets.items())


@dataclass(frozen=True)
class PastRun:
    """A run and its journal.

    Attributes:
        run: the run.
        trials: in their order, failed and cheap ones too.
    """

    run: Run
    trials: tuple[PastTrial, ...]

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metric, then the costs."""
        costs = tuple(OBJECTIVES[word] for word in self.run.settings.minimize)
        return (self.metric.name, *costs)

    @property
    def metric(self) -> Metric:
        """What the evaluator gives."""
        return metric_of_run(self.run.identity, self.run.settings.evaluator)

    def standard_error(self, value: float | None) -> float | None:
        """Of a value that the search saw; None where it is not known."""
        if value is None or self.metric.uncertainty is None:
            return None
        try:
            samples = validation_samples(self.run.pareto())
        except HwnasError:  # not delivered yet, or damaged: its trials can be read all the same
            return None
        return self.metric.standard_error(value, samples)

    @property
    def full(self) -> list[PastTrial]:
        """The successful trials that are no cheap ones."""
        return [trial for trial in self.trials if trial.values and not trial.cheap]

    def best(self, budgets: Mapping[str, float]) -> float | None:
        """The best value of the metric within budgets; None where no trial is known to be.

        A run whose budgets never changed keeps them with every trial, whatever is journalled of the costs.
        """
        always = not self.run.phases and dict(budgets) == dict(self.run.settings.budgets)
        metric = self.metric
        kept = [trial.values[metric.name] for trial in self.full if always or trial.keeps(budgets)]
        return max(kept, key=lambda value: metric.sign * value, default=None)


@dataclass(frozen=True)
class RunInfo:
    """One line of `hwnas runs`.

    Attributes:
        name: the folder, as it was found.
        state: ``finished``, ``running``, ``stopped`` or ``damaged``.
        trials: evaluated architectures, cheap looks not counted.
        samples: how many there are to be.
        space: of the search.
        data: of the search, or the table that its values come from.
        device: of the search.
        budgets: upper bounds, by cost name.
        metric: what the best value is of.
        best: the best value within the budgets; None before there is one.
        standard_error: of that value, where it is known.
        networks: delivered by a finished run.
        over_budget: how many of these do not keep the budgets, as measured.
        when: last change, ISO 8601.
        problem: why it is damaged; empty otherwise.
    """

    name: str
    state: str
    trials: int = 0
    samples: int = 0
    space: str = ""
    data: str = ""
    device: str = ""
    budgets: Mapping[str, float] | None = None
    metric: Metric = DEFAULT_METRIC
    best: float | None = None
    standard_error: float | None = None
    networks: int = 0
    over_budget: int = 0
    when: str = ""
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        facts = {**asdict(self), "budgets": dict(self.budgets or {}), "measure": self.metric.name}
        return facts | {"metric": self.metric.as_dict()}


def read_run(path: Path) -> PastRun:
    """A run with its trials, without touching it; a torn last line is left out.

    Raises:
        RunError: the folder is no run, or a file of it is damaged.
    """
    run = Run.open(path)
    found = PastRun(run, ())
    trials = []
    for number, record in enumerate(journal_records(run), 1):
        try:
            trials.append(_trial(record, found.objectives))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            raise RunError(
                f"{path / _JOURNAL} is damaged in line {number}; restore it or choose another --out"
            ) from None
    return PastRun(run, tuple(trials))


def journal_records(run: Run) -> list[dict[str, Any]]:
    """The lines of a run's journal, without touching it; a torn last one is left out.

    Raises:
        RunError: it cannot be read, or is damaged.
    """
    journal = run.path / _JOURNAL
    try:
        data = read_regular(journal) if journal.exists() else b""
    except OSError as error:
        raise RunError(f"cannot read {journal}: {error.strerror}") from None
    return read_lines(journal, data[: data.rfind(b"\n") + 1].splitlines(), Chain(run.unhashed))


def find_runs(folder: Path) -> list[RunInfo]:
    """All runs below a folder (or the one that it is), sorted by name.

    Raises:
        RunError: there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder; choose one that holds run directories")
    found = []
    for place, folders, files in os.walk(folder):
        if "settings.json" in files and _looks_like_run(Path(place), files):
            folders.clear()
            found.append(describe_run(Path(place), folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return sorted(found, key=lambda info: info.name)


def describe_run(path: Path, folder: Path) -> RunInfo:
    """One run for `hwnas runs`, damaged ones too."""
    name = str(path.relative_to(folder)) if path != folder else str(path)
    when = _changed(path)
    try:
        past = read_run(path)
    except HwnasError as error:
        return RunInfo(name, "damaged", when=when, problem=str(error))
    settings, done, state = past.run.settings, sum(not trial.cheap for trial in past.trials), _state(past)
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
        metric=metric,
        best=best,
        standard_error=None if best is None else metric.standard_error(best, samples),
        networks=len(networks),
        over_budget=sum(bool(overruns(network, settings.budgets)) for network in networks),
        when=when,
    )


def written_budgets(budgets: Mapping[str, float]) -> str:
    """Budgets for people: ``latency 4 ms, params 600k``."""
    parts = []
    for name, upper in budgets.items():
        value = f"{upper:g} ms" if name == "latency_ms" else written_cost(name, upper)
        parts.append(f"{COST_OF[name]} {value}")
    return ", ".join(parts) or "none"


def validation_samples(networks: Sequence[Mapping[str, Any]]) -> int | None:
    """How many samples the validation values of a run come from, by its networks; None where these do not tell."""
    return samples_of(networks[0], "validation") if networks else None


def _trial(record: Any, objectives: tuple[str, ...]) -> PastTrial:
    values = {str(name): _finite(value) for name, value in record["values"].items()}
    failed, cheap, seconds = record["failed"], record.get("cheap", False), _finite(record.get("seconds", 0.0))
    costs = {str(name): _finite(value) for name, value in record.get("costs", {}).items()}
    if type(record["number"]) is not int or type(cheap) is not bool or not isinstance(failed, str | None):
        raise ValueError
    if failed is None and not set(objectives) <= values.keys():
        raise ValueError
    costs |= {name: value for name, value in values.items() if name in COST_OF}
    return PastTrial(values if failed is None else {}, costs, cheap, seconds)


def _finite(value: object) -> float:
    if type(value) not in (int, float) or not -_MOST <= value <= _MOST:  # type: ignore[operator]
        raise ValueError
    return float(value)  # type: ignore[arg-type]


def _state(past: PastRun) -> str:
    run = past.run
    if is_locked(run.path / "trials.jsonl"):
        return "running"
    whole = run.finished == len(past.trials) and (run.path / "pareto.json").exists()
    return "finished" if whole else "stopped"


def _looks_like_run(path: Path, files: list[str]) -> bool:
    """Whether a settings.json is of a run: by its format, or by the journal beside it where it cannot be read."""
    try:
        record = read_json(path / "settings.json", _MOST_SETTINGS)
    except (OSError, ValueError):
        return "trials.jsonl" in files
    return isinstance(record, dict) and record.get("format") == "hwnas-run"


def _changed(path: Path) -> str:
    times = [file.stat().st_mtime for name in ("trials.jsonl", "settings.json") if (file := path / name).exists()]
    return datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds") if times else ""
