"""The cost of a working set that exceeds the fast caches: pairs of chains that measure it, and the fitted curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from latency_tables import INPUT, CacheCurve, GraphBuilder, Op, OpGraph, Shape
from profilers._chain_ends import add_end, entry_op, outer_shape
from profilers._design import Probe
from profilers._division import Cores
from profilers._executed import CONVOLUTION_FUSION, Fusion, executed_graph
from profilers._neighbours import is_chainable, is_closed, op_macs
from profilers._samples import SampleSet
from profilers._timing import second_pass_name
from profilers._working_set import Sizes, op_weights

FloatArray = npt.NDArray[np.float64]
_LENGTHS = (2, 4, 8, 16, 32)
"""Links of a chain."""
_SIZES = 9
"""Sizes of working sets that chains are chosen for."""
_KNOTS = 13
"""Knots of the curve above the first."""
_FEWEST_WEIGHTS = 500
"""An op with fewer weights makes no chain: own and tied weights would hardly differ."""
_KERNEL_BYTES = (4_000, 6_000, 8_000, 10_000, 12_000)
"""Candidates for the runtime's own data of one kernel."""
_TYPICAL_KERNEL_BYTES = 8_000
_REWEIGHTINGS, _USUAL_ERROR = 15, 0.005
"""Iterations of the robust fit, and the smallest relative error of a pair that it takes for usual."""
_SMOOTH = 7e-4
"""Weight of differences between neighbouring slopes (in microseconds per megabyte) against relative errors."""


@dataclass(frozen=True)
class CachePair:
    """A chain of one op, measured twice: every link with its own weights, and all links with the same (tied) weights.

    Attributes:
        name: Unique name; the two runnables are called ``name:own`` and ``name:tied``.
        graph: The chain.
        op: The op of each link.
    """

    name: str
    graph: OpGraph
    op: Op

    @property
    def labels(self) -> tuple[str, str]:
        """The names of the two runnables in the first pass: own weights, tied weights."""
        return f"{self.name}:own", f"{self.name}:tied"


def typical_working_bytes(graph: OpGraph, sizes: Sizes) -> float:
    """Estimate the bytes that one inference touches, with a typical size of a kernel's own data; for planning."""
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
    """Design chains whose working sets cover those of the networks, from few large kernels to many small ones.

    Args:
        targets: The ops to build chains of.
        networks: The networks whose working sets are to be covered; no chain computes more than the largest of them.
        image_channels: Channels of the images.
        fast_cache_bytes: Size at which the curve is expected to rise.
        sizes: Bytes of elements, and the batch.
        cores: How threads share the ops; None where that is not known. Where one core executes some ops alone, such
            an op follows each link: cores that run side by side without a pause wait much longer for the same weights.
        fusion: What the runtime fuses.
    """
    largest = 1.3 * max(typical_working_bytes(graph, sizes) for graph in networks)
    most_macs = max(sum(op_macs(op) * n for op, n in graph.op_counts.items()) for graph in networks)
    wanted = sorted(set(targets), key=lambda op: op.key)
    alone = {op.output: op for op in reversed(wanted) if cores is not None and is_chainable(op) and cores.on_one(op)}
    chains = _chains(wanted, image_channels, most_macs, alone, fusion)
    extents = np.array([typical_working_bytes(chain.graph, sizes) for chain in chains])
    weights = np.array([sizes.working_bytes(chain.graph, 0) for chain in chains])
    chosen: dict[str, CachePair] = {}
    # For each size: of the chains within a factor exp(0.25), those whose share of weights is least, middle and most.
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
    """Build chains of every suitable op in all lengths that compute at most `most_macs`.

    Args:
        targets: The ops.
        image_channels: Channels of the images.
        most_macs: Most multiply-accumulates of a chain.
        alone: For each shape an op that one core executes alone, to follow each link.
        fusion: What the runtime fuses.
    """
    chains = []
    for op in targets:
        if not is_chainable(op) or not is_closed(op) or op_weights(op) < _FEWEST_WEIGHTS or op.dtype != Op.dtype:
            continue
        for length in _LENGTHS:
            if length * op_macs(op) <= most_macs:
                graph = _chain(op, length, image_channels, alone.get(op.output), fusion)
                chains.append(CachePair(f"cache:{length} x {op.key}", graph, op))
    return chains


def _chain(op: Op, length: int, image_channels: int, behind: Op | None, fusion: Fusion) -> OpGraph:
    """Build entry, `length` links of `op`, each followed by the op `behind` if any, and a global pooling."""
    builder = GraphBuilder(outer_shape(image_channels, op.output))
    x = builder.add("entry", entry_op(image_channels, op.output), INPUT)
    for i in range(length):
        x = builder.add(f"link{i}", op, x)
        if behind is not None:
            x = builder.add(f"behind{i}", behind, x)
    return executed_graph(builder.build(add_end(builder, op.output, x)), fusion)


