"""What a search measures on its device, and what it expects of a measurement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import LATENCY
from hwnas._costs._space_costs import CostOfCodes, SpaceCosts
from hwnas._pipeline._setup import SearchTable
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._tables._references import tails_of


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


def trials_are_measured(settings: SearchSettings, latency: SearchTable) -> bool:
    """Return whether every trial is timed: the settings say so, and the table's device is available."""
    return settings.measure == "trials" and latency.table is not None and latency.backend is not None


def expected_latency(costs: SpaceCosts, statistic: str | None) -> CostOfCodes:
    """Return the table's prices as estimates of a statistic of the measured latency.

    A price is a q10. Where the table says how many times q10 the statistic was when it was made, the price is
    multiplied by that.

    Args:
        costs: Give the prices.
        statistic: Statistic that is told; None for the default one.
    """
    tail = tails_of(costs.table).get(statistic or DEFAULT_STATISTIC, 1.0) if costs.table is not None else 1.0

    def expected_ms(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return expected latencies ``(n,)`` of codes ``(n, d)``."""
        return costs.latency_ms(codes) * tail

    return expected_ms
