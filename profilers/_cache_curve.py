"""Measuring what it costs that a working set leaves the fast caches: pairs of chains, and a curve through them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from latency_tables import INPUT, CacheCurve, GraphBuilder, Op, OpGraph
from profilers._design import Probe, is_chainable, is_closed, op_macs
from profilers._operators import _make as ops
from profilers._samples import SampleSet
from profilers._working_set import Sizes, op_weights

FloatArray = npt.NDArray[np.float64]
_LENGTHS = (2, 4, 8, 16, 32)
_SIZES = 9
_KNOTS = 13
_FEWEST_WEIGHTS = 500
_KERNEL_BYTES = (4_000, 6_000, 8_000, 10_000, 12_000)
_TYPICAL_KERNEL_BYTES = 8_000
_SMOOTH = 1e-3
"""Weight of differences between neighbouring slopes (in microseconds a megabyte) against relative errors."""


@dataclass(frozen=True)
class CachePair:
    """A chain of one op, measured with weights of its own in every link and with the same weights in all.

    Attributes:
        name: unique; the two runnables are called ``name:own`` and ``name:tied``.
        graph: the chain.
        op: its link.
        suffix: of both names, where a pair is measured more than once.
    """

    name: str
    graph: OpGraph
    op: Op
    suffix: str = ""

    @property
    def labels(self) -> tuple[str, str]:
        """Names of the two runnables: own weights, tied weights."""
        return f"{self.name}:own{self.suffix}", f"{self.name}:tied{self.suffix}"


def typical_working_bytes(graph: OpGraph, sizes: Sizes) -> float:
    """What one inference touches, with a usual size of a kernel's own data: for planning."""
    return sizes.working_bytes(graph, _TYPICAL_KERNEL_BYTES)


def design_cache_pairs(
    targets: Iterable[Op], networks: Sequence[OpGraph], image_channels: int, *, fast_cache_bytes: int, sizes: Sizes
) -> list[CachePair]:
    """Chains whose working sets cover the networks', with many weights in few kernels and with few in many.

    Args:
        targets: ops to build chains of.
        networks: whose sizes are to be covered; no chain computes more than the largest of them.
        image_channels: channels of the images.
        fast_cache_bytes: where the curve is expected to rise.
        sizes: of elements and batches.
    """
    largest = 1.3 * max(typical_working_bytes(graph, sizes) for graph in networks)
    most_macs = max(sum(op_macs(op) * n for op, n in graph.op_counts.items()) for graph in networks)
    chains = _chains(targets, image_channels, most_macs)
    extents = np.array([typical_working_bytes(chain.graph, sizes) for chain in chains])
    weights = np.array([sizes.working_bytes(chain.graph, 0) for chain in chains])
    chosen: dict[str, CachePair] = {}
    for size in np.geomspace(0.15 * fast_cache_bytes, max(largest, 0.3 * fast_cache_bytes), _SIZES):
        near = np.flatnonzero(np.abs(np.log(extents / size)) < 0.25)
        ranked = near[np.argsort(weights[near] / extents[near], kind="stable")]
        for place in {0, len(ranked) // 2, len(ranked) - 1} if len(ranked) else ():
            chain = chains[int(ranked[place])]
            chosen[chain.name] = chain
    return list(chosen.values())


def _chains(targets: Iterable[Op], image_channels: int, most_macs: int) -> list[CachePair]:
    chains = []
    for op in sorted(set(targets), key=lambda op: op.key):
        if not is_chainable(op) or not is_closed(op) or op_weights(op) < _FEWEST_WEIGHTS:
            continue
        for length in _LENGTHS:
            if length * op_macs(op) <= most_macs:
                graph = _chain(op, length, image_channels)
                chains.append(CachePair(f"cache:{length} x {op.key}", graph, op))
    return chains


def _chain(op: Op, length: int, image_channels: int) -> OpGraph:
    builder = GraphBuilder((image_channels, *op.output[1:]))
    x = builder.add("entry", ops.conv(builder.input_shape, op.output[0]), INPUT)
    for i in range(length):
        x = builder.add(f"link{i}", op, x)
    return builder.build(builder.add("pool", ops.global_pool(op.output), x)).fused()


def fit_cache_curve(
    pairs: Sequence[CachePair], samples: Mapping[str, SampleSet], *, fast_cache_bytes: int, sizes: Sizes
) -> CacheCurve | None:
    """The curve that explains what own weights cost more than tied ones; None without pairs.

    Non-negative least squares on relative errors, with the differences of neighbouring slopes as a weak penalty,
    once for each size of a kernel's own data; the size that fits best is kept.

    Args:
        pairs: what was measured.
        samples: by the pairs' labels.
        fast_cache_bytes: places the knots.
        sizes: of elements and batches.
    """
    if not pairs:
        return None
    own = np.array([samples[pair.labels[0]].quantile() for pair in pairs]) * 1e6
    tied = np.array([samples[pair.labels[1]].quantile() for pair in pairs]) * 1e6
    best: tuple[float, CacheCurve] | None = None
    for kernel in _KERNEL_BYTES:
        apart = np.array([sizes.working_bytes(p.graph, kernel) for p in pairs]) / 1e6
        shared = np.array([sizes.working_bytes(p.graph, kernel, [p.op]) for p in pairs]) / 1e6
        first = 0.125 * fast_cache_bytes / 1e6
        knots = np.concatenate([[0.0], np.geomspace(first, max(1.2 * float(apart.max()), 2 * first), _KNOTS)])
        slopes, error = _fit_slopes(_ramps(apart, knots) - _ramps(shared, knots), own - tied, 1 / own)
        if best is None or error < best[0]:
            extra = np.concatenate([[0.0], np.cumsum(slopes * np.diff(knots))]) / 1e3
            curve = CacheCurve(kernel, tuple(float(k) for k in knots * 1e6), tuple(float(v) for v in extra))
            best = error, curve
    assert best is not None
    return best[1]


def probe_extra_ms(probes: Iterable[Probe], curve: CacheCurve | None, sizes: Sizes) -> dict[str, float]:
    """What the working set of each probe costs beside the prices of its ops, by probe name; nothing without a curve."""
    if curve is None:
        return {}
    return {p.name: float(curve.ms(sizes.working_bytes(p.graph, curve.kernel_bytes, p.tied))) for p in probes}


def _ramps(sizes: FloatArray, knots: FloatArray) -> FloatArray:
    """How much of each piece between `knots` lies below `sizes`: ``(n, pieces)``."""
    return np.stack([np.clip(sizes, a, b) - a for a, b in pairwise(knots)], axis=1)


def _fit_slopes(design: FloatArray, target: FloatArray, weights: FloatArray) -> tuple[FloatArray, float]:
    from scipy.optimize import nnls

    pieces = design.shape[1]
    smooth = _SMOOTH * (np.eye(pieces)[1:] - np.eye(pieces)[:-1])
    matrix = np.concatenate([design * weights[:, None], smooth])
    slopes, _ = nnls(matrix, np.concatenate([target * weights, np.zeros(pieces - 1)]))
    return slopes, math.sqrt(float(np.mean(((design @ slopes - target) * weights) ** 2)))
