"""Samples of one runnable, and what they say: q10, its uncertainty, its drift.

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
"""The quantile of the samples that is taken as a runnable's time: q10."""
Z90 = 1.645
"""Half the width of a 90 % interval, in standard deviations of a normal distribution."""
DISTURBED = 1.25
"""A round in which the reference op takes more than this many times its q10 is disturbed by other work."""
MANY_DISTURBED = 0.25
"""Share of disturbed rounds from which on the same number of rounds is added: q10 tolerates a smaller share."""


@dataclass
class SampleSet:
    """All samples of one runnable.

    Attributes:
        seconds: Mean time of one execution, for each round that the runnable took part in.
        repeats: Executions in one sample.
        stop: Why its sampling ended; None while it continues.
        widths: Relative half-widths of q10 at the noise checks so far.
        moments: When each sample was taken: its number among all samples, rising with time.
    """

    repeats: int
    seconds: list[float] = field(default_factory=list)
    stop: StopReason | None = None
    widths: list[float] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)

    def add(self, seconds: float, moment: int) -> None:
        """Append a sample."""
        self.seconds.append(seconds)
        self.moments.append(moment)

    def until(self, rounds: int) -> SampleSet:
        """Return the samples of the first `rounds` rounds."""
        return SampleSet(self.repeats, self.seconds[:rounds], moments=self.moments[:rounds])

    def quantile(self, q: float = QUANTILE) -> float:
        """Return the q-quantile in seconds."""
        return float(np.quantile(self.seconds, q))


def bootstrap_quantiles(
    seconds: Sequence[float], rng: np.random.Generator, *, draws: int = 200, q: float = QUANTILE
) -> FloatArray:
    """Compute quantiles of resamples with replacement; their spread is the uncertainty of the quantile.

    Args:
        seconds: The samples ``(n,)``.
        rng: Source of the resamples.
        draws: Number of resamples.
        q: The quantile.

    Returns:
        One quantile for each resample ``(draws,)``, in seconds.
    """
    values = np.sort(np.asarray(seconds, dtype=np.float64))
    # A resample of sorted values is a sorted draw of their ranks: ranks (draws, n).
    ranks = np.sort(rng.integers(0, len(values), size=(draws, len(values))), axis=1)
    # Linear interpolation between the two order statistics around position q (n - 1), as `np.quantile` does.
    position = q * (len(values) - 1)
    low, weight = math.floor(position), position - math.floor(position)
    high = min(low + 1, len(values) - 1)
    return np.asarray((1 - weight) * values[ranks[:, low]] + weight * values[ranks[:, high]])


def relative_half_width(seconds: Sequence[float], rng: np.random.Generator) -> float:
    """Return half the width of the 90 % bootstrap interval of q10, relative to q10."""
    draws = bootstrap_quantiles(seconds, rng)
    low, high = np.quantile(draws, (0.05, 0.95))
    return float((high - low) / 2 / np.quantile(seconds, QUANTILE))


def disturbed(samples: SampleSet) -> npt.NDArray[np.bool_]:
    """Return which samples ``(n,)`` took far longer than q10, because something else used the machine."""
    seconds = np.asarray(samples.seconds, dtype=np.float64)
    return np.asarray(seconds > DISTURBED * np.quantile(seconds, QUANTILE)) if len(seconds) else np.zeros(0, np.bool_)


def drift(samples: SampleSet, parts: int = 4) -> float:
    """Return how far the reference op's q10 moved: q10 of its slowest quarter of rounds over the fastest, minus one.

    Disturbed samples are left out where they are at most half of all, because the same number of rounds was added.
    """
    is_disturbed, seconds = disturbed(samples), np.array(samples.seconds)
    if 2 * is_disturbed.sum() <= len(is_disturbed):
        seconds = seconds[~is_disturbed]
    if len(seconds) < 2 * parts:
        return 0.0
    quarters = [float(np.quantile(part, QUANTILE)) for part in np.array_split(seconds, parts)]
    return max(quarters) / min(quarters) - 1.0


def split_half_noise(samples: Iterable[SampleSet]) -> tuple[float, float] | None:
    """Compare q10 of the even samples of a profile with q10 of the odd ones.

    Returns:
        Median and 90th percentile of the relative differences over all runnables with at least eight samples; None
        where there is no such runnable.
    """
    differences = []
    for sample_set in samples:
        if len(sample_set.seconds) >= 8:
            even, odd = (float(np.quantile(sample_set.seconds[start::2], QUANTILE)) for start in (0, 1))
            differences.append(abs(even - odd) / ((even + odd) / 2))
    if not differences:
        return None
    return float(np.median(differences)), float(np.quantile(differences, 0.9))
