"""Prices of windows and whole networks: interleaved rounds, and intervals by resampling the rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from profilers._references import fixed_rounds
from profilers._samples import QUANTILE
from profilers._speed import at_one_speed
from profilers._timing import Runnable, SamplingSettings, Timer

FloatArray = npt.NDArray[np.float64]
ROUNDS = 25
FEWEST_ROUNDS = 10
SECONDS = 40.0
"""Seconds that all rounds may take together, as far as `FEWEST_ROUNDS` allow."""
_DRAWS = 300
_PRIMING = (4, 2, 1)
_LONG_SAMPLE, _SHORT_SAMPLE = 300e-6, 100e-6
"""Seconds of one sample; the short one where a network has very many nodes."""


def choose_rounds(runnables: Mapping[str, Runnable], seconds: float = SECONDS) -> SamplingSettings:
    """Return how to sample, so that the rounds take about `seconds`: fewer untimed runs first, then fewer rounds.

    Args:
        runnables: What is timed.
        seconds: How long all rounds may take.
    """
    once = [min(runnable.run(1) for _ in range(2)) for runnable in runnables.values()]
    for priming in _PRIMING:
        for inner in (_LONG_SAMPLE, _SHORT_SAMPLE):
            one_round = sum(priming * time + max(time, inner) for time in once)
            if one_round * FEWEST_ROUNDS <= seconds:
                rounds = int(min(ROUNDS, seconds // one_round))
                return fixed_rounds(rounds, max_seconds=2 * seconds, inner_seconds=inner, priming_runs=priming)
    return fixed_rounds(FEWEST_ROUNDS, max_seconds=4 * seconds, inner_seconds=_SHORT_SAMPLE, priming_runs=1)


@dataclass(frozen=True)
class Times:
    """Times of everything that took part in the same rounds.

    Attributes:
        ms: q10 of each, in milliseconds.
        median_ms: Median of each.
        draws: q10 of resamples of the rounds, ``(draws,)`` each; one draw holds the same rounds for all.
        rounds: Number of rounds.
    """

    ms: Mapping[str, float]
    median_ms: Mapping[str, float]
    draws: Mapping[str, FloatArray]
    rounds: int

    def difference(self, whole: str, rest: str) -> tuple[float, float, float]:
        """Return how much longer `whole` takes than `rest`, and the ends of the 90 % interval, in milliseconds."""
        value = self.ms[whole] - self.ms[rest]
        low, high = np.quantile(self.draws[whole] - self.draws[rest], (0.05, 0.95))
        return value, min(value, float(low)), max(value, float(high))

    def interval(self, name: str) -> tuple[float, float]:
        """Return the ends of the 90 % interval of one, in milliseconds."""
        low, high = np.quantile(self.draws[name], (0.05, 0.95))
        return min(self.ms[name], float(low)), max(self.ms[name], float(high))


def measure(
    runnables: Mapping[str, Runnable], progress: Callable[[str], None], *, seconds: float = SECONDS, seed: int = 0
) -> Times:
    """Measure everything in the same interleaved rounds.

    Args:
        runnables: What to time, by name.
        progress: Receives lines for people.
        seconds: How long all rounds may take.
        seed: Seeds the order inside the rounds and the resampling.
    """
    settings = choose_rounds(runnables, seconds)
    progress(f"measuring {len(runnables)} parts of the network in {settings.max_rounds} rounds")
    samples = at_one_speed(Timer(runnables, settings, seed=seed).run()).samples
    rounds = min(len(sample_set.seconds) for sample_set in samples.values())
    chosen = np.random.default_rng(seed).integers(0, rounds, size=(_DRAWS, rounds))
    milliseconds = {name: np.asarray(s.seconds[:rounds]) * 1e3 for name, s in samples.items()}
    return Times(
        {name: float(np.quantile(values, QUANTILE)) for name, values in milliseconds.items()},
        {name: float(np.median(values)) for name, values in milliseconds.items()},
        {name: np.quantile(values[chosen], QUANTILE, axis=1) for name, values in milliseconds.items()},
        rounds,
    )
