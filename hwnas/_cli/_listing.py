"""Lines of `hwnas runs`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hwnas._costs._cost import LATENCY, written_budgets
from hwnas._runs._compare import aligned
from hwnas._runs._list import RunInfo

_HEADS = ("run", "state", "trials", "best", "budget", "space", "data", "device", "when")


def run_lines(infos: Sequence[RunInfo], folder: str) -> list[str]:
    """Write runs as a table; below it stands what is wrong with damaged ones.

    Args:
        infos: The runs.
        folder: Where they were looked for.
    """
    if not infos:
        return [f"no runs in {folder}"]
    rows = [list(_HEADS)]
    for info in infos:
        if info.state == "damaged":
            rows.append([info.name, info.state, "-", "-", "-", "-", "-", "-", _local(info.when)])
            continue
        best = "-" if info.best is None else info.metric.format(info.best, info.standard_error)
        rows.append(
            [
                info.name,
                info.state,
                f"{info.trials} of {info.samples}",
                best,
                _budgets(info),
                info.space,
                info.data,
                info.device,
                _local(info.when),
            ]
        )
    return [*aligned(rows), *(line for info in infos for line in _remarks(info))]


def _budgets(info: RunInfo) -> str:
    """Write the budgets, those of several devices too: ``macs 1M, latency on a 4 ms``."""
    devices = (
        f"{LATENCY.name} on {name} {LATENCY.format(value)}" for name, value in (info.device_budgets or {}).items()
    )
    return ", ".join([*([written_budgets(info.budgets)] if info.budgets else []), *devices]) or written_budgets({})


def _local(when: str) -> str:
    """Write a moment in the time of this machine; nothing for none."""
    return f"{datetime.fromisoformat(when).astimezone():%Y-%m-%d %H:%M}" if when else ""


def _remarks(info: RunInfo) -> list[str]:
    """Say what is damaged, and how many networks exceed the budget: the table has no column for these."""
    remarks = [f"{info.name}: {info.problem}"] if info.problem else []
    if info.over_budget:
        remarks.append(f"{info.name}: {info.over_budget} of {info.networks} networks exceed the budget when measured")
    return remarks
