"""What a search measures on its device, where the settings leave that open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwnas._costs._cost import LATENCY
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings


def resolve_measuring(settings: SearchSettings, out: Path) -> SearchSettings:
    """Return the settings with what is measured, and the statistic of latencies, where these were left open.

    A run that has trials keeps what it was begun with.

    Args:
        settings: What to search for.
        out: The run directory.

    Raises:
        RunError: The settings of a run that has trials cannot be read.
    """
    if settings.measure is not None and settings.latency_statistic is not None:
        return settings
    measure, statistic = _usual(settings), DEFAULT_STATISTIC
    if out.is_dir() and Run(out, settings, {}).has_trials():
        before = Run.open(out).settings
        measure, statistic = before.measure or measure, before.latency_statistic or statistic
    return replace(
        settings,
        measure=settings.measure or measure,
        latency_statistic=settings.latency_statistic or statistic,
    )


def _usual(settings: SearchSettings) -> str:
    """Return what is measured by default."""
    if settings.offline:
        return "none"
    timed = LATENCY.name in settings.minimize or LATENCY.key in settings.budgets
    return "trials" if timed and settings.latency_column is None else "winners"
