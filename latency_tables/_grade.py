"""How reliable a table is: good, shaky or unusable, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GOOD = "good"
"""Grade of a table without any sign of a problem."""
SHAKY = "shaky"
"""Grade of a table whose predictions may be less accurate than it states."""
UNUSABLE = "unusable"
"""Grade of a table that a search refuses unless the user asks for it."""
LEVELS = (GOOD, SHAKY, UNUSABLE)
"""From the best to the worst."""


@dataclass(frozen=True)
class Grade:
    """A level, and the reasons why it is not better.

    Attributes:
        level: One of `LEVELS`.
        reasons: One clause each; empty where the level is good.
    """

    level: str
    reasons: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the grade for people, in one line."""
        advice = {
            GOOD: "",
            SHAKY: "; to improve it, profile again on a quieter machine (`hwnas doctor` shows how)",
            UNUSABLE: "; measure it again on a quieter machine with `hwnas profile --force` (`hwnas doctor` shows how)",
        }
        reasons = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"quality of the table: {self.level}{reasons}{advice[self.level]}"


@dataclass(frozen=True)
class Limit:
    """The values above which something is shaky, and above which it is unusable.

    Attributes:
        shaky: Largest value that is good.
        unusable: Largest value that is shaky.
    """

    shaky: float
    unusable: float = math.inf

    def judge(self, value: float, text: str) -> Grade:
        """Return the grade by this value alone, with `text` as the reason where it is not good."""
        if not value > self.shaky:
            return Grade(GOOD)
        return Grade(UNUSABLE if value > self.unusable else SHAKY, (text,))


ERROR_LIMIT = Limit(0.10, 0.30)
"""For the mean relative error of predictions."""
_FLOOR = Limit(0.05, 0.25)
_END = Limit(0.15, 0.50)
_BY_CHANCE = 1 / 400
"""Chance that a table with correct intervals is graded shaky because of them."""
_LEAST_AT_AN_END = 3
"""Fewest networks from which an end of the range is graded."""


def grade_held_out(
    *, error: float, floor: float, networks: int, outside: int, ends: Sequence[tuple[str, int, float]]
) -> Grade:
    """Grade predictions of held-out networks.

    Args:
        error: Mean absolute relative error.
        floor: Median relative difference of two measurements of the same network.
        networks: Number of networks.
        outside: How many of them are outside their 90 % interval.
        ends: Name, number of networks and error of each end of the range.
    """
    grades = [
        ERROR_LIMIT.judge(error, f"held-out networks are off by {error:.0%} on average"),
        _FLOOR.judge(floor, f"the same network measured twice differs by {floor:.0%}"),
        judge_misses(outside, networks),
    ]
    for name, count, end_error in ends:
        if count >= _LEAST_AT_AN_END:
            grades.append(_END.judge(end_error, f"the {name} is off by {end_error:.0%}"))
    return worst_grade(grades)


def judge_misses(outside: int, networks: int) -> Grade:
    """Grade by the number of networks outside their 90 % intervals: shaky where chance hardly explains it.

    The chance is that of ``outside`` or more misses among ``networks`` at 10 % each, a binomial tail.
    """
    from scipy.special import bdtrc

    if float(bdtrc(outside - 1, networks, 0.1)) >= _BY_CHANCE:
        return Grade(GOOD)
    return Grade(SHAKY, (f"{outside} of {networks} held-out networks are outside their 90 % intervals",))


def worst_grade(grades: Iterable[Grade]) -> Grade:
    """Return the worst level of all, with the reasons of all."""
    judged = list(grades)
    level = max((grade.level for grade in judged), key=LEVELS.index, default=GOOD)
    return Grade(level, tuple(reason for grade in judged for reason in grade.reasons))
