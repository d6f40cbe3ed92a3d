"""The numbers behind the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._runs._agreement import compared_latency
from hwnas._runs._front import hypervolume_curve
from hwnas.tasks import Metric
from search import Problem, Trial, nondominated

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """All a report draws.

    Attributes:
        metric: What is on the vertical axis.
        cost_name: The objective on the horizontal axis.
        costs: Its values ``(n,)`` of the successful trials.
        values: Values of the metric ``(n,)``, as the search saw them.
        on_front: Which of them no other one dominates in these two objectives.
        samples: Numbers of evaluated architectures ``(k,)``.
        volumes: Hypervolume ``(k,)`` after so many, all objectives scaled to 0-1 over the run. In a search for the best
            network its value of the metric within the budgets, NaN before there is one.
        goal: What was searched for, ``front`` or ``best``.
        seconds: Time spent on evaluations ``(k,)`` until then, low-fidelity ones too; None where that is not known.
        measured: Whether the latencies among the costs were measured in the search.
    """

    metric: Metric
    cost_name: str
    costs: FloatArray
    values: FloatArray
    on_front: npt.NDArray[np.bool_]
    samples: npt.NDArray[np.int64]
    volumes: FloatArray
    seconds: FloatArray | None = None
    measured: bool = False
    goal: str = "front"


def make_curves(
    problem: Problem,
    trials: Sequence[Trial],
    metric: Metric,
    seconds: Mapping[int, float] | None = None,
    *,
    measured: bool = False,
    goal: str = "front",
) -> Curves:
    """Compute the curves of a run.

    Hypervolumes are taken of objectives scaled to their range over the whole run, reference point one tenth below
    the worst. Trials outside the budgets, from before these changed, are on no front and count for no hypervolume.

    Args:
        problem: The run's problem.
        trials: Its trials.
        metric: The evaluator's metric, the first objective.
        seconds: Duration of each of them, by number.
        measured: Whether their latencies were measured.
        goal: What was searched for, ``front`` or ``best``.
    """
    good = [trial for trial in trials if trial.ok and not trial.low_fidelity]
    names = [objective.name for objective in problem.objectives]
    values = np.array([[trial.values[name] for name in names] for trial in good]) * problem.signs
    inside = problem.within(good)
    low, span = values[inside].min(axis=0), np.ptp(values[inside], axis=0)
    scaled = (values - low) / np.where(span > 0, span, 1.0)
    samples, volumes = hypervolume_curve(scaled, inside)
    if goal == "best":
        reached = np.maximum.accumulate(np.where(inside, values[:, 0], -np.inf))[samples - 1]
        volumes = np.where(np.isfinite(reached), metric.sign * reached, np.nan)
    on_front = np.zeros(len(good), dtype=np.bool_)
    on_front[inside] = nondominated(values[inside, :2])
    return Curves(
        metric=metric,
        cost_name=names[1],
        costs=-values[:, 1],
        values=metric.sign * values[:, 0],
        on_front=on_front,
        samples=samples,
        volumes=volumes,
        seconds=_elapsed(trials, [good[n - 1].number for n in samples], seconds),
        measured=measured,
        goal=goal,
    )


def _elapsed(trials: Sequence[Trial], numbers: Sequence[int], seconds: Mapping[int, float] | None) -> FloatArray | None:
    """Return seconds until each of the trials `numbers` was finished."""
    if seconds is None or any(trial.number not in seconds for trial in trials):
        return None
    ordered = sorted(trial.number for trial in trials)
    sums = dict(zip(ordered, np.cumsum([seconds[number] for number in ordered]).tolist(), strict=True))
    return np.array([sums[number] for number in numbers])


def measured_pairs(networks: Sequence[dict[str, Any]]) -> FloatArray:
    """Return predicted, low, high and measured latency ``(n, 4)`` of the networks that have both.

    Measured is the q10, at the table's speed where that is known; low and high are NaN where there is no interval.
    """
    pairs = [pair for network in networks if (pair := compared_latency(network["latency_ms"])) is not None]
    rows = [[pair.predicted, pair.low, pair.high, pair.measured] for pair in pairs]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
