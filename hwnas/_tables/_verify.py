"""Does a table still hold here? Networks that it was made with are measured again, in seconds.

Three things are told apart: the machine as a whole is slower or faster (the table holds, scaled), single ops or kinds
of ops moved (it does not hold), and noise. What looks moved is measured again in new sessions before it is said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwnas._tables._moved import LIMIT, OR, Deviations, FloatArray, Move, deviations
from hwnas._tables._references import reference_op_ms, session_sd
from hwnas._tables._verify_prices import verify_prices
from hwnas._tables._verify_result import CHANGED, EACH_OTHER, HOLDS, SLOW_AND_FAST, TOO_NOISY, Check, Verified
from hwnas.spaces import named_graph
from latency_tables import LatencyTable, NetworkMeasurement, OpGraph
from profilers import (
    REFERENCE_OP,
    Backend,
    Reference,
    References,
    ReferenceTimer,
    Workload,
    executed_graph,
    fixed_rounds,
    fusion_of,
)

MOST_NETWORKS, FEWEST_NETWORKS = 120, 24
"""Networks of one session, by the time that they take; a table with fewer than the second is verified by its prices."""
ROUNDS, SESSION_S = 10, 6.0
"""Rounds of one session, and seconds in which they should be done."""
SESSIONS = 3
"""Sessions where the first is not clear."""
_RUNS, _SAMPLE_MS = 4, 0.3
"""Untimed runs before a sample, and milliseconds of a sample, as `fixed_rounds` has them."""
REFERENCE_LIMIT, TILT_LIMIT, UNEVEN_LIMIT = 0.10, 0.30, 0.04
"""Relative changes that are noise: of the reference op against networks; of slow networks against fast ones; of single
networks against each other (their standard deviation, as far as it is the same in all sessions)."""
_SCREEN = 0.6
"""Share of a limit above which the first session is not clear."""
_CLEAR_SCALE, _NOISY_SCALE = 0.016, 0.06
"""Standard deviation of networks above which the first session is not clear, and above which nothing can be told."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class _Chosen:
    """The networks that are measured again, with the shares of ops and of kinds of ops in their times."""

    networks: list[NetworkMeasurement]
    graphs: list[OpGraph]
    then_ms: FloatArray
    ops: dict[str, float]
    shares: dict[str, FloatArray]


