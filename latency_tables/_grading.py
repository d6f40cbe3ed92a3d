"""The grade of a table, from the state of the machine and from whole networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from latency_tables._entry import Entry
from latency_tables._grade import ERROR_LIMIT, SHAKY, Grade, Limit, worst_grade
from latency_tables._measurement import NetworkMeasurement
from latency_tables._validation import ValidationReport

DRIFT = "calibration_op_drift"
"""Key of a table's environment: drift of the reference op, in its earlier spelling."""
DISTURBED = "disturbed_rounds"
"""Key of a table's environment: share of the rounds in which something else used the machine."""
HALVES = "split_half_median"
"""Key of a table's environment: median difference between two halves of the rounds."""
_DRIFT = Limit(0.10, 0.50)
_DISTURBED = Limit(0.25)
_UNSTABLE = Limit(0.30)
_HALVES = Limit(0.05, 0.25)


def grade_table(
    environment: Mapping[str, object],
    entries: Sequence[Entry],
    networks: Sequence[NetworkMeasurement],
    validation: ValidationReport | None,
) -> Grade:
    """Grade a table.

    Args:
        environment: The table's environment: drift of the reference op, and differences between halves of the rounds.
        entries: Its rows.
        networks: Whole networks that were measured beside the rows.
        validation: Its report on held-out networks; without one, its own predictions of the others are judged.
    """
    drift, halves = _share(environment.get(DRIFT)), _share(environment.get(HALVES))
    used = _share(environment.get(DISTURBED))
    noisy = sum(entry.status == "unstable" for entry in entries)
    grades = [
        _DRIFT.judge(drift, f"the reference op drifted by {drift:.0%} during the measurement"),
        _HALVES.judge(halves, f"two halves of the rounds differ by {halves:.0%} for the same graph"),
        _DISTURBED.judge(used, f"something else used the machine in {used:.0%} of the rounds"),
        _UNSTABLE.judge(noisy / max(1, len(entries)), f"{noisy} of {len(entries)} prices are unstable"),
    ]
    if validation is not None:
        grades.append(validation.grade)
    elif networks:
        error = float(np.mean([abs(n.unfitted_ms / n.latency_ms - 1.0) for n in networks]))
        grades.append(
            ERROR_LIMIT.judge(error, f"networks that the table was not fitted to are off by {error:.0%} on average")
        )
    else:
        grades.append(Grade(SHAKY, ("no network was measured to check the predictions",)))
    return worst_grade(grades)


def _share(value: object) -> float:
    """Read a number of the environment; 0 where it holds none."""
    return float(min(value, 1e9)) if isinstance(value, (int, float)) and value >= 0 else 0.0
