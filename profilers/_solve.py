"""From the times of measured graphs to prices of ops: a linear system, solved for all quantiles at once."""

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
_MEDIAN_DIFFERENCE = 0.954
"""Median difference of two normal deviates, in standard deviations."""


@dataclass(frozen=True)
class OpPrice:
    """The marginal cost of one op, in milliseconds.

    Solved from differences between noisy times: the price of a very cheap op can come out below zero, and prices from
    medians need not lie above prices from 10th percentiles.

    Attributes:
        q10: from the 10th percentiles of the graphs' times: the price.
        median: from the medians.
        p90: from the 90th percentiles.
        low: lower end of the 90 % bootstrap interval of `q10`.
        high: upper end.
    """

    q10: float
    median: float
    p90: float
    low: float
    high: float


def without_slow_sessions(probes: Sequence[Probe], samples: Mapping[str, SampleSet]) -> list[Probe]:
    """Probes less those whose session was in a slow state: another session of the same graph is much faster.

    With several threads, one session in twenty takes 15-35 % longer than another of the same graph, in all its samples.
    Much is over 5 %, and over five times the standard deviation of ordinary sessions: graphs with many sessions would
    otherwise lose more of their slower ones than graphs with two. Differences of less than two microseconds are left to
    the average.

    Args:
        probes: of the same graph, any number.
        samples: of all of them, by probe name.
    """
    sessions: dict[tuple[OpGraph, frozenset[Op]], list[float]] = defaultdict(list)
    taken = {probe.name: samples[probe.name].quantile() for probe in probes}
    for probe in probes:
        sessions[probe.graph, probe.tied].append(taken[probe.name])
    slow = max(_SLOW, _SLOW_DEVIATIONS * _deviation(sessions.values()))
    limit = {key: min(times) + max(slow * min(times), _SLOW_SECONDS) for key, times in sessions.items()}
    return [probe for probe in probes if taken[probe.name] <= limit[probe.graph, probe.tied]]


def _deviation(sessions: Iterable[Sequence[float]]) -> float:
    """Relative standard deviation of ordinary sessions, from what the second fastest of a graph takes longer.

    The median over graphs: of most there are two sessions, whose difference has this median for normal deviates. That a
    few are in a slow state does not show in it.
    """
    fastest = [sorted(times)[:2] for times in sessions if len(times) > 1]
    return float(np.median([math.log(b / a) for a, b in fastest])) / _MEDIAN_DIFFERENCE if fastest else 0.0


def solve_prices(
    probes: Sequence[Probe],
    samples: Mapping[str, SampleSet],
    *,
    extra_ms: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[Op, OpPrice]:
    """Prices of the ops that the probes determine; the others are left out.

    Solves ``T - extra = A p`` in the least-squares sense, each equation weighted by the inverse of its time, where
    ``A[i, j]`` counts op ``j`` in graph ``i``. The solution is linear in ``T``, so the same pseudo-inverse carries
    medians, 90th percentiles and bootstrap resamples to prices.

    Args:
        probes: the measured graphs.
        samples: their samples, by probe name.
        extra_ms: what a probe's time holds besides the prices of its ops (its working set), by probe name.
        seed: of the bootstrap.
    """
    columns = sorted({op for probe in probes for op in probe.counts}, key=lambda op: op.key)
    index = {op: j for j, op in enumerate(columns)}
    counts = np.zeros((len(probes), len(columns)))
    for i, probe in enumerate(probes):
        for op, count in probe.counts.items():
            counts[i, index[op]] = count
    rng = np.random.default_rng(seed)
    quantiles = np.array([np.quantile(samples[p.name].seconds, (0.1, 0.5, 0.9)) for p in probes])
    draws = np.stack([bootstrap_quantiles(samples[p.name].seconds, rng, draws=_DRAWS) for p in probes])
    weights = 1.0 / quantiles[:, :1]
    inverse = _pseudo_inverse(counts * weights)
    determined = np.abs(np.einsum("ij,ji->i", inverse * weights.T, counts) - 1.0) < 1e-6
    beside = np.array([(extra_ms or {}).get(p.name, 0.0) for p in probes])[:, None] / 1e3
    solved = inverse @ ((np.concatenate([quantiles, draws], axis=1) - beside) * weights) * 1e3
    low, high = np.quantile(solved[:, 3:], (0.05, 0.95), axis=1)
    return {
        op: OpPrice(*(float(v) for v in (*solved[j, :3], min(low[j], solved[j, 0]), max(high[j], solved[j, 0]))))
        for op, j in index.items()
        if determined[j]
    }


def _pseudo_inverse(matrix: FloatArray) -> FloatArray:
    """Moore-Penrose inverse of a matrix whose columns differ much in size."""
    scale = np.linalg.norm(matrix, axis=0)
    inverse: FloatArray = np.linalg.pinv(matrix / scale, rcond=1e-9) / scale[:, None]
    return inverse
