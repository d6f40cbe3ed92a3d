"""Prices of ops from the times of measured graphs: a linear system, solved for all quantiles at once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latency_tables import Op, OpGraph
from profilers._design import Probe
from profilers._samples import SampleSet, bootstrap_quantiles

FloatArray = npt.NDArray[np.float64]
_DRAWS = 200
_SLOW, _SLOW_DEVIATIONS, _SLOW_SECONDS = 0.05, 5.0, 2e-6
"""A session is slow where it takes longer than the fastest of its graph by more than all three: relative, in standard
deviations of ordinary sessions, in seconds."""
_MEDIAN_DIFFERENCE = 0.954
"""Median difference of two normal deviates, in standard deviations."""


@dataclass(frozen=True)
class OpPrice:
    """The marginal cost of one op, in milliseconds.

    It is solved from differences between noisy times, so the price of a very cheap op can be negative, and prices from
    medians can be below prices from 10th percentiles.

    Attributes:
        q10: The price: solved from the 10th percentiles of the graphs' times.
        median: Solved from the medians.
        p90: Solved from the 90th percentiles.
        low: Lower end of the 90 % bootstrap interval of `q10`.
        high: Upper end.
    """

    q10: float
    median: float
    p90: float
    low: float
    high: float


def without_slow_sessions(probes: Sequence[Probe], samples: Mapping[str, SampleSet]) -> list[Probe]:
    """Leave out probes whose session was in a slow state: another session of the same graph is much faster.

    With several threads, one session in twenty takes 15-35 % longer than another of the same graph, in all its samples.
    A session is slow where it takes over 5 % longer, and over five standard deviations of ordinary sessions: otherwise
    graphs with many sessions would lose more of their slower ones than graphs with two. Differences of less than two
    microseconds are averaged instead.

    Args:
        probes: The probes; several may measure the same graph.
        samples: Their samples, by probe name.
    """
    sessions: dict[tuple[OpGraph, frozenset[Op]], list[float]] = defaultdict(list)
    times = {probe.name: samples[probe.name].quantile() for probe in probes}
    for probe in probes:
        sessions[probe.graph, probe.tied].append(times[probe.name])
    # A session is kept where t <= t_min + max(max(5 %, 5 sigma) * t_min, 2 us).
    slow = max(_SLOW, _SLOW_DEVIATIONS * _deviation(sessions.values()))
    limits = {
        key: min(graph_times) + max(slow * min(graph_times), _SLOW_SECONDS) for key, graph_times in sessions.items()
    }
    return [probe for probe in probes if times[probe.name] <= limits[probe.graph, probe.tied]]


def _deviation(sessions: Iterable[Sequence[float]]) -> float:
    """Estimate the relative standard deviation of ordinary sessions from the two fastest sessions of each graph.

    Takes the median over graphs of the log ratio of the two. Most graphs have two sessions, and the difference of two
    normal deviates has the median 0.954 sigma; a few sessions in a slow state do not move it.
    """
    # sigma = median over graphs of log(t_2 / t_1) / 0.954.
    fastest = [sorted(times)[:2] for times in sessions if len(times) > 1]
    return float(np.median([math.log(b / a) for a, b in fastest])) / _MEDIAN_DIFFERENCE if fastest else 0.0


def solve_prices(
    probes: Sequence[Probe],
    samples: Mapping[str, SampleSet],
    *,
    extra_ms: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[Op, OpPrice]:
    """Solve for the prices of the ops that the probes determine; the others are left out.

    Solves ``T - extra = A p`` in the least-squares sense, each equation weighted by the inverse of its time, where
    ``A[i, j]`` counts op ``j`` in graph ``i``. The solution is linear in ``T``, so the same pseudo-inverse turns
    medians, 90th percentiles and bootstrap resamples into prices.

    Args:
        probes: The measured graphs ``(m,)``.
        samples: Their samples, by probe name.
        extra_ms: Milliseconds of a probe's time beside the prices of its ops (its working set), by probe name.
        seed: Seeds the bootstrap.

    Returns:
        The prices of the determined ops, at most one for each column of ``A (m, n)``.
    """
    # A (m, n): how often op j is in graph i.
    columns = sorted({op for probe in probes for op in probe.counts}, key=lambda op: op.key)
    index = {op: j for j, op in enumerate(columns)}
    counts = np.zeros((len(probes), len(columns)))
    for i, probe in enumerate(probes):
        for op, count in probe.counts.items():
            counts[i, index[op]] = count
    # T (m, 3 + draws), in seconds: q10, median, q90, then q10 of each bootstrap resample.
    rng = np.random.default_rng(seed)
    quantiles = np.array([np.quantile(samples[p.name].seconds, (0.1, 0.5, 0.9)) for p in probes])
    draws = np.stack([bootstrap_quantiles(samples[p.name].seconds, rng, draws=_DRAWS) for p in probes])
    # W = diag(1 / q10) makes the errors of all equations relative; P = pinv(W A), (n, m).
    weights = 1.0 / quantiles[:, :1]
    inverse = _pseudo_inverse(counts * weights)
    # Op j is determined where the resolution matrix P W A has a one on its diagonal: no other op can stand in for it.
    determined = np.abs(np.einsum("ij,ji->i", inverse * weights.T, counts) - 1.0) < 1e-6
    # p = P W (T - extra), for all columns of T at once, in milliseconds.
    extra = np.array([(extra_ms or {}).get(p.name, 0.0) for p in probes])[:, None] / 1e3
    solved = inverse @ ((np.concatenate([quantiles, draws], axis=1) - extra) * weights) * 1e3
    # The 90 % interval of p_j: quantiles over the resamples, widened to hold the price itself.
    low, high = np.quantile(solved[:, 3:], (0.05, 0.95), axis=1)
    return {
        op: OpPrice(*(float(v) for v in (*solved[j, :3], min(low[j], solved[j, 0]), max(high[j], solved[j, 0]))))
        for op, j in index.items()
        if determined[j]
    }


def _pseudo_inverse(matrix: FloatArray) -> FloatArray:
    """Compute the Moore-Penrose inverse ``(n, m)`` of a matrix ``(m, n)`` whose columns differ much in size."""
    # With M = N D, D = diag(norms of the columns) and N of unit columns: D^-1 pinv(N), where N is well scaled.
    scale = np.linalg.norm(matrix, axis=0)
    inverse: FloatArray = np.linalg.pinv(matrix / scale, rcond=1e-9) / scale[:, None]
    return inverse
