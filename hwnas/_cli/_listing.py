"""Lines of `hwnas runs`."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas._costs._cost import written_budgets
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
    return [*aligned(rows), *(line for info in infos for line in _remarks(info))]


def _remarks(info: RunInfo) -> list[str]:
    """Say what is damaged, and how many networks exceed the budget: the table has no column for these."""
    remarks = [f"{info.name}: {info.problem}"] if info.problem else []
    if info.over_budget:
        remarks.append(f"{info.name}: {info.over_budget} of {info.networks} networks exceed the budget when measured")
    return remarks
