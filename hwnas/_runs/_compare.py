"""Several runs side by side: their fronts, and their hypervolumes beyond one common reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._common._text import printable
from hwnas._costs._cost import LATENCY, written_budgets
from hwnas._errors import HwnasError
from hwnas._runs._front import BELOW, hypervolume_curve
from hwnas._runs._list import PastRun, read_run
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._training import one_shot_training
from hwnas.tasks import Metric
from search import nondominated

_MOST_LOG = 700.0
"""Logarithm of what is nearly beyond a double."""

FloatArray = npt.NDArray[np.float64]
_FACTS = ("data", "device", "precision", "space", "evaluator", "goal")


@dataclass(frozen=True)
class Compared:
    """One run among others.

    Attributes:
        name: Short name, different from the others'.
        past: The run.
        values: Objectives ``(n, m)`` of its successful trials, in their natural direction.
        front: Which of them are within the run's budgets, with no other such trial of the run dominating them ``(n,)``.
        samples: Numbers of trials ``(k,)``.
        volumes: Hypervolume ``(k,)`` of those within the run's budgets after so many, on the common scale.
        seconds: Duration of all its evaluations.
    """

    name: str
    past: PastRun
    values: FloatArray
    front: npt.NDArray[np.bool_]
    samples: npt.NDArray[np.int64]
    volumes: FloatArray
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Several runs on one scale.

    Attributes:
        metric: What networks are good at.
        objectives: The metric, then the costs.
        reference: The common reference, in natural values: a tenth of the range below the worst of all runs.
        runs: The runs, in the order given.
        notes: What else differs between them.
    """

    metric: Metric
    objectives: tuple[str, ...]
    reference: FloatArray
    runs: tuple[Compared, ...]
    notes: tuple[str, ...]

    @property
    def budgets(self) -> list[Mapping[str, float]]:
        """The budgets of all runs, each once."""
        return _budgets_of([compared.past for compared in self.runs])

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {
            "objectives": list(self.objectives),
            "reference": dict(zip(self.objectives, self.reference.tolist(), strict=True)),
            "notes": list(self.notes),
            "runs": [
                {
                    "name": compared.name,
                    "path": str(compared.past.run.path),
                    "hypervolume": float(compared.volumes[-1]),
                    "best": [
                        {"budgets": dict(b), "value": value, "standard_error": compared.past.standard_error(value)}
                        for b in self.budgets
                        for value in [compared.past.best(b)]
                    ],
                    "trials": len(compared.past.trials),
                    "seconds": round(compared.seconds, 3),
                    "training": _training(compared.past),
                    "front": [
                        dict(zip(self.objectives, row, strict=True)) for row in compared.values[compared.front].tolist()
                    ],
                    "samples": compared.samples.tolist(),
                    "volumes": compared.volumes.tolist(),
                }
                for compared in self.runs
            ],
        }


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """Read runs and put them on one scale: objectives from 0 to 1 over all of them, costs by their logarithm.

    Raises:
        HwnasError: Fewer than two runs, one is damaged or has no trials, or their objectives differ.
    """
    if len(paths) < 2:
        raise HwnasError("compare needs at least two runs")
    pasts = [read_run(path) for path in paths]
    names = short_names(paths)
    metric = replace(pasts[0].metric, precision=None)
    for path, past in zip(paths, pasts, strict=True):
        if set(past.objectives) != set(pasts[0].objectives):
            raise HwnasError(
                f"{path} has the objectives {', '.join(past.objectives)}, {paths[0]} has "
                f"{', '.join(pasts[0].objectives)}; compare runs of the same objectives"
            )
        if replace(past.metric, precision=None) != metric:
            raise HwnasError(
                f"{path} and {paths[0]} have different metrics of the name {past.metric.name}; compare runs of one"
            )
        if not past.full:
            raise HwnasError(f"{path} has no successful trial yet; continue its `hwnas search` first")
    if all(past.metric == pasts[0].metric for past in pasts):
        metric = pasts[0].metric
    objectives = pasts[0].objectives
    values = [np.array([[trial.values[name] for name in objectives] for trial in past.full]) for past in pasts]
    axes = [_axes(part, metric) for part in values]
    low, high = np.concatenate(axes).min(axis=0), np.concatenate(axes).max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scaled = [(part - low) / span for part in axes]
    reference = low - BELOW * span
    natural = np.concatenate([metric.sign * reference[:1], np.exp(np.minimum(-reference[1:], _MOST_LOG))])
    rows = zip(names, pasts, values, scaled, strict=True)
    runs = tuple(_compared(*row) for row in rows)
    return Comparison(metric, objectives, natural, runs, tuple(_notes(names, pasts)))


