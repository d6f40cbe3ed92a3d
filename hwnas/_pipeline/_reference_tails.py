"""Tails of the references of a run: how many times q10 each statistic is.

Tables before ``environment["reference_tails"]`` do not say that. A run with such a table that measures networks
measures them while it is set up, and keeps them; all of its sessions and estimates then refer to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hwnas._errors import HwnasError, RunError
from hwnas._pipeline._setup import SearchTable
from hwnas._runs._agreement import PREDICTED
from hwnas._runs._run import Run
from hwnas._tables._references import MOST_REFERENCES, calm_speed, tails_of
from hwnas._tables._validate import table_references
from hwnas.spaces import Space
from latency_tables import LatencyTable, read_json
from profilers import STATISTICS, Backend, TextProgress

TAILS = "reference_tails.json"
"""The run's file of the tails of its references, by statistic."""
_MOST_BYTES = 2**16
_OF_MEANS = (PREDICTED, "median")
"""Statistics that are stated where each sample is a mean of many inferences."""


def resolve_tails(run: Run, space: Space, latency: SearchTable, progress: TextProgress) -> dict[str, float]:
    """Return the tails of a search: those of its table, those that the run keeps, or those measured now.

    Args:
        run: The run, whose folder is locked; nothing is written into it yet.
        space: What is searched.
        latency: Where latencies come from.
        progress: Receives progress lines.

    Returns:
        How many times q10 each statistic is; empty where that is not known.

    Raises:
        RunError: The run's file of tails is damaged.
    """
    table, backend = latency.table, latency.backend
    if table is None:
        return {}
    tails = tails_of(table) or (read_tails(run.path) if run.keeps(TAILS) else None) or {}
    if backend is None or run.settings.measure == "none":
        return tails
    references = table_references(table, space, MOST_REFERENCES)
    if not references.networks:
        progress(
            "the machine's speed is not known: the latency table has no reference networks, or its space "
            f"{table.space.get('name')} cannot be made here"
        )
        return tails
    if not tails:
        tails = dict(calm_speed(backend, references, progress).tails)
    return tails


def save_tails(run: Run, table: LatencyTable | None, tails: Mapping[str, float]) -> None:
    """Keep the tails in the run where its table does not say them.

    Raises:
        RunError: They cannot be written.
    """
    if table is not None and tails and not tails_of(table) and not run.keeps(TAILS):
        run.write(TAILS, json.dumps(dict(tails)) + "\n")


def require_statistic(run: Run, latency: SearchTable, tails: Mapping[str, float]) -> None:
    """Refuse a statistic of latency that nothing can say; a run that has trials keeps what it was begun with.

    Raises:
        HwnasError: Nothing is measured, and the table does not say the statistic's share of q10; or the device times
            many inferences at once.
    """
    settings, backend = run.settings, latency.backend
    statistic = settings.latency_statistic
    if run.has_trials() or statistic in (None, PREDICTED) or settings.devices:
        return
    if backend is None or settings.measure == "none":
        if statistic not in tails:
            raise HwnasError(
                f"--latency-statistic {statistic} needs measurements, or a latency table that says how long tails "
                "are: without them latencies are predictions of q10; use --latency-statistic q10"
            )
    elif statistic not in stated_statistics(backend):
        raise HwnasError(
            f"--latency-statistic {statistic} needs single inferences, but --protocol kernel times many at once; use "
            "--protocol host, or --latency-statistic q10 or median"
        )


def stated_statistics(backend: Backend) -> tuple[str, ...]:
    """Return the statistics that a back end's samples can say: a mean of many inferences has no tail of one."""
    return tuple(STATISTICS) if backend.times_one_inference else _OF_MEANS


def read_tails(folder: Path) -> dict[str, float] | None:
    """Return the tails that a run measured; None where it measured none.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / TAILS
    if not path.exists():
        return None
    try:
        content = read_json(path, _MOST_BYTES)
    except (OSError, ValueError):
        content = None
    if not isinstance(content, Mapping) or not all(
        name in STATISTICS and type(value) in (int, float) and 0 < value < 1e6 for name, value in content.items()
    ):
        raise RunError(f"{path} is damaged; remove it and run the same command again (hwnas then measures it anew)")
    return {str(name): float(value) for name, value in content.items()}
