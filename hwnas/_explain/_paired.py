"""Sessions timed in the same rounds, and what their differences say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from profilers import (
    REFERENCE_OP,
    STATISTICS,
    References,
    ReferenceTimer,
    Runnable,
    SamplingSettings,
    fixed_rounds,
    second_pass_name,
)

FloatArray = npt.NDArray[np.float64]
ROUNDS = 100
"""Rounds, where they fit into the time."""
MOST_SECONDS = 20.0
"""Seconds after which no round begins."""
_FEWEST_ROUNDS, _FEW_ROUNDS = 8, 20
_PRIMING = 4
_DRAWS = 400
_PRIOR_SD, _PRIOR_WEIGHT = 0.01, 4
"""What two sessions of one model differ by (standard deviation of the log), and how many pairs that is worth."""
Z90 = NormalDist().inv_cdf(0.95)
"""Half the width of a 90 % interval, in standard deviations."""


def settings_of(total_s: float, rounds: int = ROUNDS) -> SamplingSettings:
    """Return settings for single inferences: fewer rounds and fewer untimed runs where these take long.

    Args:
        total_s: Seconds of one inference of each session together.
        rounds: Most rounds.
    """
    slow = (1 + _PRIMING) * total_s * _FEW_ROUNDS > MOST_SECONDS
    return fixed_rounds(
        rounds,
        max_seconds=MOST_SECONDS,
        inner_seconds=0.0,
        priming_runs=1 if slow else _PRIMING,
        min_rounds=_FEWEST_ROUNDS if slow else _FEW_ROUNDS,
    )


def time_rounds(timer: ReferenceTimer, runnables: Mapping[str, Runnable], rounds: int = ROUNDS) -> Rounds:
    """Time single inferences of every runnable and of the reference op in the same interleaved rounds.

    Args:
        timer: Times the reference op beside them.
        runnables: What to time, by name.
        rounds: Most rounds.
    """
    total_s = sum(min(runnable.run(1) for _ in range(2)) for runnable in runnables.values())
    taken: dict[str, list[float]] = {}

    def keep(number: int, seconds: Mapping[str, float]) -> None:
        """Keep the seconds of a round."""
        for name, value in seconds.items():
            taken.setdefault(name, []).append(value)

    timer.measure(runnables, settings_of(total_s, rounds), on_round=keep)
    reference = np.array(taken.pop(REFERENCE_OP))
    disturbed = float(np.mean(reference > 1.25 * np.quantile(reference, 0.1)))
    return Rounds({name: np.array(values) for name, values in taken.items()}, disturbed)


def plain_timer(backend: object) -> ReferenceTimer:
    """Return a timer that knows no table: it times the reference op, and nothing else, beside what it measures."""
    return ReferenceTimer(backend, References())  # type: ignore[arg-type]


@dataclass(frozen=True)
class Rounds:
    """Seconds of single inferences, by session; the i-th of each was taken in the i-th round.

    Attributes:
        seconds: Seconds ``(n,)`` by session.
        disturbed: Share of rounds in which the reference op took 1.25 times its q10 or more.
    """

    seconds: Mapping[str, FloatArray]
    disturbed: float = 0.0

    @property
    def count(self) -> int:
        """Number of rounds."""
        return min((len(values) for values in self.seconds.values()), default=0)


class Paired:
    """Log latencies of models that were timed in the same rounds, each in one or two sessions.

    The rounds are resampled together: what slowed a round down slowed all of it, and cancels in differences. Two
    sessions of one model lie elsewhere in memory and differ by more than their samples say; the pairs show by how much.

    Args:
        rounds: The samples. The second session of a model is called as `profilers.second_pass_name` says.
        models: Names of the models.
        statistic: Which quantile is compared (`profilers.STATISTICS`).
        seed: Seeds the resamples.

    Attributes:
        logs: Log seconds ``(m,)``: the mean over the sessions of a model.
        twins: Log ratios of the two sessions ``(k,)`` of the models that have two.
        session_sd: Standard deviation of the log of one session.
    """

    def __init__(self, rounds: Rounds, models: Sequence[str], statistic: str, seed: int = 0) -> None:
        q = STATISTICS[statistic]
        sessions = [[n for n in (name, second_pass_name(name)) if n in rounds.seconds] for name in models]
        picks = np.random.default_rng(seed).integers(0, rounds.count, size=(_DRAWS, rounds.count))
        value = {n: math.log(np.quantile(rounds.seconds[n], q)) for names in sessions for n in names}
        draws = {n: np.log(np.quantile(rounds.seconds[n][picks], q, axis=1)) for n in value}
        self.logs: FloatArray = np.array([np.mean([value[n] for n in names]) for names in sessions])
        self._draws: FloatArray = np.stack([np.mean([draws[n] for n in names], axis=0) for names in sessions])
        self._counts = np.array([len(names) for names in sessions])
        pairs = [names for names in sessions if len(names) == 2]
        self.twins: FloatArray = np.array([value[a] - value[b] for a, b in pairs])
        noise = [float(np.var(draws[a] - draws[b])) for a, b in pairs]
        # d = log(first / second) has variance 2 session^2 + noise of the samples; shrunk towards the prior
        excess = sum(max(0.0, float(d) ** 2 - v) / 2 for d, v in zip(self.twins, noise, strict=True))
        variance = (excess + _PRIOR_WEIGHT * _PRIOR_SD**2) / (len(pairs) + _PRIOR_WEIGHT)
        self.session_sd = math.sqrt(variance)

    @property
    def noise_floor(self) -> float:
        """By how much two sessions of one model differ, relative, in the median over models; NaN without pairs."""
        return math.expm1(float(np.median(np.abs(self.twins)))) if len(self.twins) else math.nan

    def sd(self, model: int) -> float:
        """Return the standard error of a model's log latency."""
        session = self.session_sd**2 / self._counts[model]
        return math.sqrt(float(np.var(self._draws[model])) + session)

    def difference_sd(self, first: int, second: int) -> float:
        """Return the standard error of the difference of two models' log latencies."""
        session = self.session_sd**2 * (1 / self._counts[first] + 1 / self._counts[second])
        return math.sqrt(float(np.var(self._draws[first] - self._draws[second])) + session)
