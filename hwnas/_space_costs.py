"""Costs of architectures straight from their codes: table look-ups instead of graphs, many at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.spaces import Architecture, Space, Term
from latency_tables import SESSION, LatencyTable, OpGraph
from profilers import graph_macs, graph_params, peak_memory_bytes

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
COSTS = ("latency_ms", "macs", "params", "peak_memory_bytes")
"""Costs that are known before an architecture is evaluated."""
Cost = Callable[[IntArray], FloatArray]
"""Codes ``(n, d)`` to costs ``(n,)``; NaN for rows that are no network."""
_ENUMERABLE = 20_000
_RANDOM_STARTS = 16


@dataclass(frozen=True)
class _TermCosts:
    """Costs of one term for every combination of its choices; NaN where not yet asked for."""

    term: Term
    radices: IntArray
    values: dict[str, FloatArray]


class SpaceCosts:
    """Exact latency, MACs, parameters and peak memory of a space's architectures.

    The networks of a space are chains of its terms, so each cost is a sum (peak memory: a maximum) over terms of a
    number that depends on few choices. Those numbers come from the terms' graphs when first asked for, and are kept.

    Args:
        space: the search space.
        table: prices; None leaves latency out.
        batch: images of one inference (for peak memory).
    """

    def __init__(self, space: Space, table: LatencyTable | None, *, batch: int = 1) -> None:
        self.space = space
        self.table = table
        self.batch = batch
        self._terms = [self._empty(term) for term in space.terms]
        self._kinds: dict[str, Callable[[OpGraph], float]] = {
            "macs": graph_macs,
            "params": graph_params,
            "peak_memory_bytes": lambda graph: peak_memory_bytes(graph, batch=batch),
        }
        if table is not None:
            self._kinds["latency_ms"] = lambda graph: table.additive_counts_ms(graph.op_counts)

    def latency_ms(self, codes: npt.ArrayLike) -> FloatArray:
        """Predicted latency ``(n,)`` in milliseconds of codes ``(n, d)``; NaN for rows that are no network.

        Raises:
            UnmeasuredOpError: the table lacks an op.
        """
        if self.table is None:
            raise ValueError("latency needs a table")
        return self.table.scale * (self.table.additive_ms(SESSION) + self._total("latency_ms", codes))

    def macs(self, codes: npt.ArrayLike) -> FloatArray:
        """Multiply-accumulates ``(n,)`` of one image."""
        return self._total("macs", codes)

    def params(self, codes: npt.ArrayLike) -> FloatArray:
        """Trainable parameters ``(n,)``."""
        return self._total("params", codes)

    def peak_memory_bytes(self, codes: npt.ArrayLike) -> FloatArray:
        """Largest sum of live activations ``(n,)`` in bytes."""
        return self._total("peak_memory_bytes", codes)

    def cost(self, name: str) -> Callable[[npt.ArrayLike], FloatArray]:
        """The vectorised function behind one of `COSTS`."""
        functions = {
            "latency_ms": self.latency_ms,
            "macs": self.macs,
            "params": self.params,
            "peak_memory_bytes": self.peak_memory_bytes,
        }
        return functions[name]

    def _empty(self, term: Term) -> _TermCosts:
        counts = [self.space.cardinalities[c] for c in term.choices]
        radices = np.array([math.prod(counts[i + 1 :]) for i in range(len(counts))], dtype=np.int64)
        size = math.prod(counts)
        return _TermCosts(term, radices, {name: np.full(size, np.nan) for name in COSTS})

    def _total(self, name: str, codes: npt.ArrayLike) -> FloatArray:
        rows = self.space.canonical_codes(np.atleast_2d(np.asarray(codes, dtype=np.int64)))
        valid = self.space.valid_codes(rows)
        result = np.full(len(rows), np.nan)
        if not valid.any():
            return result
        live = rows[valid]
        parts = [self._of_term(part, name, live) for part in self._terms]
        combine = np.max if name == "peak_memory_bytes" else np.sum
        result[valid] = combine(parts, axis=0)
        return result

    def _of_term(self, part: _TermCosts, name: str, rows: IntArray) -> FloatArray:
        values = part.values[name]
        index: IntArray = rows[:, list(part.term.choices)] @ part.radices
        found: FloatArray = values[index]
        if np.isnan(found).any():
            missing, where = np.unique(index[np.isnan(found)], return_index=True)
            sources = rows[np.isnan(found)][where]
            for position, row in zip(missing, sources, strict=True):
                graph = self.space.term_graph(part.term, self.space.decode(row))
                values[position] = 0.0 if graph is None else self._kinds[name](graph)
            found = values[index]
        return found


def least(space: Space, cost: Cost, seed: int = 0) -> tuple[Architecture, float]:
    """The cheapest network of a space, and what it costs.

    Small spaces are enumerated. In large ones, descents move to the best of all networks one choice away until none is
    cheaper, from every combination of the choices that all terms share (width and resolution, say) and from
    random networks. Where the cost is a sum over terms that share nothing else but a stage's depth, that is exact.
    """
    if math.prod(space.cardinalities) <= _ENUMERABLE:
        grid = np.indices(space.cardinalities).reshape(len(space.choices), -1).T
        values = np.nan_to_num(cost(grid), nan=math.inf)
        best = int(values.argmin())
        return space.decode(space.canonical_codes(grid[best][None])[0]), float(values[best])
    rng = np.random.default_rng(seed)
    starts = [*_shared_starts(space), *(space.encode(arch) for arch in space.sample(_RANDOM_STARTS, rng))]
    value, row = min((_descend(space, cost, start) for start in starts), key=lambda found: found[0])
    return space.decode(space.canonical_codes(row[None])[0]), value


def _shared_starts(space: Space) -> list[IntArray]:
    """The first value of each choice, with all combinations of the choices that every term depends on."""
    shared = sorted(set.intersection(*(set(term.choices) for term in space.terms)))
    counts = [space.cardinalities[c] for c in shared]
    starts = []
    for values in np.indices(counts).reshape(len(counts), -1).T[:_ENUMERABLE]:
        row = np.zeros(len(space.choices), dtype=np.int64)
        row[shared] = values
        starts.append(row)
    return starts


def _descend(space: Space, cost: Cost, row: IntArray) -> tuple[float, IntArray]:
    value = float(np.nan_to_num(cost(row[None])[0], nan=math.inf))
    while True:
        moves = _one_choice_away(row, space.cardinalities)
        values = np.nan_to_num(cost(moves), nan=math.inf)
        step = int(values.argmin())
        if not values[step] < value:
            return value, row
        value, row = float(values[step]), moves[step]


def _one_choice_away(row: IntArray, cardinalities: tuple[int, ...]) -> IntArray:
    columns = np.repeat(np.arange(len(row)), cardinalities)
    moves = np.repeat(row[None], len(columns), axis=0)
    moves[np.arange(len(columns)), columns] = np.concatenate([np.arange(n) for n in cardinalities])
    return moves
