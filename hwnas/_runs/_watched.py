"""What those who watch a search get to see of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hwnas._runs._journal import TrialRecord
from hwnas._runs._run import Run
from hwnas.spaces import Space
from search import Objective


def nothing() -> None:
    """Do nothing, where records come from no journal."""


@dataclass(frozen=True)
class WatchedSearch:
    """A search before its first evaluation, or before the first one after an interruption.

    Attributes:
        run: The run directory.
        records: The finished trials in the order of the journal; the list grows with it.
        space: What is searched.
        objectives: What is maximised and minimised; the metric comes first.
        sync: Waits until every one of the records is on the disk, safe from a loss of power.
    """

    run: Run
    records: Sequence[TrialRecord]
    space: Space
    objectives: Sequence[Objective]
    sync: Callable[[], None] = nothing

    def chosen(self, record: TrialRecord) -> tuple[float | str, ...]:
        """Return the value of each choice of the space, in the order of the choices."""
        return self.space.decode(record.codes).values


OWN_COLUMNS = ("number", "arch", "failed", "low_fidelity", "seconds", "seed", "source")
"""What tables of trials say of each trial besides its numbers."""


def column_of(name: str) -> str:
    """Return what a number of `trial_numbers` is called in tables that have `OWN_COLUMNS`, too."""
    return f"evaluator_{name}" if name in OWN_COLUMNS else name


def trial_numbers(record: TrialRecord) -> Mapping[str, float]:
    """Return every number that a record holds of a network, by one name each.

    The values have their own names (``latency_ms``), and so have budgeted costs and what the evaluator gave besides.
    An estimate is ``estimate_latency_ms``, a statistic of a measurement is ``measured_latency_ms_median``.
    """
    numbers = {**record.extra_columns, **record.costs, **record.values}
    numbers |= {f"estimate_{name}": value for name, value in record.estimates.items()}
    for name, statistics in record.measurements.items():
        numbers |= {f"measured_{name}_{statistic}": value for statistic, value in statistics.items()}
    return numbers
