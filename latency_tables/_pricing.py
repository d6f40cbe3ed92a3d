"""The price of a network from the rows of a table. The formula is stated only here.

A network is one op graph, or a chain of op graphs in which each reads the results of the one before. Its price is

    unfitted  = session + sum over ops of price(op) + sum over core crossings of price(crossing) + extra(W)      (1)
    W         = sum over session and ops of (weight_bytes + kernels * kernel_bytes) + max of activation_bytes      (2)
    corrected = unfitted * exp(shift) * (unfitted / centre) ^ tilt                                                 (3)

`extra` is the `CacheCurve` (0 where a table has none) of the working set W in bytes, crossings are counted as in
`trace_core_crossings` (none where a table prices none), and (3) is the `Correction` (unfitted where a table has none).
All but `extra` and the maximum in (2) are sums over ops, so numbers of the parts of a chain (`PartCosts`) are enough to
price it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from latency_tables._cache import CacheCurve
from latency_tables._core_crossing import CORE_CROSSING, Crossings, Holders, trace_core_crossings
from latency_tables._correction import Correction
from latency_tables._entry import SESSION, Entry
from latency_tables._errors import UnmeasuredOpError
from latency_tables._graph import OpGraph
from latency_tables._op import Op, Shape

FloatArray = npt.NDArray[np.float64]
OVERHEADS = (SESSION.kind, CORE_CROSSING)
"""Kinds of rows that price the runtime's work around ops instead of an op."""


@dataclass(frozen=True)
class PartCosts:
    """The numbers from which the price of one part of a network follows, without core crossings.

    Attributes:
        ops_ms: Sum of the prices of its ops.
        touched_bytes: Bytes of weights and of the runtime's own data that its ops touch.
        activation_bytes: Bytes of the largest activations that are live inside one of its ops.
    """

    ops_ms: float
    touched_bytes: float
    activation_bytes: float


@dataclass(frozen=True)
class Breakdown:
    """The corrected price of a network in additive parts, in milliseconds.

    Attributes:
        session_ms: Starting the inference.
        ops_ms: Ops, by part of the chain and then in the order of the part's nodes.
        core_crossings_ms: All core crossings.
        cache_ms: What the working set costs beyond the fast caches.
    """

    session_ms: float
    ops_ms: tuple[tuple[float, ...], ...]
    core_crossings_ms: float
    cache_ms: float

    @property
    def total_ms(self) -> float:
        """The price of the network: the sum of all parts."""
        ops_ms = sum(ms for part in self.ops_ms for ms in part)
        return self.session_ms + ops_ms + self.core_crossings_ms + self.cache_ms


@dataclass(frozen=True)
class Tangent:
    """The corrected price of a network, and what one unit more of each of its numbers adds to it.

    Attributes:
        latency_ms: Equation (3).
        per_op_ms: For each millisecond of ops and core crossings.
        per_touched_byte: For each byte of weights and of the runtime's own data.
        per_activation_byte: For each byte of the largest activations.
    """

    latency_ms: float
    per_op_ms: float
    per_touched_byte: float
    per_activation_byte: float


