"""Does a table still hold here? A few of its numbers measured again, in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwnas.spaces import named_graph
from latency_tables import OVERHEADS, LatencyTable
from profilers import COLD_CACHES, REFERENCE_OP_MS, Backend, SamplingSettings, Workload, remeasure

QUICK = SamplingSettings(min_rounds=15, max_rounds=25, max_seconds=20.0)
OPS = 5
TOLERANCE = 0.10
"""Relative deviation of a price, a network or the reference op that is no longer noise."""


@dataclass(frozen=True)
class Check:
    """One number measured again.

    Attributes:
        name: The op, network or reference op.
        table_ms: What the table says.
        measured_ms: What it is now.
        tolerance_ms: Deviation that is still noise.
    """

    name: str
    table_ms: float
    measured_ms: float
    tolerance_ms: float

    @property
    def holds(self) -> bool:
        """Whether the table's number is still right."""
        return abs(self.measured_ms - self.table_ms) <= self.tolerance_ms


def verify_table(
    table: LatencyTable,
    workload: Workload,
    backend: Backend,
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Check]:
    """Measure five random prices, the reference op and one whole network again.

    The network was measured twice when the table was made: with the one of now it has a twin.

    Args:
        table: A table of this device.
        workload: The space, or the other networks, that the table is of.
        backend: This device, as the table was measured.
        seed: Random seed of the ops and the network to measure.
        progress: Receives progress lines.

    Raises:
        IdentityMismatchError: The table is another device's.
    """
    table.require_identity(backend.identity())
    rng = np.random.default_rng(seed)
    priced = [entry for entry in table.entries.values() if entry.status == "ok" and entry.op.kind not in OVERHEADS]
    chosen = [priced[int(i)] for i in rng.permutation(len(priced))[:OPS]]
    network = table.networks[int(rng.integers(len(table.networks)))] if table.networks else None
    graphs = [named_graph(workload, network.arch)] if network else []
    progress(f"measuring {len(chosen)} ops, the reference op and {len(graphs)} network again")
    cold = table.environment.get(COLD_CACHES)
    now = remeasure(
        backend,
        workload.ops(),
        [entry.op for entry in chosen],
        graphs,
        table.cache,
        QUICK,
        cold=cold if isinstance(cold, bool) else None,
        refused=[op for op, entry in table.entries.items() if not entry.priced],
    )
    checks = []
    recorded = table.environment.get(REFERENCE_OP_MS)
    if isinstance(recorded, float):
        checks.append(Check("reference op", recorded, now.reference_op_ms, TOLERANCE * recorded))
    for entry in chosen:
        noise = (entry.high_ms - entry.low_ms) + now.half_widths[entry.op]
        slack = max(TOLERANCE * entry.q10_ms, noise, now.graph_noise[entry.op])
        checks.append(Check(entry.op.key, entry.q10_ms, now.prices[entry.op], slack))
    if network is not None:
        checks.append(
            Check(f"network {network.arch}", network.measured_ms, now.networks[0], TOLERANCE * network.measured_ms)
        )
    return checks
