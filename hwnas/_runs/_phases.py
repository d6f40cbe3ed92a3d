"""Budgets that a run had before its present ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas._errors import HwnasError
from hwnas._runs._record import unreadable
from hwnas._runs._settings import require_budgets


@dataclass(frozen=True)
class Phase:
    """Budgets that a run had before others took their place.

    Attributes:
        until: Number of the first trial that they did not hold for.
        budgets: Upper bounds, by cost name.
    """

    until: int
    budgets: Mapping[str, float]


def phases_at(phases: Sequence[Phase], trials: int, budgets: Mapping[str, float]) -> list[Phase]:
    """Return the phases of a run with `trials` finished trials; those in which no trial was proposed are left out.

    Args:
        phases: All phases so far, ascending.
        trials: Finished trials.
        budgets: The present budgets.
    """
    kept: list[Phase] = []
    for phase in phases:
        until = min(phase.until, trials)
        if until > (kept[-1].until if kept else 0):
            kept.append(Phase(until, phase.budgets))
    if kept and kept[-1] == Phase(trials, budgets):
        kept.pop()
    return kept


def read_phases(path: Path, record: Mapping[str, Any]) -> list[Phase]:
    """Return the phases in the settings of the run in folder `path`.

    Raises:
        RunError: They are impossible, or the number of delivered trials is.
    """
    phases, finished = record.get("phases", []), record.get("finished")
    try:
        read = [Phase(phase["until"], require_budgets(phase["budgets"])) for phase in phases]
        ends = [phase.until for phase in read]
        if any(type(end) is not int for end in [*ends, *([] if finished is None else [finished])]):
            raise ValueError
        if ends != sorted(set(ends)) or (ends and ends[0] < 1):
            raise ValueError
    except (KeyError, TypeError, ValueError, HwnasError):
        raise unreadable(path) from None
    return read
