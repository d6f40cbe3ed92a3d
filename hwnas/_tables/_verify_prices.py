"""Verifies tables that hold few networks: by a few of their prices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwnas._tables._references import reference_op_ms
from hwnas._tables._verify_result import CHANGED, HOLDS, Check, Verified
from hwnas.spaces import named_graph
from latency_tables import OVERHEADS, Entry, LatencyTable
from profilers import COLD_CACHES, Backend, Remeasured, SamplingSettings, Workload, remeasure

QUICK = SamplingSettings(min_rounds=15, max_rounds=25, max_seconds=10.0)
OPS, NETWORKS, SESSIONS = 5, 5, 3
TOLERANCE = 0.15
"""Relative deviation of a price, a network or the reference op that is noise at the least."""


def verify_prices(
    table: LatencyTable,
    workload: Workload,
    backend: Backend,
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> Verified:
    """Measure five random prices, the reference op and up to five networks again.

    The machine's speed is the median of their ratios. What deviates from it is measured again in two more sessions, and
    moved where it deviates in all.

    Args:
        table: A table of this device.
        workload: The space, or the other networks, that the table is of.
        backend: This device, as the table was measured.
        seed: Random seed of the ops and networks to measure.
        progress: Receives progress lines.
    """
    rng = np.random.default_rng(seed)
    priced = [e for e in table.entries.values() if e.status == "ok" and e.op.kind not in OVERHEADS and e.q10_ms > 0]
    entries = [priced[int(i)] for i in rng.permutation(len(priced))[:OPS]]
    networks = [table.networks[int(i)] for i in rng.permutation(len(table.networks))[:NETWORKS]]
    graphs = [named_graph(workload, network.arch) for network in networks]
    cold, reference_ms = table.environment.get(COLD_CACHES), reference_op_ms(table)
    then = {"reference op": reference_ms} if reference_ms is not None else {}
    then |= {f"network {n.arch}": n.latency_ms for n in networks} | {e.op.key: e.q10_ms for e in entries}
    sessions: list[list[Check]] = []
    slowness = 1.0
    while len(sessions) < SESSIONS and (not sessions or any(not check.holds for check in sessions[-1])):
        progress(f"measuring {len(entries)} ops, the reference op and {len(graphs)} networks again")
        now = remeasure(
            backend,
            workload.ops(),
            [entry.op for entry in entries],
            graphs,
            table.cache,
            QUICK,
            cold=cold if isinstance(cold, bool) else None,
            refused=[op for op, entry in table.entries.items() if not entry.priced],
        )
        measured = {"reference op": now.reference_op_ms, **{e.op.key: now.prices[e.op] for e in entries}}
        measured |= {f"network {n.arch}": ms for n, ms in zip(networks, now.networks, strict=True)}
        slowness = _slowness(measured, then)
        sessions.append(_checks(measured, then, {e.op.key: _noise_ms(e, now) for e in entries}, slowness))
    # a number moved where it deviates in each session
    checks = [_in_all(same) for same in zip(*sessions, strict=True)]
    verdict = HOLDS if all(check.holds for check in checks) else CHANGED
    half_width = TOLERANCE / math.sqrt(max(1, len(then)))
    return Verified(verdict, slowness, half_width, tuple(checks), None, None, len(networks), len(sessions))


def _noise_ms(entry: Entry, now: Remeasured) -> float:
    """Return the deviation of a price that is noise, in milliseconds."""
    return max(entry.high_ms - entry.low_ms + now.half_widths[entry.op], now.graph_noise[entry.op])


def _slowness(measured: Mapping[str, float], then: Mapping[str, float]) -> float:
    """Return the median of how many times longer everything takes."""
    ratios = [measured[name] / ms for name, ms in then.items() if measured[name] > 0]
    return math.exp(float(np.median(np.log(ratios)))) if ratios else 1.0


def _checks(
    measured: Mapping[str, float], then: Mapping[str, float], noise_ms: Mapping[str, float], slowness: float
) -> list[Check]:
    """Compare everything with the table, at the table's speed."""
    checks = []
    for name, table_ms in then.items():
        same_speed, tolerance = measured[name] / slowness, max(TOLERANCE * table_ms, noise_ms.get(name, 0.0))
        holds = abs(same_speed - table_ms) <= tolerance
        checks.append(Check(name, table_ms, measured[name], same_speed, tolerance, holds, of_ops=name in noise_ms))
    return checks


def _in_all(same: Sequence[Check]) -> Check:
    """Return the last check of a number, unless it holds in another session."""
    return next((check for check in same if check.holds), same[-1])
