"""Options that would change nothing."""

from __future__ import annotations

from pathlib import Path

from hwnas._costs._cost import MEMORY
from hwnas._errors import HwnasError
from hwnas._runs._journal import has_trials
from hwnas._runs._options import DEFAULT_STATISTIC, default
from hwnas._runs._settings import SearchSettings

_LEARNS_CHEAPLY = ("lamoo-cheap", "lamoo-low-fidelity")
"""Names of `lamoo` with options of low fidelity."""


def require_effect(settings: SearchSettings, out: Path) -> None:
    """Refuse options that a user gave and that would change nothing.

    A run with trials goes on with what it has: an earlier version may have begun it, and its budgets may change.

    Args:
        settings: As the user gave them.
        out: The run directory.

    Raises:
        HwnasError: Naming one, and what it needs.
    """
    if has_trials(out):
        return
    if settings.low_fidelity is None:
        cheap = sorted(name for name in settings.strategy_options if name.startswith("low_fidelity"))
        if settings.low_fidelity_design != default("low_fidelity_design"):
            cheap.append("--low-fidelity-design")
        if settings.strategy in _LEARNS_CHEAPLY:
            cheap.append(f"--strategy {settings.strategy}")
        if cheap:
            raise HwnasError(f"{cheap[-1]} changes nothing without --low-fidelity; add that, or leave it out")
    if settings.memory_statistic != default("memory_statistic") and MEMORY.key not in settings.budgets:
        raise HwnasError(
            f"--memory-statistic {settings.memory_statistic} says what --memory-budget binds; add that, or leave it out"
        )
    if settings.latency_statistic not in (None, DEFAULT_STATISTIC) and settings.latency_column is not None:
        raise HwnasError(
            f"--latency-statistic {settings.latency_statistic} is of latencies that are measured or predicted; "
            "--latency-column takes them as they are: leave one of them out"
        )
