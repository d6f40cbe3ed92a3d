"""The timer of a run: references whose tails, too, stay the same from one session of the run to the next.

Tables before ``environment["reference_tails"]`` do not say how long the tails of times were when they were made. A run
with such a table measures them once, at its first measurement, and keeps them; all of its sessions then refer to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hwnas._errors import RunError
from hwnas._runs._run import Run
from latency_tables import read_json
from profilers import STATISTICS, Backend, References, ReferenceTimer, fixed_rounds

TAILS = "reference_tails.json"
"""The run's file of the tails of its references, by statistic."""
ROUNDS, MOST_SECONDS = 100, 10.0
"""Rounds of the tails' session, and the seconds after which none begins."""
_MOST_BYTES = 2**16


def reference_timer(run: Run, backend: Backend, references: References) -> ReferenceTimer:
    """Return what times networks beside references; measures the references' tails where nothing says them yet.

    Args:
        run: The run, which keeps the tails.
        backend: Device and runtime.
        references: The references of the run's table.

    Raises:
        RunError: The run's file of tails is damaged, or cannot be written.
    """
    if references.tails or not references.networks:
        return ReferenceTimer(backend, references)
    kept = read_tails(run.path)
    timer = ReferenceTimer(backend, replace(references, tails=kept or {}))
    if kept is None:
        # Single inferences, as whole networks are timed: a sample of several has a shorter tail.
        settings = fixed_rounds(ROUNDS, max_seconds=MOST_SECONDS, inner_seconds=0.0)
        tails = dict(timer.measure({}, settings).speed.tails)
        run.write(TAILS, json.dumps(tails) + "\n")
        timer.references = replace(references, tails=tails)
    return timer


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
