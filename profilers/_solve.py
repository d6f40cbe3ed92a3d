"""From the times of measured graphs to prices of ops: a linear system, solved for all quantiles at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latency_tables import Op
from profilers._design import Probe
from profilers._errors import ProfilerError
from profilers._sampling import SampleSet, bootstrap_quantiles

FloatArray = npt.NDArray[np.float64]
_DRAWS = 200


@dataclass(frozen=True)
class OpPrice:
    """The marginal cost of one op, in milliseconds; no value is below zero.

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


def solve_prices(probes: Sequence[Probe], samples: Mapping[str, SampleSet], *, seed: int = 0) -> dict[Op, OpPrice]:
    """Prices of all ops that the probes determine.

    Solves ``T = A p`` in the least-squares sense, each equation weighted by the inverse of its time, where ``A[i,
    j]`` counts op
    ``j`` in graph ``i``. The solution is linear in ``T``, so the same pseudo-inverse carries medians, 90th
    percentiles and bootstrap resamples to prices.

    Args:
        probes: the measured graphs.
        samples: their samples, by probe name.
        seed: of the bootstrap.

    Raises:
        ProfilerError: the probes leave an op's price undetermined.
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
    inverse, rank = _pseudo_inverse(counts * weights)
    if rank < len(columns):
        loose = _undetermined(counts, inverse * weights.T, columns)
        raise ProfilerError(f"the measured graphs do not determine the price of {loose[0].key}")
    solved = np.maximum(0.0, inverse @ (np.concatenate([quantiles, draws], axis=1) * weights)) * 1e3
    low, high = np.quantile(solved[:, 3:], (0.05, 0.95), axis=1)
    return {
        op: OpPrice(*(float(v) for v in (*solved[j, :3], min(low[j], solved[j, 0]), max(high[j], solved[j, 0]))))
        for op, j in index.items()
    }


def _pseudo_inverse(matrix: FloatArray) -> tuple[FloatArray, int]:
    scale = np.linalg.norm(matrix, axis=0)
    left, singular, right = np.linalg.svd(matrix / scale, full_matrices=False)
    kept = singular > 1e-9 * singular[0]
    inverse = (right[kept].T / singular[kept]) @ left[:, kept].T
    return inverse / scale[:, None], int(kept.sum())


def _undetermined(counts: FloatArray, inverse: FloatArray, columns: list[Op]) -> list[Op]:
    resolution = inverse @ counts
    return [op for j, op in enumerate(columns) if abs(resolution[j, j] - 1.0) > 1e-6]