@dataclass(frozen=True)
class Pricing:
    """Prices networks by equations (1) to (3) of this module. Never gives a number that was not measured.

    Attributes:
        entries: The rows, by op: `SESSION`, ops and core crossings.
        cache: Cost of working sets beyond the fast caches; None where prices hold it already.
        correction: Correction by whole networks; the default changes nothing.
    """

    entries: Mapping[Op, Entry]
    cache: CacheCurve | None = None
    correction: Correction = field(default_factory=Correction)

    def op_ms(self, op: Op) -> float:
        """Return the price of one row in milliseconds, uncorrected.

        Raises:
            UnmeasuredOpError: The table has no price for it.
        """
        self.require_priced([op])
        return self.entries[op].q10_ms

    def counts_ms(self, counts: Mapping[Op, int]) -> float:
        """Return the uncorrected cost of counted rows and of their working set: (1) without session and crossings.

        Args:
            counts: How often each row occurs; `SESSION` only where it is counted too.

        Raises:
            UnmeasuredOpError: The table has no price for some of them; all are named.
        """
        costs = self._counted(counts)
        return costs.ops_ms + float(self._extra_ms(costs.touched_bytes + costs.activation_bytes))

    def part_costs(self, graph: OpGraph) -> PartCosts:
        """Return the numbers from which the price of a part of a network follows.

        Raises:
            UnmeasuredOpError: The table has no price for some of its ops; all are named.
        """
        return self._counted(graph.op_counts)

    @property
    def prices_crossings(self) -> bool:
        """Whether the table prices core crossings."""
        return bool(self._crossing_shapes)

    def trace(self, graph: OpGraph, held_by: Sequence[Holders] = ()) -> Crossings:
        """Count the core crossings that the table prices in a part of a network; see `trace_core_crossings`."""
        if not self._crossing_shapes:
            return Crossings(Counter(), (Holders.NOBODY,) * len(graph.outputs))
        return trace_core_crossings(graph, self._sides, self._crossing_shapes, held_by)

    def crossings_ms(self, graph: OpGraph, held_by: Sequence[Holders] = ()) -> tuple[float, tuple[Holders, ...]]:
        """Return what the core crossings in a part of a network cost, and which side holds each of its results.

        Args:
            graph: The part as it is executed.
            held_by: Which side holds each of the part's inputs; nobody holds those that are not listed.
        """
        traced = self.trace(graph, held_by)
        self.require_priced(traced.counts)
        return sum(self.entries[op].q10_ms * count for op, count in traced.counts.items()), traced.outputs

    def unfitted_ms(
        self, ops_ms: npt.ArrayLike, touched_bytes: npt.ArrayLike = 0.0, activation_bytes: npt.ArrayLike = 0.0
    ) -> FloatArray:
        """Evaluate equation (1) for many networks.

        Args:
            ops_ms: Sums of the prices of ops and core crossings ``(n,)`` in milliseconds.
            touched_bytes: Sums of `PartCosts.touched_bytes` ``(n,)``; only read where the table has a cache curve.
            activation_bytes: Maxima of `PartCosts.activation_bytes` ``(n,)``; likewise.

        Returns:
            Uncorrected latencies ``(n,)`` in milliseconds.

        Raises:
            UnmeasuredOpError: The table has no price for a session.
        """
        total = self.op_ms(SESSION) + np.asarray(ops_ms, dtype=np.float64)
        if self.cache is None:
            return np.asarray(total)
        session = self._counted({SESSION: 1})
        largest = np.maximum(activation_bytes, session.activation_bytes)
        return np.asarray(total + self.cache.ms(session.touched_bytes + np.asarray(touched_bytes) + largest))

    def tangent(self, ops_ms: float, touched_bytes: float = 0.0, activation_bytes: float = 0.0) -> Tangent:
        """Return a corrected price with its derivatives; arguments as of `unfitted_ms`, of one network.

        Raises:
            UnmeasuredOpError: The table has no price for a session.
        """
        unfitted = self.unfitted_ms(ops_ms, touched_bytes, activation_bytes)
        rise, per_byte, larger = float(self.correction.slope(unfitted)), 0.0, False
        if self.cache is not None:
            session = self._counted({SESSION: 1})
            larger = activation_bytes > session.activation_bytes
            working = session.touched_bytes + touched_bytes + max(activation_bytes, session.activation_bytes)
            per_byte = rise * float(self.cache.slope(working))
        return Tangent(float(self.correction.apply(unfitted)), rise, per_byte, per_byte if larger else 0.0)

    def chain_ms(self, chain: Sequence[OpGraph]) -> float:
        """Return the uncorrected latency of a chain of graphs in milliseconds: equation (1).

        Raises:
            UnmeasuredOpError: The table has no price for some ops; all of one part are named.
        """
        costs = [self.part_costs(graph) for graph in chain]
        ops_ms = sum(part.ops_ms for part in costs) + self._chain_crossings_ms(chain)
        largest = max((part.activation_bytes for part in costs), default=0.0)
        return float(self.unfitted_ms(ops_ms, sum(part.touched_bytes for part in costs), largest))

    def breakdown(self, chain: Sequence[OpGraph]) -> Breakdown:
        """Divide the corrected price of a chain of graphs into parts that add up to it.

        The correction is a factor on the whole price, so each part is multiplied by it.

        Raises:
            UnmeasuredOpError: The table has no price for some ops; all of one part are named.
        """
        unfitted = self.chain_ms(chain)
        factor = float(self.correction.apply(unfitted)) / unfitted if unfitted > 0 else 1.0
        session, crossings = self.op_ms(SESSION), self._chain_crossings_ms(chain)
        ops = [[self.entries[node.op].q10_ms for node in graph.nodes] for graph in chain]
        cache = unfitted - session - crossings - sum(map(sum, ops)) if self.cache is not None else 0.0
        return Breakdown(
            session_ms=session * factor,
            ops_ms=tuple(tuple(ms * factor for ms in part) for part in ops),
            core_crossings_ms=crossings * factor,
            cache_ms=max(0.0, cache) * factor,
        )

    def require_priced(self, ops: Iterable[Op]) -> None:
        """Refuse ops without a price.

        Raises:
            UnmeasuredOpError: The table has no price for some of them; all are named.
        """
        missing = [op for op in ops if (entry := self.entries.get(op)) is None or not entry.priced]
        if missing:
            reasons = {op.key: self.entries[op].reason for op in missing if op in self.entries}
            raise UnmeasuredOpError([op.key for op in missing], reasons)

    def _counted(self, counts: Mapping[Op, int]) -> PartCosts:
        self.require_priced(counts)
        kernel_bytes = self.cache.kernel_bytes if self.cache is not None else 0
        rows = [(self.entries[op], count) for op, count in counts.items()]
        return PartCosts(
            ops_ms=float(sum(row.q10_ms * count for row, count in rows)),
            touched_bytes=float(sum(count * (row.weight_bytes + row.kernels * kernel_bytes) for row, count in rows)),
            activation_bytes=float(max((row.activation_bytes for row, _ in rows), default=0)),
        )

    def _extra_ms(self, working_bytes: npt.ArrayLike) -> FloatArray:
        return np.zeros(np.shape(working_bytes)) if self.cache is None else self.cache.ms(working_bytes)

    def _chain_crossings_ms(self, chain: Sequence[OpGraph]) -> float:
        total, holders = 0.0, tuple[Holders, ...]()
        for graph in chain:
            ms, holders = self.crossings_ms(graph, holders)
            total += ms
        return total

    @cached_property
    def _sides(self) -> dict[Op, bool]:
        """Whether one core executes an op alone, for the ops of which the table says it."""
        return {op: entry.on_one_core for op, entry in self.entries.items() if entry.on_one_core is not None}

    @cached_property
    def _crossing_shapes(self) -> frozenset[Shape]:
        """Shapes of tensors whose crossings have rows."""
        return frozenset(op.output for op in self.entries if op.kind == CORE_CROSSING)
