"""Networks timed on the device: sessions loaded anew for each pass, in an order of their own, beside references."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hwnas._pipeline._load import NotRunnableError, load_and_run
from profilers import (
    STATISTICS,
    Z90,
    NetworkTime,
    ReferenceTimer,
    Runnable,
    SamplingSettings,
    SessionTimes,
    TextProgress,
    fixed_rounds,
    merge_slowness,
    merge_times,
)

Loader = Callable[[int], Runnable]
"""Loads a network with a seed for what is random in it."""
PASSES = 2
"""Passes over all networks, each with sessions of their own."""
ROUNDS = 100
"""Rounds of a pass, where they fit into its time."""
MOST_SECONDS = 15.0
"""Seconds after which no round of a pass begins."""
_FEW_ROUNDS, _FEWEST_ROUNDS = 20, 8
"""Rounds of a pass that takes longer, and of one that takes several times as long."""
_PRIMING = 4
PAUSES, PAUSE_S = 3, 1.0
"""Pauses before a first inference, and the seconds of each."""
_CONSISTENT = 1.5
"""Two measurements of a network that differ by more than so many half-widths of their difference are not averaged."""
_PRIOR_DIFFERENCES = 10
"""A prior of so many differences between sessions as the stated half-widths expect them."""


@dataclass(frozen=True)
class TimedNetwork:
    """What one network takes, and the machine's speed meanwhile.

    Attributes:
        time: Its times.
        slowness: How many times longer the references took than when the table was made; None without references.
        slowness_half_width: Half the width of its 90 % interval, relative; None without references.
    """

    time: NetworkTime
    slowness: float | None
    slowness_half_width: float | None


def time_networks(
    timer: ReferenceTimer,
    loaders: Mapping[str, Loader],
    *,
    total_ms: float,
    seed: int,
    progress: TextProgress = lambda text: None,
) -> tuple[dict[str, TimedNetwork], dict[str, Runnable]]:
    """Time networks as single inferences, in passes with sessions of their own.

    The order in which they are loaded is random, so that where a session's memory lies goes with nothing else. The
    references are loaded anew for each pass, too: the errors of the passes are independent, and their mean's is less.

    Args:
        timer: Times them beside references.
        loaders: Load the networks, by name.
        total_ms: About what one inference of each takes together, in milliseconds.
        seed: Seeds the orders, and what is random in the networks.
        progress: Receives a line for each network that cannot be measured.

    Returns:
        Times by name, without networks that cannot be measured, and the sessions of the last pass.
    """
    names, settings = list(loaders), sampling(total_ms)
    sessions: list[SessionTimes] = []
    runnables: dict[str, Runnable] = {}
    failed: dict[str, str] = {}
    for number in range(PASSES):
        runnables.clear()  # the last pass's sessions are released before there are others
        timer.reload(PASSES * seed + number)
        order = np.random.default_rng((seed, number)).permutation(len(names))
        for name in (names[i] for i in order.tolist()):
            if name not in failed:
                try:
                    runnables[name] = load_and_run(partial(loaders[name], PASSES * seed + number))
                except NotRunnableError as error:
                    failed[name] = str(error)
        sessions.append(timer.measure(runnables, settings, seed=PASSES * seed + number))
    for name, why in failed.items():
        progress(f"{name} cannot be measured: {why}")
    slowness, half_width = merge_slowness(sessions)
    times = {name: merge_times([session.times[name] for session in sessions]) for name in names if name not in failed}
    return {name: TimedNetwork(taken, slowness, half_width) for name, taken in times.items()}, runnables


def sampling(total_ms: float) -> SamplingSettings:
    """Return the settings of a pass: fewer rounds where they take long, and fewer untimed runs where even these do.

    Args:
        total_ms: About what one inference of each network takes together, in milliseconds.
    """
    few_s = (1 + _PRIMING) * total_ms * 1e-3 * _FEW_ROUNDS
    return fixed_rounds(
        ROUNDS,
        max_seconds=MOST_SECONDS,
        inner_seconds=0.0,
        priming_runs=_PRIMING if few_s <= 2 * MOST_SECONDS else 1,
        min_rounds=_FEW_ROUNDS if few_s <= 4 * MOST_SECONDS else _FEWEST_ROUNDS,
    )


def first_after_pause_ms(runnable: Runnable, sleep: Callable[[float], None] | None = None) -> float:
    """Return milliseconds of the first inference after the process slept, as timed: the median of three.

    Args:
        runnable: The network.
        sleep: Sleeps so many seconds; None for `time.sleep`.
    """
    runnable.run(1)  # the first inference ever allocates
    seconds = []
    for _ in range(PAUSES):
        (sleep or time.sleep)(PAUSE_S)
        seconds.append(runnable.run(1))
    return 1e3 * float(np.median(seconds))


def widened(last: Mapping[str, TimedNetwork], first: Mapping[str, TimedNetwork]) -> dict[str, TimedNetwork]:
    """Return the last measurement with half-widths that explain how far it is from the first one.

    Half-widths that are right make ``z = log(last / first) / sqrt(w_last^2 + w_first^2)``, with relative widths w of
    90 % intervals, a normal variable of standard deviation 1 / 1.645. Where z varies more, the half-widths grow by the
    ratio, shrunk towards 1; they never become smaller.

    Args:
        last: The measurement whose values count.
        first: An earlier measurement of the same networks.
    """
    both = [name for name in last if name in first]
    factors = {}
    for statistic in STATISTICS:
        scores = [_distance(last[name].time, first[name].time, statistic) for name in both]
        squares = [Z90**2 * score**2 for score in scores if math.isfinite(score)]
        variance = (sum(squares) + _PRIOR_DIFFERENCES) / (len(squares) + _PRIOR_DIFFERENCES)
        factors[statistic] = math.sqrt(max(1.0, variance))
    return {name: replace(timed, time=_scaled(timed.time, factors)) for name, timed in last.items()}


def joined(last: Mapping[str, TimedNetwork], first: Mapping[str, TimedNetwork]) -> dict[str, TimedNetwork]:
    """Return the last measurement with values that are the geometric mean of both where they are consistent.

    Networks were chosen by the first measurement, which is therefore too low for some of them; the last one alone is
    noisier. What was timed, and the half-widths, stay those of the last one. Without a known speed of the machine
    nothing is averaged: the two are then of different moments.

    Args:
        last: The measurement of the delivered files.
        first: The measurement of the same networks before they were chosen.
    """
    return {name: _joined(timed, first[name]) if name in first else timed for name, timed in last.items()}


def _joined(last: TimedNetwork, first: TimedNetwork) -> TimedNetwork:
    distances = [_distance(last.time, first.time, statistic) for statistic in STATISTICS]
    unknown = last.slowness is None or first.slowness is None
    if unknown or not all(abs(distance) <= _CONSISTENT for distance in distances):  # NaN is not consistent, either
        return last
    values = {
        name: math.sqrt(value * first.time.at_table_speed[name]) for name, value in last.time.at_table_speed.items()
    }
    return replace(last, time=replace(last.time, at_table_speed=values))


def _distance(last: NetworkTime, first: NetworkTime, statistic: str) -> float:
    """Return the log ratio of two measurements over the half-width of their difference; NaN where that is 0."""
    ratio = math.log(last.at_table_speed[statistic] / first.at_table_speed[statistic])
    widths = [t.half_widths[statistic] / t.at_table_speed[statistic] for t in (last, first)]
    width = math.hypot(*widths)
    return ratio / width if width > 0 else math.nan


def _scaled(taken: NetworkTime, factors: Mapping[str, float]) -> NetworkTime:
    return replace(taken, half_widths={name: width * factors[name] for name, width in taken.half_widths.items()})