def verify_table(
    table: LatencyTable,
    workload: Workload,
    backend: Backend,
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> Verified:
    """Measure the reference op and networks of a table again, beside each other.

    Where the first session leaves a doubt, two more follow, with networks that are loaded anew. A table with few
    networks is verified by a few of its prices.

    Args:
        table: A table of this device.
        workload: The space, or the other networks, that the table is of.
        backend: This device, as the table was measured.
        seed: Random seed of the networks to measure.
        progress: Receives progress lines.

    Raises:
        IdentityMismatchError: The table is another device's.
    """
    table.require_identity(backend.identity())
    if len(table.networks) < FEWEST_NETWORKS:
        return verify_prices(table, workload, backend, seed=seed, progress=progress)
    chosen = _choose(table, workload, backend, seed)

    def measure(number: int) -> dict[str, float]:
        """Measure the networks in one session."""
        again = f", session {number + 1} of {SESSIONS}" if number else ""
        progress(f"measuring the reference op and {len(chosen.networks)} networks again{again}")
        return _measure(table, chosen, backend, seed, number)

    return _decide(table, chosen, measure)


def _decide(table: LatencyTable, chosen: _Chosen, measure: Callable[[int], dict[str, float]]) -> Verified:
    """Measure sessions until they are enough to tell.

    Args:
        table: The table.
        chosen: The networks.
        measure: Returns how many times longer each network, and the reference op, takes in the session of that number.
    """
    sessions: list[dict[str, float]] = []
    while True:
        sessions.append(measure(len(sessions)))
        deviating, reference = _deviations(table, chosen, sessions), _reference_logs(sessions, chosen)
        enough = _clear(deviating, reference) if len(sessions) == 1 else _obvious(deviating, reference)
        if enough or len(sessions) == SESSIONS:
            return _judge(table, chosen, sessions, deviating)


def _choose(table: LatencyTable, workload: Workload, backend: Backend, seed: int) -> _Chosen:
    """Draw as many networks as can be measured in time, at least `FEWEST_NETWORKS`."""
    order = np.random.default_rng((seed, 17)).permutation(len(table.networks))
    networks: list[NetworkMeasurement] = []
    milliseconds = 0.0
    for i in order[:MOST_NETWORKS]:
        one_ms = table.networks[int(i)].latency_ms
        milliseconds += ROUNDS * (_RUNS * one_ms + max(one_ms, _SAMPLE_MS))
        if milliseconds > 1e3 * SESSION_S and len(networks) >= FEWEST_NETWORKS:
            break
        networks.append(table.networks[int(i)])
    fusion = fusion_of(backend)
    graphs = [executed_graph(named_graph(workload, n.arch), fusion) for n in networks]
    then_ms = np.array([n.latency_ms for n in networks])
    prices = {op.key: table.entries[op].q10_ms for graph in graphs for op in graph.op_counts if op in table.entries}
    shares: dict[str, FloatArray] = {key: np.zeros(len(graphs)) for key in sorted(prices)}
    for i, graph in enumerate(graphs):
        for op, count in graph.op_counts.items():
            if op.key not in prices:
                continue
            share = count * prices[op.key] / then_ms[i]
            kernel = dict(op.attributes).get("kernel")
            for name in (op.key, f"all {op.kind}", *([f"all {op.kind} kernel={kernel}"] if kernel else [])):
                shares.setdefault(name, np.zeros(len(graphs)))[i] += share
    return _Chosen(networks, graphs, then_ms, prices, shares)


def _measure(table: LatencyTable, chosen: _Chosen, backend: Backend, seed: int, number: int) -> dict[str, float]:
    """Return how many times longer each network, and the reference op, takes in a session of its own."""
    order = np.random.default_rng((seed, 19, number)).permutation(len(chosen.networks))
    references = References(
        tuple(Reference(chosen.networks[i].arch, chosen.graphs[i], float(chosen.then_ms[i])) for i in order),
        reference_op_ms(table),
        session_sd=session_sd(table),
    )
    settings = fixed_rounds(ROUNDS, max_seconds=2 * SESSION_S)
    return dict(ReferenceTimer(backend, references).measure({}, settings, seed=seed + number).speed.ratios)


def _logs(sessions: Sequence[Mapping[str, float]], chosen: _Chosen) -> list[FloatArray]:
    """Return the log ratios of the networks ``(n,)`` in each session."""
    return [np.log([session[n.arch] for n in chosen.networks]) for session in sessions]


def _reference_logs(sessions: Sequence[Mapping[str, float]], chosen: _Chosen) -> list[float]:
    """Return the log ratio of the reference op less that of the networks, in each session; none where not known."""
    return [
        float(np.log(session[REFERENCE_OP]) - np.median(logs))
        for session, logs in zip(sessions, _logs(sessions, chosen), strict=True)
        if REFERENCE_OP in session
    ]


def _deviations(
    table: LatencyTable, chosen: _Chosen, sessions: Sequence[Mapping[str, float]], known: Sequence[str] = ()
) -> Deviations:
    """Return what is left of the slowness of the networks after that of the machine, and after the `known` moves."""
    logs = _logs(sessions, chosen)
    return deviations(logs, chosen.then_ms, chosen.shares, list(chosen.ops), session_sd(table), known)


def _clear(found: Deviations, reference: Sequence[float]) -> bool:
    """Return whether one session is enough to say that nothing moved."""
    return (
        found.scale <= _CLEAR_SCALE
        and all(abs(log) <= _SCREEN * REFERENCE_LIMIT for log in reference)
        and abs(found.tilt) <= _SCREEN * TILT_LIMIT
        and not any(abs(m.z) > found.screen_z and abs(m.change) > _SCREEN * LIMIT for m in found.moves)
    )


def _obvious(found: Deviations, reference: Sequence[float]) -> bool:
    """Return whether two sessions are enough to say that something moved."""
    far = [log for log in reference if abs(log) > 2 * REFERENCE_LIMIT]
    return found.repeated > 2 * UNEVEN_LIMIT or (len(far) == len(reference) > 0 and len(set(np.sign(far))) == 1)


def _judge(
    table: LatencyTable, chosen: _Chosen, sessions: Sequence[Mapping[str, float]], found: Deviations
) -> Verified:
    """Make the result from all sessions."""
    checks = _whole_checks(table, chosen, sessions, found)
    named = _named(table, chosen, sessions, found) if len(sessions) > 1 else []
    checks += [_op_check(chosen, move, found, moved=True) for move in named]
    steady = [m for m in found.moves if m.name not in {move.name for move in named}]
    checks += [_op_check(chosen, move, found, moved=False) for move in steady]
    changed = any(not check.holds for check in checks)
    noisy = found.scale > _NOISY_SCALE and found.repeated <= UNEVEN_LIMIT
    return Verified(
        verdict=CHANGED if changed else TOO_NOISY if noisy else HOLDS,
        slowness=found.slowness,
        half_width=found.half_width,
        checks=tuple(checks),
        covered=found.covered,
        noise=found.scale,
        networks=len(chosen.networks),
        sessions=len(sessions),
    )


def _whole_checks(
    table: LatencyTable, chosen: _Chosen, sessions: Sequence[Mapping[str, float]], found: Deviations
) -> list[Check]:
    """Check the reference op against networks, slow networks against fast ones, and networks against each other."""
    checks, several = [], len(sessions) > 1
    recorded, reference = reference_op_ms(table), _reference_logs(sessions, chosen)
    if reference and recorded is not None:
        change = float(np.expm1(np.median(reference)))
        moved = several and _same_way(reference, REFERENCE_LIMIT)
        checks.append(_check("reference op", recorded, change, REFERENCE_LIMIT, found.slowness, moved))
    slow_ms = float(np.quantile(chosen.then_ms, 0.95))
    moved = several and _same_way(found.tilts, TILT_LIMIT)
    change = float(np.expm1(found.tilt))
    checks.append(_check(SLOW_AND_FAST, slow_ms, change, TILT_LIMIT, found.slowness, moved))
    middle_ms, moved = float(np.median(chosen.then_ms)), found.repeated > UNEVEN_LIMIT
    return [*checks, _check(EACH_OTHER, middle_ms, found.repeated, UNEVEN_LIMIT, found.slowness, moved)]


def _same_way(logs: Sequence[float], limit: float) -> bool:
    """Return whether the median is beyond the limit, and each session deviates by a third of it in its direction."""
    middle = float(np.median(logs))
    return abs(middle) > limit and all(log * np.sign(middle) > limit / 3 for log in logs)


def _named(
    table: LatencyTable, chosen: _Chosen, sessions: Sequence[Mapping[str, float]], found: Deviations
) -> list[Move]:
    """Return the ops, or kinds of ops, that moved: the clearest, then what is left to explain, five at most."""
    named: list[Move] = []
    while len(named) < _MOST_NAMED:
        moved = [
            m
            for m in found.moves
            if abs(m.z) > found.critical(m.change)
            and abs(m.change) > LIMIT
            and float(np.median(m.changes)) * np.sign(m.change) > LIMIT / 2
        ]
        if not moved:
            break
        named.append(moved[0])
        found = _deviations(table, chosen, sessions, [move.name.split(OR)[0] for move in named])
    return named


def _op_check(chosen: _Chosen, move: Move, found: Deviations, *, moved: bool) -> Check:
    """Return the check of an op, or of a kind of ops, whose value is then its mean time in a network."""
    first = move.name.split(OR)[0]
    table_ms = chosen.ops.get(first, float(np.mean(chosen.shares[first] * chosen.then_ms)))
    tolerance = max(LIMIT, found.critical(move.change) * move.error)
    check = _check(move.name, table_ms, move.change, tolerance, found.slowness, moved)
    return replace(check, of_ops=True, sure=first in found.sure)


def _check(name: str, table_ms: float, change: float, tolerance: float, slowness: float, moved: bool) -> Check:
    """Make a check of a relative change."""
    at_table_speed = table_ms * (1 + change)
    return Check(name, table_ms, at_table_speed * slowness, at_table_speed, tolerance * table_ms, holds=not moved)
