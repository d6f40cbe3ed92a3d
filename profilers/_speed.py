"""The machine's speed while it was measured, and all samples as if it had kept one speed.

A shared host, a clock that steps and a heating core change the speed of everything by several percent for seconds at
a time. What was sampled only while it was slow (its noise had already settled) would come out dearer than what saw
the fast seconds, too. But hundreds of graphs that are sampled in turn tell the speed of every moment: whatever was
measured then took as much longer than it usually takes.

Keeps to Python 3.9 and numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from profilers._samples import QUANTILE, SampleSet

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
WINDOW = 21
"""Samples, next to each other in time, whose median tells the speed of a moment."""
FEWEST = 10
"""Fewer different graphs than this do not tell the machine's speed from their own."""
_ITERATIONS = 6


@dataclass(frozen=True)
class Steady:
    """Samples at one speed of the machine.

    Attributes:
        samples: by name; each sample divided by how much slower the machine was then than its reference speed.
        range: how much slower the slowest twentieth of the samples was than the fastest, relative (0.05 is 5 %).
    """

    samples: dict[str, SampleSet]
    range: float


def at_one_speed(samples: Mapping[str, SampleSet], same: Callable[[str], str] = str) -> Steady:
    """All samples as if the machine had kept the speed that it had or beat in a tenth of them.

    The model is ``log t = log(time of the graph) + slowness(moment) + noise``: medians over graphs and over moments in
    turn, as in Tukey's median polish (Exploratory Data Analysis, 1977, chapter 11), the slowness of a moment being the
    median over the `WINDOW` samples around it. Ratios between graphs that are sampled at the same time do not change.

    Args:
        samples: by name, with their moments; returned as they are where there are too few graphs.
        same: maps the names of sessions of one graph to one name, which ties separate passes together.

    Raises:
        ValueError: a sample has no moment.
    """
    taken = {name: one for name, one in samples.items() if one.seconds}
    for name, one in taken.items():
        if len(one.moments) != len(one.seconds):
            raise ValueError(f"the samples of {name} do not say when they were taken")
    graphs = {graph: number for number, graph in enumerate(sorted({same(name) for name in taken}))}
    if len(graphs) < FEWEST:
        return Steady(dict(samples), 0.0)
    owner = np.concatenate([np.full(len(one.seconds), graphs[same(name)]) for name, one in taken.items()])
    moments = np.concatenate([np.asarray(one.moments, dtype=np.int64) for one in taken.values()])
    logs = np.log(np.concatenate([np.asarray(one.seconds, dtype=np.float64) for one in taken.values()]))
    order = np.argsort(moments, kind="stable")
    slowness = np.empty(len(logs))
    slowness[order] = _slowness(logs[order], owner[order], len(graphs))
    reference = np.quantile(slowness, QUANTILE)
    seconds = np.exp(logs - slowness + reference)
    found, start = dict(samples), 0
    for name, one in taken.items():
        found[name] = replace(one, seconds=seconds[start : start + len(one.seconds)].tolist())
        start += len(one.seconds)
    low, high = np.quantile(slowness, (0.05, 0.95))
    return Steady(found, math.expm1(float(high - low)))


def _slowness(logs: FloatArray, owner: IntArray, graphs: int) -> FloatArray:
    """Log slowness ``(n,)`` at each sample, in the order of time; its level is arbitrary."""
    typical = _medians(logs, owner, graphs)
    slowness = np.zeros(len(logs))
    for _ in range(_ITERATIONS):
        slowness = _running_median(logs - typical[owner])
        typical = _medians(logs - slowness, owner, graphs)
    return slowness


def _medians(values: FloatArray, owner: IntArray, graphs: int) -> FloatArray:
    """Median of the values of each owner ``(graphs,)``."""
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(1, graphs))
    return np.array([np.median(part) for part in np.split(values[order], ends)])


def _running_median(values: FloatArray) -> FloatArray:
    """Median of the `WINDOW` values around each ``(n,)``; the first and last stand for what is beyond the ends."""
    reach = WINDOW // 2
    padded = np.concatenate([np.full(reach, values[0]), values, np.full(reach, values[-1])])
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, WINDOW), axis=1))
