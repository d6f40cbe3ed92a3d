"""Prices of windows and whole networks: interleaved rounds, and intervals by resampling the rounds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from profilers._references import fixed_rounds
from profilers._samples import QUANTILE, Z90
from profilers._speed import at_one_speed
from profilers._timing import Runnable, SamplingSettings, Timer

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ROUNDS, MOST_ROUNDS = 25, 100
"""Rounds of a measurement, as far as `SECONDS` allow; and most rounds, where they take `SHORT_SECONDS` or less."""
FEWEST_ROUNDS = 10
SECONDS = 30.0
"""Seconds that all rounds may take together, as far as `FEWEST_ROUNDS` allow."""
SHORT_SECONDS = 16.0
MOST_SESSIONS = 6
"""Most sessions on each part."""
BETWEEN = 0.01
"""By how much two explanations of a model differ beside what their rounds tell: half of a 90 % interval, relative.

In pairs of explanations of ten networks, intervals from the rounds alone met for 83 % of the rows above 1 % of the
total; with this share they meet for 88 %, instead of 82 %, in the five of them whose rows were kept.
"""
PLACEMENT = 0.006
"""Relative standard deviation of the time of one part from session to session, because memory lies elsewhere.

Two explanations of ResNet-50 differed by 0.64 % for each of its 105 parts, and the rounds tell of 0.27 %.
"""
Price = tuple[float, float, float]
"""What something costs, and the ends of its 90 % interval, in milliseconds."""
Opener = Callable[[], Runnable]
"""Opens a session."""
_DRAWS = 300
_PRIMING = (4, 2, 1)
_LONG_SAMPLE, _SHORT_SAMPLE = 300e-6, 100e-6
"""Seconds of one sample; the short one where a network has very many nodes."""


def choose_rounds(runnables: Mapping[str, Runnable], seconds: float = SECONDS) -> tuple[int, SamplingSettings]:
    """Return how many sessions to open on each part, and how to sample, so that the rounds take about `seconds`.

    Where there is time, more sessions come first, then more rounds; where there is little, fewer untimed runs, then
    fewer rounds.

    Args:
        runnables: What is timed, one session each.
        seconds: How long all rounds may take.
    """
    once = [min(_once(runnable) for _ in range(2)) for runnable in runnables.values()]
    short = min(SHORT_SECONDS, seconds)
    for priming in _PRIMING:
        for inner in (_LONG_SAMPLE, _SHORT_SAMPLE):
            one_round = sum((priming + math.ceil(inner / timed)) * taken for taken, timed in once)
            if one_round * FEWEST_ROUNDS <= seconds:
                copies = int(min(MOST_SESSIONS, max(1, short // (one_round * ROUNDS))))
                one_round *= copies
                rounds = int(min(MOST_ROUNDS, max(min(ROUNDS, seconds // one_round), short // one_round)))
                settings = fixed_rounds(rounds, max_seconds=2 * seconds, inner_seconds=inner, priming_runs=priming)
                return copies, settings
    settings = fixed_rounds(FEWEST_ROUNDS, max_seconds=4 * seconds, inner_seconds=_SHORT_SAMPLE, priming_runs=1)
    return 1, settings


def _once(runnable: Runnable) -> tuple[float, float]:
    """Run something once; return the seconds that it took with all that is untimed, and those that it timed."""
    start = time.perf_counter()
    timed = runnable.run(1)
    return time.perf_counter() - start, max(timed, 1e-6)


@dataclass(frozen=True)
class Times:
    """Times of everything that took part in the same rounds.

    Attributes:
        ms: q10 of each, in milliseconds, the mean over its sessions.
        median_ms: Median of each.
        draws: q10 of resamples of rounds and sessions, ``(draws,)`` each; one draw holds the same rounds for all.
        rounds: Number of rounds.
        sessions: Sessions of each.
    """

    ms: Mapping[str, float]
    median_ms: Mapping[str, float]
    draws: Mapping[str, FloatArray]
    rounds: int
    sessions: int = 1

    def difference(self, whole: str, rest: str) -> Price:
        """Return how much longer `whole` takes than `rest`, and the ends of the 90 % interval, in milliseconds."""
        return with_interval(self.ms[whole] - self.ms[rest], self.draws[whole] - self.draws[rest])

    def deviation(self, whole: str, rest: str) -> float:
        """Return the standard deviation of a difference, in milliseconds, other sessions included."""
        drawn = float(np.std(self.draws[whole] - self.draws[rest]))
        if self.sessions > 1:
            return drawn * math.sqrt(self.sessions / (self.sessions - 1))
        return math.hypot(drawn, PLACEMENT * math.hypot(self.ms[whole], self.ms[rest]))

    def of(self, name: str) -> Price:
        """Return how long one takes, and the ends of the 90 % interval, in milliseconds."""
        return with_interval(self.ms[name], self.draws[name])


def with_interval(value: float, draws: FloatArray) -> Price:
    """Return a value and the ends of its 90 % interval: what its draws tell, and `BETWEEN` explanations beside it."""
    low, high = np.quantile(draws, (0.05, 0.95))
    beside = BETWEEN * abs(value)
    below, above = max(0.0, value - float(low)), max(0.0, float(high) - value)
    return value, value - math.hypot(below, beside), value + math.hypot(above, beside)


def around(value: float, deviation: float) -> Price:
    """Return a value and the ends of its 90 % interval, from its standard deviation and `BETWEEN` explanations."""
    half = math.hypot(Z90 * deviation, BETWEEN * value)
    return value, value - half, value + half


def steadied(deviations: FloatArray, sizes: FloatArray, telling: BoolArray | None = None) -> FloatArray:
    """Return deviations, each averaged with what is usual for its size: one alone is a rough estimate of few samples.

    Args:
        deviations: Standard deviations ``(n,)``.
        sizes: What they are in proportion to ``(n,)``.
        telling: Those that tell what is usual ``(n,)``; None for all.
    """
    shares = deviations / sizes if telling is None else deviations[telling] / sizes[telling]
    usual = float(np.median(shares)) if len(shares) else 0.0
    result: FloatArray = np.hypot(deviations, usual * sizes) / math.sqrt(2.0)
    return result


def measure(
    openers: Mapping[str, Opener], progress: Callable[[str], None], *, seconds: float = SECONDS, seed: int = 0
) -> Times:
    """Measure everything in the same interleaved rounds.

    Two sessions of one part lie elsewhere in memory and differ by more than their samples say. Where the network is
    small enough, each part is therefore opened several times.

    Args:
        openers: Open what is to be timed, by name.
        progress: Receives lines for people.
        seconds: How long all rounds may take.
        seed: Seeds the order inside the rounds and the resampling.
    """
    progress(f"opening sessions on {len(openers)} parts of the network")
    runnables = {name: opener() for name, opener in openers.items()}
    copies, settings = choose_rounds(runnables, seconds)
    for number in range(1, copies):
        runnables |= {_copy(name, number): opener() for name, opener in openers.items()}
    progress(f"measuring {len(openers)} parts of the network, {copies} session(s) each, {settings.max_rounds} rounds")
    samples = at_one_speed(Timer(runnables, settings, seed=seed).run()).samples
    rounds = min(len(sample_set.seconds) for sample_set in samples.values())
    milliseconds = {
        name: np.array([samples[_copy(name, number)].seconds[:rounds] for number in range(copies)]) * 1e3
        for name in openers
    }
    return times_of(milliseconds, seed)


def _copy(name: str, number: int) -> str:
    return f"{name} #{number}" if number else name


def times_of(milliseconds: Mapping[str, FloatArray], seed: int = 0) -> Times:
    """Return what samples say: quantiles of each session, averaged over its sessions.

    A draw resamples the rounds, the same ones for all, and the sessions of each part.

    Args:
        milliseconds: Samples by name, ``(sessions, rounds)``.
        seed: Seeds the resampling.
    """
    rng = np.random.default_rng(seed)
    copies, rounds = next(iter(milliseconds.values())).shape
    chosen = rng.integers(0, rounds, size=(_DRAWS, rounds))
    draws = {}
    for name, values in milliseconds.items():
        of_sessions = np.stack([np.quantile(values[number][chosen], QUANTILE, axis=1) for number in range(copies)])
        picked = rng.integers(0, copies, size=(copies, _DRAWS))
        draws[name] = np.mean(of_sessions[picked, np.arange(_DRAWS)], axis=0)
    return Times(
        {name: float(np.mean(np.quantile(values, QUANTILE, axis=1))) for name, values in milliseconds.items()},
        {name: float(np.mean(np.median(values, axis=1))) for name, values in milliseconds.items()},
        draws,
        rounds,
        copies,
    )