def table_lines(comparison: Comparison) -> list[str]:
    """Return the table for people, and the notes below it."""
    metric = comparison.metric.text
    budgets = comparison.budgets
    heads = ["run", "hypervolume", *(f"best {metric}, {_written(b)}" for b in budgets), "trials", "seconds"]
    rows = [heads]
    for compared in comparison.runs:
        past = compared.past
        best = [_best(past, past.best(b)) for b in budgets]
        volume, seconds = f"{compared.volumes[-1]:.4f}", f"{compared.seconds:.1f}"
        rows.append([compared.name, volume, *best, str(len(past.trials)), seconds])
    worst = zip(comparison.objectives, comparison.reference.tolist(), strict=True)
    spread = any("±" in cell for row in rows for cell in row)
    return [
        *aligned(rows),
        "hypervolume of the trials within each run's budgets, relative to "
        f"{', '.join(f'{name} {value:.4g}' for name, value in worst)}; "
        "objectives scaled to 0-1 over all runs, costs on a logarithmic scale",
        *(["± is one standard error, from the number of validation samples"] if spread else []),
        *(f"note: {note}" for note in comparison.notes),
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines, the first column to the left and the others to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return names of folders or files as they were given, with as many of their parents as tell them apart."""
    parts = [_with_own_name(path).parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]} ({i})" for i, part in enumerate(parts, 1)]


def _with_own_name(path: Path) -> Path:
    """Return an absolute path that ends as the given one: a link at its end keeps its name."""
    return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()


def _compared(name: str, past: PastRun, values: FloatArray, scaled: FloatArray) -> Compared:
    counted = np.array(past.within(past.run.settings.budgets))
    samples, volumes = hypervolume_curve(scaled, counted)
    front = np.zeros(len(scaled), dtype=np.bool_)
    front[counted] = nondominated(scaled[counted])
    return Compared(
        name=name,
        past=past,
        values=values,
        front=front,
        samples=samples,
        volumes=volumes,
        seconds=sum(trial.seconds or 0.0 for trial in past.trials),
    )


def _axes(values: FloatArray, metric: Metric) -> FloatArray:
    """Return natural values, all to be maximised, the costs' logarithms."""
    return np.concatenate([metric.sign * values[:, :1], -np.log(np.maximum(values[:, 1:], 1e-12))], axis=1)


def _notes(names: Sequence[str], pasts: Sequence[PastRun]) -> list[str]:
    """Return settings that differ and make runs hard to compare."""
    notes = []
    facts = {fact: [getattr(past.run.settings, fact) for past in pasts] for fact in _FACTS}
    facts["latency"] = [_latency(past) for past in pasts]
    for fact, values in facts.items():
        if len(set(values)) > 1:
            texts = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
            notes.append(f"the runs differ in {fact}: {texts}")
    asked = _budgets_of(pasts)
    for name, past in zip(names, pasts, strict=True):
        if unknown := past.unknown(past.run.settings.budgets):
            notes.append(
                f"{name}: {unknown} of its trials count for nothing here: they were evaluated before it had this "
                "budget, and their cost is not in the journal; report.html and pareto.json of the run do count them"
            )
        for budgets in asked:
            if budgets != dict(past.run.settings.budgets) and (unknown := past.unknown(budgets)):
                notes.append(
                    f"{name}: whether {unknown} of its trials keep {_written(budgets)} is not in its journal; only "
                    "costs that a run minimises or limits are"
                )
        if (record := one_shot_training(past.run)) is not None:
            notes.append(f"{name} trained before its trials, which the seconds leave out: {record.cost_line}")
    return notes


def _budgets_of(pasts: Sequence[PastRun]) -> list[Mapping[str, float]]:
    """Return the budgets of runs, each once."""
    distinct: list[Mapping[str, float]] = []
    for past in pasts:
        if dict(past.run.settings.budgets) not in distinct:
            distinct.append(dict(past.run.settings.budgets))
    return distinct


def _training(past: PastRun) -> dict[str, Any] | None:
    record = one_shot_training(past.run)
    if record is None:
        return None
    return {"samples": record.train_samples, "judged": record.judged_samples, "seconds": round(record.seconds, 3)}


def _latency(past: PastRun) -> str:
    """Return which quantity a run calls latency; nothing where it is neither an objective nor under a budget."""
    settings = past.run.settings
    if LATENCY.name not in settings.minimize and LATENCY.key not in settings.budgets:
        return "not used"
    return f"measured ({settings.latency_statistic or DEFAULT_STATISTIC})" if past.measured else "predicted"


def _written(budgets: Mapping[str, float]) -> str:
    return written_budgets(budgets) if budgets else "no budget"


def _best(past: PastRun, value: float | None) -> str:
    return "-" if value is None else past.metric.format(value, past.standard_error(value))
