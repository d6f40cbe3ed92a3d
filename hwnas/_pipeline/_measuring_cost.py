"""What measuring may cost: at most a share of a search's time, or some seconds a trial, whichever is more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from hwnas._tables._references import percent_text
from profilers import SamplingSettings, fixed_rounds

MOST_SHARE, MOST_S = 0.15, 0.5
"""Measuring may take this share of a search's time, or so many seconds a trial, whichever is more."""
ROUNDS, LEAST_ROUNDS, PRIMING_RUNS, LEAST_PRIMING_RUNS = 15, 5, 4, 1
_INNER_S = 300e-6
"""Seconds of one sample."""
_WARMING_RUNS = 4
"""Executions of each network before the first round: one to warm up, three to choose the repeats."""


class MeasuringCost:
    """What measuring has cost in this process, and what it may cost next.

    Args:
        now: Returns seconds.

    Attributes:
        trials: Number of measured trials.
        spent_s: Seconds that measuring them took.
        waited_s: Seconds in which the search did nothing else.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._began = now, now()
        self.trials, self.spent_s, self.waited_s = 0, 0.0, 0.0

    def allowance_s(self, trials: int) -> float:
        """Return the seconds that measuring so many further trials may take.

        With m seconds of measuring and o of everything else, m / (m + o) <= s is m <= o s / (1 - s).
        """
        others_s = max(0.0, self._now() - self._began - self.waited_s)
        most_s = max(MOST_S * (self.trials + trials), others_s * MOST_SHARE / (1 - MOST_SHARE))
        return max(0.0, most_s - self.spent_s)

    def add(self, trials: int, seconds: float) -> None:
        """Count measured trials, and the seconds that they took."""
        self.trials += trials
        self.spent_s += seconds

    def line(self) -> str | None:
        """Return what it cost, for people; None where nothing was measured."""
        if not self.trials:
            return None
        share = self.waited_s / max(self._now() - self._began, 1e-9)
        text = f"measuring took {self.spent_s / self.trials:.3g} s a trial"
        return f"{text}; the search waited for it {percent_text(share)} of its time"


def choose_sampling(expected_s: Sequence[float], allowance_s: float) -> SamplingSettings:
    """Return how to sample networks within an allowance: fewer priming runs first, then fewer rounds.

    Args:
        expected_s: Seconds that one execution of each network and each reference takes.
        allowance_s: Seconds that all may take together; the least sampling may take longer.
    """
    left_s = allowance_s - _WARMING_RUNS * sum(expected_s)
    rounds, priming_runs = ROUNDS, PRIMING_RUNS
    while priming_runs > LEAST_PRIMING_RUNS and rounds * _round_s(expected_s, priming_runs) > left_s:
        priming_runs -= 1
    round_s = _round_s(expected_s, priming_runs)
    if rounds * round_s > left_s:
        rounds = max(LEAST_ROUNDS, math.floor(left_s / round_s))
    return fixed_rounds(
        rounds,
        max_seconds=max(0.0, left_s),
        inner_seconds=_INNER_S,
        priming_runs=priming_runs,
        min_rounds=LEAST_ROUNDS,
    )


def _round_s(expected_s: Sequence[float], priming_runs: int) -> float:
    """Return the seconds of one round: of each network the priming runs and one sample."""
    return sum(priming_runs * seconds + max(seconds, _INNER_S) for seconds in expected_s) or _INNER_S
