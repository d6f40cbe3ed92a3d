"""The numbers behind the plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from search import Problem, Trial, hypervolume, nondominated

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """All a report draws.

    Attributes:
        measure: the objective on the vertical axis.
        cost_name: the objective on the horizontal axis.
        costs: its values ``(n,)`` of the successful trials.
        accuracies: their validation accuracies ``(n,)``, or the score that stood for them.
        on_front: which of them no other one dominates in these two objectives.
        samples: numbers of evaluated architectures ``(k,)``.
        volumes: hypervolume ``(k,)`` after so many, all objectives scaled to 0-1 over the run.
    """

    measure: str
    cost_name: str
    costs: FloatArray
    accuracies: FloatArray
    on_front: npt.NDArray[np.bool_]
    samples: npt.NDArray[np.int64]
    volumes: FloatArray


def make_curves(problem: Problem, trials: Sequence[Trial]) -> Curves:
    """Compute the curves of a run.

    Hypervolumes are taken of objectives scaled to their range over the whole run, reference point one tenth below
    the worst.
    """
    good = [trial for trial in trials if trial.ok and not trial.cheap]
    names = [objective.name for objective in problem.objectives]
    values = np.array([[trial.values[name] for name in names] for trial in good]) * problem.signs
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    scaled = (values - low) / np.where(span > 0, span, 1.0)
    reference = np.full(len(names), -0.1)
    samples = np.unique(np.linspace(1, len(good), min(len(good), 100)).astype(np.int64))
    volumes = [hypervolume(scaled[:n], reference) for n in samples]
    return Curves(
        measure=names[0],
        cost_name=names[1],
        costs=-values[:, 1],
        accuracies=values[:, 0],
        on_front=nondominated(values[:, :2]),
        samples=samples,
        volumes=np.array(volumes),
    )


def measured_pairs(networks: Sequence[dict[str, Any]]) -> FloatArray:
    """Predicted, low, high and measured latency ``(n, 4)`` of the networks that were measured."""
    rows = [
        [latency["predicted"], latency["low"], latency["high"], latency["measured"]]
        for latency in (network["latency_ms"] for network in networks)
        if latency["measured"] is not None
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
