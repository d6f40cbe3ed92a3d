"""Samples of one runnable, and what they say: its q10, how sure that is, how much it moved.

Keeps to Python 3.9 and numpy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
StopReason = Literal["converged", "settled", "cap"]
STOP_REASONS: tuple[StopReason, ...] = get_args(StopReason)
QUANTILE = 0.1
"""The quantile of the samples that stands for a runnable: q10."""
DISTURBED = 1.25
"""How many times its q10 a sample of the calibration runnable takes where something else used the machine."""
MANY_DISTURBED = 0.25
"""Share of disturbed rounds from which on as many are measured again: q10 bears fewer."""


@dataclass
class SampleSet:
    """All samples of one runnable.

    Attributes:
        seconds: one mean time of a single execution for each round it took part in.
        repeats: executions in one sample.
        stop: why its sampling ended; None while it goes on.
        widths: relative half-widths of q10 at the looks so far.
        moments: when each sample was taken: its number among all samples, rising with time.
    """

    repeats: int
    seconds: list[float] = field(default_factory=list)
    stop: StopReason | None = None
    widths: list[float] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)

    def add(self, seconds: float, moment: int) -> None:
        """Take one more sample in."""
        self.seconds.append(seconds)
        self.moments.append(moment)

    def until(self, rounds: int) -> SampleSet:
        """The samples of the first rounds alone."""
        return SampleSet(self.repeats, self.seconds[:rounds], moments=self.moments[:rounds])

    def quantile(self, q: float = QUANTILE) -> float:
        """The q-quantile in seconds."""
        return float(np.quantile(self.seconds, q))


def bootstrap_quantiles(
    seconds: Sequence[float], rng: np.random.Generator, *, draws: int = 200, q: float = QUANTILE
) -> FloatArray:
    """Quantiles of `draws` resamples with replacement: their spread is the uncertainty of q10.

    Args:
        seconds: the samples, ``(n,)``.
        rng: source of the resamples.
        draws: number of resamples.
        q: the quantile.

    Returns:
        ``(draws,)`` in seconds.
    """
    values = np.sort(np.asarray(seconds, dtype=np.float64))
    picks = np.sort(rng.integers(0, len(values), size=(draws, len(values))), axis=1)
    position = q * (len(values) - 1)
    low, weight = math.floor(position), position - math.floor(position)
    high = min(low + 1, len(values) - 1)
    return np.asarray((1 - weight) * values[picks[:, low]] + weight * values[picks[:, high]])


def relative_half_width(seconds: Sequence[float], rng: np.random.Generator) -> float:
    """Half of the 90 % bootstrap interval of q10, relative to q10."""
    draws = bootstrap_quantiles(seconds, rng)
    low, high = np.quantile(draws, (0.05, 0.95))
    return float((high - low) / 2 / np.quantile(seconds, QUANTILE))


def disturbed(samples: SampleSet) -> npt.NDArray[np.bool_]:
    """Which samples ``(n,)`` took far longer than q10: something else used the machine then."""
    seconds = np.asarray(samples.seconds, dtype=np.float64)
    return np.asarray(seconds > DISTURBED * np.quantile(seconds, QUANTILE)) if len(seconds) else np.zeros(0, np.bool_)


def drift(samples: SampleSet, parts: int = 4) -> float:
    """How far the calibration runnable's q10 moved over the sampling: largest over smallest quarter, minus one.

    Where at least half of the samples are undisturbed, it is theirs: disturbed rounds have been measured again.
    """
    bad = disturbed(samples)
    seconds = np.array(samples.seconds)[~bad] if 2 * bad.sum() <= len(bad) else np.array(samples.seconds)
    if len(seconds) < 2 * parts:
        return 0.0
    quarters = [float(np.quantile(part, QUANTILE)) for part in np.array_split(seconds, parts)]
    return max(quarters) / min(quarters) - 1.0


def split_half_noise(samples: Iterable[SampleSet]) -> tuple[float, float] | None:
    """How well one profile repeats itself: q10 of every other sample against q10 of those in between.

    Returns:
        Median and 90th percentile of the relative differences over all runnables with eight rounds or more; None
        where there are none.
    """
    differences = []
    for one in samples:
        if len(one.seconds) >= 8:
            even, odd = (float(np.quantile(one.seconds[start::2], QUANTILE)) for start in (0, 1))
            differences.append(abs(even - odd) / ((even + odd) / 2))
    if not differences:
        return None
    return float(np.median(differences)), float(np.quantile(differences, 0.9))