def fit_cache_curve(
    pairs: Sequence[CachePair], samples: Mapping[str, SampleSet], *, fast_cache_bytes: int, sizes: Sizes
) -> CacheCurve | None:
    """Fit the curve that explains how much more own weights cost than tied ones; None without pairs.

    The cost ``f`` of a working set of ``s`` bytes is piecewise linear and rises: ``f(s) = sum_k b_k r_k(s)``, where
    ``r_k(s)`` is how much of the piece between the knots ``k`` and ``k + 1`` lies below ``s``, and ``b_k >= 0`` is its
    slope. A pair measures ``t_own - t_tied = f(s_own) - f(s_tied)``. The slopes are fitted by non-negative least
    squares on relative errors with a weak penalty on differences of neighbouring slopes, once for each size of a
    kernel's own data; the size that fits best is kept. A session in a slow state can add a fifth to the
    time of its chain. So the faster session of each chain is used, and outlying pairs get less weight.

    Args:
        pairs: The measured pairs ``(n,)``.
        samples: Samples of both passes, by the pairs' labels.
        fast_cache_bytes: Size of the fast cache; it places the knots.
        sizes: Bytes of elements, and the batch.
    """
    if not pairs:
        return None
    # t_own and t_tied (n,), in microseconds.
    own, tied = (np.array([_fastest_us(pair.labels[i], samples) for pair in pairs]) for i in (0, 1))
    best: tuple[float, CacheCurve] | None = None
    for kernel in _KERNEL_BYTES:
        # s_own and s_tied (n,), in megabytes.
        own_mb = np.array([sizes.working_bytes(p.graph, kernel) for p in pairs]) / 1e6
        tied_mb = np.array([sizes.working_bytes(p.graph, kernel, [p.op]) for p in pairs]) / 1e6
        # Knots: 0, then a geometric series from an eighth of the cache to beyond the largest working set.
        first = 0.125 * fast_cache_bytes / 1e6
        knots = np.concatenate([[0.0], np.geomspace(first, max(1.2 * float(own_mb.max()), 2 * first), _KNOTS)])
        # Solve (R(s_own) - R(s_tied)) b = t_own - t_tied, each equation divided by t_own.
        slopes, error = _fit_slopes(_ramps(own_mb, knots) - _ramps(tied_mb, knots), own - tied, 1 / own)
        if best is None or error < best[0]:
            # f at the knots, in milliseconds: the running sum of b_k (knot_k+1 - knot_k).
            extra = np.concatenate([[0.0], np.cumsum(slopes * np.diff(knots))]) / 1e3
            curve = CacheCurve(kernel, tuple(float(k) for k in knots * 1e6), tuple(float(v) for v in extra))
            best = error, curve
    assert best is not None
    return best[1]


def _fastest_us(label: str, samples: Mapping[str, SampleSet]) -> float:
    """Return the microseconds of the faster of a chain's two sessions."""
    return min(samples[name].quantile() for name in (label, second_pass_name(label))) * 1e6


def probe_extra_ms(probes: Iterable[Probe], curve: CacheCurve | None, sizes: Sizes) -> dict[str, float]:
    """Return what the working set of each probe costs beside its ops, by probe name; nothing without a curve."""
    if curve is None:
        return {}
    return {p.name: float(curve.ms(sizes.working_bytes(p.graph, curve.kernel_bytes, p.tied))) for p in probes}


def _ramps(sizes: FloatArray, knots: FloatArray) -> FloatArray:
    """Return how much ``(n, pieces)`` of each piece between knots ``(pieces + 1,)`` lies below the sizes ``(n,)``."""
    return np.stack([np.clip(sizes, a, b) - a for a, b in pairwise(knots)], axis=1)


def _fit_slopes(design: FloatArray, target: FloatArray, weights: FloatArray) -> tuple[FloatArray, float]:
    """Fit slopes by iteratively reweighted non-negative least squares.

    A pair whose error is larger than usual gets the inverse of how much larger it is as a factor on its equation.

    Args:
        design: ``R(s_own) - R(s_tied)``, ``(n, pieces)``.
        target: ``t_own - t_tied``, ``(n,)``.
        weights: ``1 / t_own``, ``(n,)``: they make errors relative.

    Returns:
        The slopes ``b >= 0`` ``(pieces,)``, and the mean absolute relative error, by which fits can be compared.
    """
    from scipy.optimize import nnls

    # Penalty rows (pieces - 1, pieces): lambda (b_k+1 - b_k) = 0.
    pieces = design.shape[1]
    smooth = _SMOOTH * (np.eye(pieces)[1:] - np.eye(pieces)[:-1])
    trust = np.ones(len(target))
    for _ in range(_REWEIGHTINGS):
        # minimise |diag(trust * weights) (R b - t)|^2 + lambda^2 |D b|^2 subject to b >= 0.
        scale = trust * weights
        matrix = np.concatenate([design * scale[:, None], smooth])
        slopes, _ = nnls(matrix, np.concatenate([target * scale, np.zeros(pieces - 1)]))
        # trust = min(1, usual / error), with the usual error 1.4826 times the median: sigma for normal errors.
        errors = np.abs(design @ slopes - target) * weights
        usual = max(_USUAL_ERROR, 1.4826 * float(np.median(errors)))
        trust = usual / np.maximum(errors, usual)
    return slopes, float(np.mean(errors))
