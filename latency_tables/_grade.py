"""How far a table can be trusted: good, shaky or unusable, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from latency_tables._table import Entry
    from latency_tables._validation import NetworkMeasurement, ValidationReport

GOOD = "good"
"""Grade of a table that nothing speaks against."""
SHAKY = "shaky"
"""Grade of a table whose predictions may be further off than it says."""
UNUSABLE = "unusable"
"""Grade of a table that a search takes only where it is asked for."""
LEVELS = (GOOD, SHAKY, UNUSABLE)
"""From the best to the worst."""
DRIFT = "calibration_op_drift"
"""Where a table's environment holds how far the reference op moved while it was measured."""
DISTURBED = "disturbed_rounds"
"""Where it holds in which share of the rounds something else used the machine."""
HALVES = "split_half_median"
"""Where it holds what two halves of the rounds differ by, in the median."""


@dataclass(frozen=True)
class Grade:
    """A level, and what speaks against a better one.

    Attributes:
        level: one of `LEVELS`.
        reasons: one clause each; empty where the level is good.
    """

    level: str
    reasons: tuple[str, ...] = ()

    def line(self) -> str:
        """For people, in one line."""
        advice = {
            GOOD: "",
            SHAKY: "; a profile on a quieter machine (`hwnas doctor` helps) would be better",
            UNUSABLE: "; measure it again on a quieter machine: `hwnas profile --force` (`hwnas doctor` helps)",
        }
        reasons = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"quality of the table: {self.level}{reasons}{advice[self.level]}"


@dataclass(frozen=True)
class _Limit:
    """Above which shares something is shaky, and above which it is unusable."""

    shaky: float
    unusable: float = math.inf

    def judge(self, value: float, text: str) -> Grade:
        """The grade by this alone."""
        if not value > self.shaky:
            return Grade(GOOD)
        return Grade(UNUSABLE if value > self.unusable else SHAKY, (text,))


_DRIFT = _Limit(0.10, 0.50)
_DISTURBED = _Limit(0.25)
_UNSTABLE = _Limit(0.30)
_HALVES = _Limit(0.05, 0.25)
_FLOOR = _Limit(0.05, 0.25)
_ERROR = _Limit(0.10, 0.30)
_END = _Limit(0.15, 0.50)
_BY_CHANCE = 1 / 400
"""How often a table whose intervals are honest may be called shaky for them."""
_LEAST_AT_AN_END = 3
"""Networks that an end is judged by, at least."""


def grade_table(
    environment: Mapping[str, object],
    entries: Sequence[Entry],
    networks: Sequence[NetworkMeasurement],
    validation: ValidationReport | None,
) -> Grade:
    """The grade of a table.

    Args:
        environment: of the table: the drift of the reference op, and what halves of the rounds differ by.
        entries: its rows.
        networks: whole networks that were measured beside them.
        validation: on held-out networks; without any, the table's own predictions of the others are judged.
    """
    found = []
    drift, halves = _share(environment.get(DRIFT)), _share(environment.get(HALVES))
    found.append(_DRIFT.judge(drift, f"the reference op drifted by {drift:.0%} while it was measured"))
    found.append(_HALVES.judge(halves, f"the same graph differs by {halves:.0%} between halves of the rounds"))
    used = _share(environment.get(DISTURBED))
    found.append(_DISTURBED.judge(used, f"something else used the machine in {used:.0%} of the rounds"))
    noisy = sum(entry.status == "unstable" for entry in entries)
    found.append(_UNSTABLE.judge(noisy / max(1, len(entries)), f"{noisy} of {len(entries)} prices are unstable"))
    if validation is not None:
        found.append(grade_validation(validation))
    elif networks:
        error = float(np.mean([abs(n.unfitted_ms / n.latency_ms - 1.0) for n in networks]))
        found.append(_ERROR.judge(error, f"networks that it was not fitted to are off by {error:.0%} on average"))
    else:
        found.append(Grade(SHAKY, ("no network was measured to hold it against",)))
    return _worst(found)


def grade_validation(report: ValidationReport) -> Grade:
    """The grade by held-out networks alone."""
    error, floor = report.calibrated.mape, report.noise_floor.median
    outside = round((1.0 - report.interval_coverage) * report.networks)
    found = [
        _ERROR.judge(error, f"held-out networks are off by {error:.0%} on average"),
        _FLOOR.judge(floor, f"the same network measured twice differs by {floor:.0%}"),
        _judge_misses(outside, report.networks),
    ]
    for end in (end for end in report.ends if end.networks >= _LEAST_AT_AN_END):
        found.append(_END.judge(end.mape, f"the {end.name} of them are off by {end.mape:.0%}"))
    return _worst(found)


def _judge_misses(outside: int, networks: int) -> Grade:
    """The grade by how many networks are outside their 90 % intervals: shaky where chance would hardly do that."""
    chance = sum(math.comb(networks, k) * 0.1**k * 0.9 ** (networks - k) for k in range(outside, networks + 1))
    if chance >= _BY_CHANCE:
        return Grade(GOOD)
    return Grade(SHAKY, (f"{outside} of {networks} held-out networks are outside their 90 % intervals",))


def _worst(grades: Iterable[Grade]) -> Grade:
    found = list(grades)
    level = max((grade.level for grade in found), key=LEVELS.index, default=GOOD)
    return Grade(level, tuple(reason for grade in found for reason in grade.reasons))


def _share(value: object) -> float:
    """A number of the environment; 0 where it holds none."""
    return float(min(value, 1e9)) if isinstance(value, (int, float)) and value >= 0 else 0.0
