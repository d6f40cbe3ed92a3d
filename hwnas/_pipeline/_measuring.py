"""What a search measures on its device, where the settings leave that open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwnas._costs._cost import LATENCY
from hwnas._runs._agreement import PREDICTED
from hwnas._runs._offline import is_elsewhere
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from latency_tables import LatencyTable, load_table


def resolve_measuring(settings: SearchSettings, out: Path, table: LatencyTable | None = None) -> SearchSettings:
    """Return the settings with what is measured, and the statistic of latencies, where these were left open.

    A run that has trials keeps what it was begun with.

    Args:
        settings: What to search for.
        out: The run directory.
        table: The latency table that takes the place of a named one.

    Raises:
        LatencyTableError: The named table cannot be read.
        RunError: The settings of a run that has trials cannot be read.
    """
    if settings.measure is not None and settings.latency_statistic is not None:
        return settings
    unmeasured = only_predicted(settings, table)
    measure = "none" if unmeasured else _usual(settings)
    statistic = PREDICTED if unmeasured or (settings.measure or measure) == "none" else DEFAULT_STATISTIC
    if out.is_dir() and Run(out, settings, {}).has_trials():
        before = Run.open(out).settings
        measure, statistic = before.measure or measure, before.latency_statistic or statistic
    return replace(
        settings,
        measure=settings.measure or measure,
        latency_statistic=settings.latency_statistic or statistic,
    )


def only_predicted(settings: SearchSettings, table: LatencyTable | None) -> bool:
    """Return whether the device of the latency table that the settings name is not available."""
    if settings.devices:
        return settings.offline  # each device says for itself whether it is available
    if table is None and settings.table is not None and not settings.offline:
        table = load_table(Path(settings.table))
    return settings.offline if table is None else is_elsewhere(table, settings)


def _usual(settings: SearchSettings) -> str:
    """Return what is measured by default where the device is available."""
    timed = LATENCY.name in settings.minimize or LATENCY.key in settings.budgets
    return "trials" if timed and settings.latency_column is None and not settings.devices else "winners"
