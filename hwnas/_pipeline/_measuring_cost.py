"""What measuring may cost: at most a share of a search's time, or some seconds a trial, whichever is more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hwnas._tables._references import percent_text
from profilers import SamplingSettings, fixed_rounds

MOST_SHARE, MOST_S = 0.15, 0.5
"""Measuring may take this share of a search's time, or so many seconds a trial, whichever is more."""
ROUNDS, PRIMING_RUNS = 20, 4
"""Rounds of single inferences, and untimed executions before each: as those of the winners' measurements."""
MORE_ROUNDS, AT_EASE = (100, 50), 1 / 3
"""Rounds of networks so small that these take no more than this share of the allowance."""
FEW_ROUNDS, FEWEST_ROUNDS, FEWEST_REFERENCES = 5, 3, 2
"""Rounds with one untimed execution and all references; rounds without any, beside the fewest references."""
_FIRST_RUNS = 1
"""Executions of each network before the first round."""


@dataclass(frozen=True)
class Sampling:
    """How a batch is sampled.

    Attributes:
        settings: Rounds and untimed executions.
        references: Number of reference networks that are timed in every round.
    """

    settings: SamplingSettings
    references: int


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


def choose_sampling(network_s: Sequence[float], reference_s: Sequence[float], allowance_s: float) -> Sampling:
    """Return how to sample networks as single inferences within an allowance.

    Small networks are sampled in `MORE_ROUNDS` rounds. For large ones fewer untimed executions come first, then
    fewer rounds, then fewer references, and at last no untimed executions and the fewest rounds.

    Args:
        network_s: Seconds that one execution of each network takes, and of the reference op.
        reference_s: The same of each reference network.
        allowance_s: Seconds that all may take together; the least sampling may take longer.
    """
    ordered = sorted(reference_s)

    def takes_s(plan: tuple[int, int, int]) -> float:
        """Return the seconds of a plan."""
        references, rounds, priming_runs = plan
        return (sum(network_s) + sum(ordered[:references])) * (_FIRST_RUNS + rounds * (priming_runs + 1))

    plans = list(_plans(len(ordered)))
    references, rounds, priming_runs = next((plan for plan in plans if takes_s(plan) <= allowance_s), plans[-1])
    if (rounds, priming_runs) == (ROUNDS, PRIMING_RUNS):
        most_s = AT_EASE * allowance_s
        rounds = next((more for more in MORE_ROUNDS if takes_s((references, more, priming_runs)) <= most_s), ROUNDS)
    settings = fixed_rounds(
        rounds,
        max_seconds=max(0.0, allowance_s),
        inner_seconds=0.0,
        priming_runs=priming_runs,
        min_rounds=FEWEST_ROUNDS,
    )
    return Sampling(settings, references)


def _plans(references: int) -> Iterator[tuple[int, int, int]]:
    """Yield numbers of references, of rounds and of untimed executions, from the best plan to the quickest."""
    for priming_runs in range(PRIMING_RUNS, 0, -1):
        yield references, ROUNDS, priming_runs
    for rounds in range(ROUNDS - 1, FEW_ROUNDS - 1, -1):
        yield references, rounds, 1
    fewest = min(references, FEWEST_REFERENCES)
    for kept in range(references - 1, fewest - 1, -1):
        yield kept, FEW_ROUNDS, 1
    for rounds in range(FEW_ROUNDS, FEWEST_ROUNDS - 1, -1):
        yield fewest, rounds, 0
