"""Lines of `hwnas runs`."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas._runs._compare import aligned
from hwnas._runs._list import RunInfo, written_budgets

_HEADS = ("run", "state", "trials", "best", "budget", "space", "data", "device", "when")


def run_lines(found: Sequence[RunInfo], folder: str) -> list[str]:
    """A table, and what is wrong with the damaged ones below it."""
    if not found:
        return [f"no runs below {folder}"]
    rows = [list(_HEADS)]
    for info in found:
        if info.state == "damaged":
            rows.append([info.name, info.state, "-", "-", "-", "-", "-", "-", info.when[:16].replace("T", " ")])
            continue
        best = "-" if info.best is None else info.metric.format(info.best, info.standard_error)
        rows.append(
            [
                info.name,
                info.state,
                f"{info.trials} of {info.samples}",
                best,
                written_budgets(info.budgets or {}),
                info.space,
                info.data,
                info.device,
                info.when[:16].replace("T", " "),
            ]
        )
    return [*aligned(rows), *(line for info in found for line in _remarks(info))]


def _remarks(info: RunInfo) -> list[str]:
    """What the table has no column for: what is damaged, and networks that do not keep the budget."""
    found = [f"{info.name}: {info.problem}"] if info.problem else []
    if info.over_budget:
        found.append(f"{info.name}: {info.over_budget} of {info.networks} networks do not keep the budget, as measured")
    return found
