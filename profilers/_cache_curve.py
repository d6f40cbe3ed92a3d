"""Measuring what it costs that a working set leaves the fast caches: pairs of chains, and a curve through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from latency_tables import INPUT, CacheCurve, GraphBuilder, Op, OpGraph, Shape
from profilers._design import Probe, is_chainable, is_closed, op_macs
from profilers._division import Cores
from profilers._executed import CONVOLUTION_FUSION, Fusion, executed_graph
from profilers._operators import _make as ops
from profilers._samples import SampleSet
from profilers._sampling import again
from profilers._working_set import Sizes, op_weights

FloatArray = npt.NDArray[np.float64]
_LENGTHS = (2, 4, 8, 16, 32)
_SIZES = 9
_KNOTS = 13
_FEWEST_WEIGHTS = 500
_KERNEL_BYTES = (4_000, 6_000, 8_000, 10_000, 12_000)
_TYPICAL_KERNEL_BYTES = 8_000
_REWEIGHTINGS, _USUAL_ERROR = 15, 0.005
_SMOOTH = 7e-4
"""Weight of differences between neighbouring slopes (in microseconds a megabyte) against relative errors."""


@dataclass(frozen=True)
class CachePair:
    """A chain of one op, measured with weights of its own in every link and with the same weights in all.

    Attributes:
        name: unique; the two runnables are called ``name:own`` and ``name:tied``.
        graph: the chain.
        op: its link.
    """

    name: str
    graph: OpGraph
    op: Op

    @property
    def labels(self) -> tuple[str, str]:
        """Names of the two runnables in the first pass: own weights, tied weights."""
        return f"{self.name}:own", f"{self.name}:tied"


def typical_working_bytes(graph: OpGraph, sizes: Sizes) -> float:
    """What one inference touches, with a usual size of a kernel's own data: for planning."""
    return sizes.working_bytes(graph, _TYPICAL_KERNEL_BYTES)


def design_cache_pairs(
    targets: Iterable[Op],
    networks: Sequence[OpGraph],
    image_channels: int,
    *,
    fast_cache_bytes: int,
    sizes: Sizes,
    cores: Cores | None = None,
    fusion: Fusion = CONVOLUTION_FUSION,
) -> list[CachePair]:
    """Chains whose working sets cover the networks', with many weights in few kernels and with few in many.

    Args:
        targets: ops to build chains of.
        networks: whose sizes are to be covered; no chain computes more than the largest of them.
        image_channels: channels of the images.
        fast_cache_bytes: where the curve is expected to rise.
        sizes: of elements and batches.
        cores: how threads share the ops. Where one core executes some of them alone, one stands behind each link:
            cores that run side by side without a pause wait much longer for the same weights.
        fusion: what the runtime fuses.
    """
    largest = 1.3 * max(typical_working_bytes(graph, sizes) for graph in networks)
    most_macs = max(sum(op_macs(op) * n for op, n in graph.op_counts.items()) for graph in networks)
    wanted = sorted(set(targets), key=lambda op: op.key)
    alone = {op.output: op for op in reversed(wanted) if cores is not None and is_chainable(op) and cores.on_one(op)}
    chains = _chains(wanted, image_channels, most_macs, alone, fusion)
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


def _chains(
    targets: Sequence[Op], image_channels: int, most_macs: int, alone: Mapping[Shape, Op], fusion: Fusion
) -> list[CachePair]:
    chains = []
    for op in targets:
        if not is_chainable(op) or not is_closed(op) or op_weights(op) < _FEWEST_WEIGHTS:
            continue
        for length in _LENGTHS:
            if length * op_macs(op) <= most_macs:
                graph = _chain(op, length, image_channels, alone.get(op.output), fusion)
                chains.append(CachePair(f"cache:{length} x {op.key}", graph, op))
    return chains


def _chain(op: Op, length: int, image_channels: int, behind: Op | None, fusion: Fusion) -> OpGraph:
    builder = GraphBuilder((image_channels, *op.output[1:]))
    x = builder.add("entry", ops.conv(builder.input_shape, op.output[0]), INPUT)
    for i in range(length):
        x = builder.add(f"link{i}", op, x)
        if behind is not None:
            x = builder.add(f"behind{i}", behind, x)
    return executed_graph(builder.build(builder.add("pool", ops.global_pool(op.output), x)), fusion)


def fit_cache_curve(
    pairs: Sequence[CachePair], samples: Mapping[str, SampleSet], *, fast_cache_bytes: int, sizes: Sizes
) -> CacheCurve | None:
    """The curve that explains what own weights cost more than tied ones; None without pairs.

    Non-negative least squares on relative errors, with the differences of neighbouring slopes as a weak penalty,
    once for each size of a kernel's own data; the size that fits best is kept. A session in a slow state would make its
    pair say that caches cost a fifth of its time: of the sessions of a chain the fastest counts, and pairs that the
    others contradict lose their weight.

    Args:
        pairs: what was measured.
        samples: of both passes, by the pairs' labels.
        fast_cache_bytes: places the knots.
        sizes: of elements and batches.
    """
    if not pairs:
        return None
    own, tied = (np.array([_fastest_us(pair.labels[i], samples) for pair in pairs]) for i in (0, 1))
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


def _fastest_us(label: str, samples: Mapping[str, SampleSet]) -> float:
    """Microseconds of the faster session of a chain."""
    return min(samples[name].quantile() for name in (label, again(label))) * 1e6


def probe_extra_ms(probes: Iterable[Probe], curve: CacheCurve | None, sizes: Sizes) -> dict[str, float]:
    """What the working set of each probe costs beside the prices of its ops, by probe name; nothing without a curve."""
    if curve is None:
        return {}
    return {p.name: float(curve.ms(sizes.working_bytes(p.graph, curve.kernel_bytes, p.tied))) for p in probes}


def _ramps(sizes: FloatArray, knots: FloatArray) -> FloatArray:
    """How much of each piece between `knots` lies below `sizes`: ``(n, pieces)``."""
    return np.stack([np.clip(sizes, a, b) - a for a, b in pairwise(knots)], axis=1)


def _fit_slopes(design: FloatArray, target: FloatArray, weights: FloatArray) -> tuple[FloatArray, float]:
    """Slopes ``(pieces,)``, and their mean absolute error, by which fits can be compared.

    A pair whose error is larger than usual is weighted by the inverse square of how much larger it is.
    """
    from scipy.optimize import nnls

    pieces = design.shape[1]
    smooth = _SMOOTH * (np.eye(pieces)[1:] - np.eye(pieces)[:-1])
    trust = np.ones(len(target))
    for _ in range(_REWEIGHTINGS):
        scale = trust * weights
        matrix = np.concatenate([design * scale[:, None], smooth])
        slopes, _ = nnls(matrix, np.concatenate([target * scale, np.zeros(pieces - 1)]))
        errors = np.abs(design @ slopes - target) * weights
        usual = max(_USUAL_ERROR, 1.4826 * float(np.median(errors)))
        trust = usual / np.maximum(errors, usual)
    return slopes, float(np.mean(errors))
