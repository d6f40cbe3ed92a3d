"""The speed of the machine at each moment of a profile, and all samples converted to one speed.

A shared host, a clock that steps and a core that heats up change the speed of everything by several percent for seconds
at a time. A graph that was sampled only in slow seconds (because its noise had already settled) would get a higher
price than a graph that was also sampled in fast ones. But hundreds of graphs that are sampled in turn show the speed at
every moment: all of them then took longer than usual, by the same factor.

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
"""Number of consecutive samples whose median gives the speed at the middle one."""
FEWEST = 10
"""Fewest graphs that can show the machine's speed; with fewer, it cannot be separated from their own noise."""
_ITERATIONS = 6


@dataclass(frozen=True)
class AtOneSpeed:
    """Samples converted to one speed of the machine.

    Attributes:
        samples: The samples by name, each divided by how much slower the machine was than at its reference speed.
        speed_range: How much slower the machine was in its slowest twentieth of the samples than in its fastest
            twentieth, relative (0.05 is 5 %).
    """

    samples: dict[str, SampleSet]
    speed_range: float


def at_one_speed(samples: Mapping[str, SampleSet], graph_of: Callable[[str], str] = str) -> AtOneSpeed:
    """Convert all samples to the speed that the machine reached or exceeded in a tenth of them.

    The model is ``log t = log(time of the graph) + slowness(moment) + noise``. Medians over graphs and over moments are
    taken in turn, as in Tukey's median polish (Exploratory Data Analysis, 1977, chapter 11). The slowness at a moment
    is the median over the `WINDOW` samples around it. Ratios between graphs that are sampled at the same time stay.

    Args:
        samples: Samples by name, with their moments; they are returned unchanged where there are too few graphs.
        graph_of: Maps the names of sessions of one graph to one name, which ties separate passes together.

    Raises:
        ValueError: A sample has no moment.
    """
    sampled = {name: sample_set for name, sample_set in samples.items() if sample_set.seconds}
    for name, sample_set in sampled.items():
        if len(sample_set.moments) != len(sample_set.seconds):
            raise ValueError(f"the samples of {name} have no moments")
    graphs = {graph: number for number, graph in enumerate(sorted({graph_of(name) for name in sampled}))}
    if len(graphs) < FEWEST:
        return AtOneSpeed(dict(samples), 0.0)
    # One entry for each sample, all runnables one after the other: its graph g, its moment, and log t, each (n,).
    owner = np.concatenate([np.full(len(s.seconds), graphs[graph_of(name)]) for name, s in sampled.items()])
    moments = np.concatenate([np.asarray(s.moments, dtype=np.int64) for s in sampled.values()])
    logs = np.log(np.concatenate([np.asarray(s.seconds, dtype=np.float64) for s in sampled.values()]))
    # slowness(moment) is estimated in the order of time and put back into the order of the runnables.
    order = np.argsort(moments, kind="stable")
    slowness = np.empty(len(logs))
    slowness[order] = _slowness(logs[order], owner[order], len(graphs))
    # t' = t * exp(reference - slowness), where the reference speed is the 10 % quantile of the slowness.
    reference = np.quantile(slowness, QUANTILE)
    seconds = np.exp(logs - slowness + reference)
    converted, start = dict(samples), 0
    for name, sample_set in sampled.items():
        end = start + len(sample_set.seconds)
        converted[name] = replace(sample_set, seconds=seconds[start:end].tolist())
        start = end
    # range = exp(q95 - q05) - 1 of the slowness.
    low, high = np.quantile(slowness, (0.05, 0.95))
    return AtOneSpeed(converted, math.expm1(float(high - low)))


def _slowness(logs: FloatArray, owner: IntArray, graphs: int) -> FloatArray:
    """Estimate the log slowness ``(n,)`` at each sample by median polish; its level is arbitrary.

    Args:
        logs: Log seconds ``(n,)`` in the order of time.
        owner: Number of the graph of each sample ``(n,)``.
        graphs: Number of graphs.
    """
    # typical[g] = median of log t over the samples of graph g.
    typical = _medians(logs, owner, graphs)
    slowness = np.zeros(len(logs))
    for _ in range(_ITERATIONS):
        # slowness(m) = running median of log t - typical[g]: what a moment adds to every graph.
        slowness = _running_median(logs - typical[owner])
        # typical[g] = median of log t - slowness(m): what is left of a graph without its moments.
        typical = _medians(logs - slowness, owner, graphs)
    return slowness


def _medians(values: FloatArray, owner: IntArray, graphs: int) -> FloatArray:
    """Return the median of the values of each owner ``(graphs,)``."""
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(1, graphs))
    return np.array([np.median(part) for part in np.split(values[order], ends)])


def _running_median(values: FloatArray) -> FloatArray:
    """Return the median of the `WINDOW` values around each ``(n,)``; the end values are repeated beyond the ends."""
    reach = WINDOW // 2
    padded = np.concatenate([np.full(reach, values[0]), values, np.full(reach, values[-1])])
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, WINDOW), axis=1))
