"""Networks to measure: spread over the whole range of a space's latencies, from the fastest to the slowest."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from hwnas._costs._space_costs import CostOfCodes, SpaceCosts, descend
from hwnas.spaces import Architecture, Space, drawn_graphs
from latency_tables import CORRECTION_SPLIT, HELD_OUT_SPLIT, INTERVAL_SPLIT, SESSION, Entry, LatencyTable, Op, Pricing
from profilers import Network, Workload, graph_macs, op_work

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CORRECTION_NETWORKS = 10
INTERVAL_NETWORKS = 60
"""Number of further networks for the intervals: with ten alone, 90 % intervals cover 75-95 %."""
DRAWING = 2
"""Version of `draw_networks`: a bundle states it, so that its networks are drawn in the same way later."""
_MS_PER_UNIT = (1e-7, 1e-7, 1e-3)
"""Milliseconds per multiply-accumulate, byte and kernel on a generic processor: enough to rank networks."""
_ENUMERABLE = 4096
_POOL = 4
_STARTS = 3


def draw_networks(workload: Workload, networks: int, seed: int) -> list[Network]:
    """Return distinct networks that cover the range of latencies, fewer where the space has no more.

    Ten are for the correction, the space's fastest and slowest among them; `networks` are held out and up to sixty more
    are for the intervals. Each of the three covers the range, from next to one end to next to the other.

    Args:
        workload: A space, or other networks; of those, networks are drawn but not searched for.
        networks: Number of held-out networks.
        seed: Seed of the draw.
    """
    rng = np.random.default_rng((seed, 7))
    chosen = _from_fast_to_slow(workload, networks + CORRECTION_NETWORKS + INTERVAL_NETWORKS, rng)
    correcting = _evenly(len(chosen), CORRECTION_NETWORKS)
    others = [i for i in range(len(chosen)) if i not in correcting]
    held = {others[i] for i in _evenly(len(others), networks)}
    splits = {**dict.fromkeys(correcting, CORRECTION_SPLIT), **dict.fromkeys(held, HELD_OUT_SPLIT)}
    drawn = [Network(n.arch, n.graph, splits.get(i, n.split)) for i, n in enumerate(chosen)]
    return [drawn[int(i)] for i in rng.permutation(len(drawn))]  # neighbours in the file are none in latency


def _from_fast_to_slow(workload: Workload, count: int, rng: np.random.Generator) -> list[Network]:
    """Draw distinct networks in the order of their latencies by a rough estimate."""
    if isinstance(workload, Space):
        archs = draw_spread(workload, count, rng)
        return [Network(workload.format(arch), workload.graph(arch), INTERVAL_SPLIT) for arch in archs]
    graphs = drawn_graphs(workload, count, rng)
    pricing = Pricing(rough_table({op for graph in graphs.values() for op in graph.op_counts}).entries)
    ordered = sorted(graphs, key=lambda name: pricing.chain_ms([graphs[name]]))
    return [Network(name, graphs[name], INTERVAL_SPLIT) for name in ordered]


def draw_networks_as_before(space: Space, networks: int, seed: int) -> list[Network]:
    """Return the networks that `draw_networks` of earlier versions drew (at random), for results of their bundles."""
    count = networks + CORRECTION_NETWORKS + INTERVAL_NETWORKS
    archs = draw_distinct(space, count, np.random.default_rng((seed, 7)))
    chosen = {text: space.graph(arch) for text, arch in archs.items()}
    by_macs = sorted(chosen, key=lambda text: graph_macs(chosen[text]))
    spread = np.linspace(0, len(by_macs), min(CORRECTION_NETWORKS, len(by_macs)), endpoint=False)
    half = len(by_macs) / (2 * max(1, len(spread)))
    correcting = {by_macs[int(place + half)] for place in spread}
    others = iter([HELD_OUT_SPLIT] * networks + [INTERVAL_SPLIT] * len(chosen))
    return [Network(t, g, CORRECTION_SPLIT if t in correcting else next(others)) for t, g in chosen.items()]


def draw_spread(
    space: Space, count: int, rng: np.random.Generator, *, cost: CostOfCodes | None = None, seen: Collection[str] = ()
) -> list[Architecture]:
    """Draw distinct networks at even distances of log latency, from the fastest to the slowest.

    Args:
        space: The search space.
        count: Number of networks; a small space gives fewer.
        rng: Random generator.
        cost: Computes latencies from codes; None for a rough estimate by what the ops do.
        seen: Texts of networks that must not be drawn; their neighbours are drawn instead.
    """
    cost = cost or SpaceCosts(space, rough_table(space.ops())).latency_ms
    rows = _pool(space, count + len(seen), cost, rng)
    prices = cost(rows)
    order = np.argsort(prices, kind="stable")
    archs = [space.decode(row) for row in rows[order]]
    fresh = [i for i, arch in enumerate(archs) if not seen or space.format(arch) not in seen]
    picked = _at_even_distances(np.log(prices[order][fresh]), count)
    return [archs[fresh[i]] for i in picked]


def draw_distinct(
    space: Space, count: int, rng: np.random.Generator, seen: Collection[str] = ()
) -> dict[str, Architecture]:
    """Draw distinct random architectures by text, none of `seen`; a small space gives fewer than `count`."""
    archs: dict[str, Architecture] = {}
    for _ in range(100):
        for arch in space.sample(count, rng):
            text = space.format(arch)
            if text not in seen and len(archs) < count:
                archs[text] = arch
        if len(archs) == min(count, space.size):
            break
    return archs


def rough_table(ops: Iterable[Op]) -> LatencyTable:
    """Return prices of ops by what they do, for devices of which nothing is known: they rank, they do not predict."""

    def entry(op: Op, price: float) -> Entry:
        """Return a row with this price."""
        return Entry(op, "ok", price, price, price, price, price, 0, "", "")

    prices = {op: float(np.dot(op_work(op), _MS_PER_UNIT)) for op in ops}
    entries = {op: entry(op, price) for op, price in {SESSION: _MS_PER_UNIT[2], **prices}.items()}
    return LatencyTable(identity={}, environment={}, settings={}, space={}, entries=entries)


def _pool(space: Space, count: int, cost: CostOfCodes, rng: np.random.Generator) -> IntArray:
    """Return canonical codes ``(n, d)`` to choose from, with the fastest and slowest network and their neighbours."""
    if math.prod(space.cardinalities) <= _ENUMERABLE:
        return _networks(space, np.indices(space.cardinalities).reshape(len(space.choices), -1).T)
    sampled = np.array([space.encode(arch) for arch in draw_distinct(space, _POOL * count, rng).values()])
    prices = cost(sampled)
    order = np.argsort(prices, kind="stable")
    fastest = _end(space, cost, sampled[order[:_STARTS]])
    slowest = _end(space, lambda codes: -cost(codes), sampled[order[-_STARTS:]])
    parts = [sampled, fastest[None], slowest[None]]
    for end in (fastest, slowest):  # from near it to nothing in common with it
        shares = rng.random((_POOL * count, 1)) ** 2
        others = rng.integers(0, space.cardinalities, size=(len(shares), len(end)))
        parts.append(np.where(rng.random(others.shape) < shares, others, end))
        parts.append(
            np.array([space.encode(arch) for arch in space.neighbours(space.decode(end))]).reshape(-1, len(end))
        )
    return _networks(space, np.concatenate(parts))


def _end(space: Space, cost: CostOfCodes, starts: IntArray) -> IntArray:
    """Return the codes ``(d,)`` of the cheapest network that descents from `starts` ``(n, d)`` find."""
    return min((descend(space, cost, start) for start in starts), key=lambda descent: descent[0])[1]


def _networks(space: Space, rows: IntArray) -> IntArray:
    """Return the canonical codes of the rows that are networks, without duplicates."""
    return np.asarray(np.unique(space.canonical_codes(rows[space.valid_codes(rows)]), axis=0))


def _evenly(length: int, count: int) -> set[int]:
    """Choose at most `count` places in a sequence at even distances, its first and last among them."""
    if count >= length:
        return set(range(length))
    return {int(place) for place in np.round(np.linspace(0, length - 1, max(1, count)))} if count else set()


def _at_even_distances(places: FloatArray, count: int) -> Sequence[int]:
    """Return ascending indices into `places` ``(n,)``, sorted values, of those nearest to even distances."""
    if count >= len(places):
        return range(len(places))
    wanted = np.linspace(places[0], places[-1], count)
    free, indices = np.ones(len(places), dtype=np.bool_), []
    for k in sorted(range(count), key=lambda k: min(k, count - 1 - k)):  # both ends first
        distances = np.where(free, np.abs(places - wanted[k]), np.inf)
        best = int(distances.argmin())
        free[best] = False
        indices.append(best)
    return sorted(indices)
