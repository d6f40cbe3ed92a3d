"""The front as measured: candidates are measured, those over a budget or dominated are replaced, the front is fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwnas._costs._cost import LATENCY, MEMORY, cost_named
from hwnas._pipeline._arena import arenas_of, binds_arena
from hwnas._pipeline._known import known_costs
from hwnas._pipeline._measure_winners import latency_entry, time_candidates
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._time_networks import TimedNetwork
from hwnas._pipeline._winner import BEST_WINNERS, MOST_WINNERS, Candidates, Winner, bound_cost, cost_of, from_best
from hwnas._runs._delivered import Check, checks, dominators_of, latency_of
from hwnas._runs._front import spread_along
from profilers import TextProgress

SPARES = 5
"""Spares that are measured together with the front."""
FURTHER_SESSIONS = 2
"""Most sessions in which further spares are measured."""


@dataclass(frozen=True)
class Chosen:
    """The front that is delivered.

    Attributes:
        winners: At most `MOST_WINNERS` networks, from cheap to expensive.
        first: What was measured of them, by id; empty where nothing was.
    """

    winners: Sequence[Winner]
    first: Mapping[str, TimedNetwork] = field(default_factory=dict)


@dataclass(frozen=True)
class _Measured:
    """A candidate that was measured.

    Attributes:
        winner: The network.
        entry: Its costs, as an entry of ``pareto.json``.
        timed: Its times.
        checks: Its costs compared with the budgets.
    """

    winner: Winner
    entry: dict[str, Any]
    timed: TimedNetwork
    checks: Sequence[Check]

    @property
    def within(self) -> bool:
        """Whether it meets the budgets."""
        return all(check.within for check in self.checks)

    @property
    def surely_within(self) -> bool:
        """Whether it meets them by more than the error of the measurement."""
        return all(check.surely_within for check in self.checks)

    @property
    def excess(self) -> float:
        """How far it is over a budget at most, as a share of the budget; what is not known is over by infinity."""
        shares = [math.inf if math.isnan(check.value) else check.excess for check in self.checks]
        return max(shares, default=-math.inf)


def choose_winners(setup: SearchSetup, candidates: Candidates, progress: TextProgress) -> Chosen:
    """Fix the front that is delivered, by measurements where latency or the arena decides anything.

    Networks that surely meet the budgets come first: the value plus its half-width meets them. Networks that meet
    them within the error of the measurement are delivered where there are no others, and networks over a budget where
    nothing meets them.

    Args:
        setup: The search.
        candidates: The networks in the order in which they are considered.
        progress: Receives progress lines.
    """
    if not candidates.first or not setup.measures or not _decides(setup):
        return Chosen(candidates.first)
    wanted, spares = len(candidates.first), list(candidates.spares)
    batch = [*candidates.first, *_next_spares(setup, spares, [], SPARES)]
    measured: list[_Measured] = []
    for session in range(1 + FURTHER_SESSIONS):
        progress(_session_line(setup, len(batch), session))
        measured += _measure(setup, batch, session, progress)
        missing = wanted - sum(network.surely_within for network in _front(setup, measured))
        batch = _next_spares(setup, spares, measured, max(missing, SPARES))
        enough = measured and all(network.surely_within for network in measured)
        if missing <= 0 or not batch or enough:
            break
    if not measured:  # none of them can be loaded on the device
        return Chosen(candidates.first)
    kept = _front(setup, measured)
    for line in _left_out_lines(candidates.first, measured, kept):
        progress(line)
    return Chosen([network.winner for network in kept], {network.winner.id: network.timed for network in kept})


def _decides(setup: SearchSetup) -> bool:
    """Return whether what is measured here decides which networks are delivered."""
    settings = setup.run.settings
    return LATENCY.name in settings.minimize or LATENCY.key in settings.budgets or binds_arena(settings)


def _measure(setup: SearchSetup, batch: Sequence[Winner], session: int, progress: TextProgress) -> list[_Measured]:
    """Measure candidates in a session of their own; those that cannot be measured are left out."""
    timed = time_candidates(setup, batch, session, progress)
    settings = setup.run.settings
    batch = [winner for winner in batch if winner.id in timed]
    arenas = arenas_of(batch, setup) if binds_arena(settings) else [None] * len(batch)
    result = []
    for winner, arena in zip(batch, arenas, strict=True):
        entry = known_costs(winner, setup.space, setup.costs.space_costs, setup.metric, setup.network_metric)
        entry["latency_ms"] |= latency_entry(timed[winner.id], setup.latency_statistic)
        entry |= {"arena_bytes": arena, "memory_statistic": settings.memory_statistic}
        result.append(_Measured(winner, entry, timed[winner.id], checks(entry, settings.budgets)))
    return result


def _front(setup: SearchSetup, measured: Sequence[_Measured]) -> list[_Measured]:
    """Return the networks to deliver of those that were measured, from cheap to expensive as the search saw it."""
    costs = [cost_named(word).key for word in setup.run.settings.minimize]
    within = [network for network in measured if network.within]
    pool = [network for network in within if network.surely_within] or within or list(measured)
    if not pool:
        return []
    if setup.run.settings.goal == "best":
        kept = sorted(pool, key=lambda network: from_best(network.winner, setup) if within else network.excess)
        kept = kept[:BEST_WINNERS]
    else:
        dominators = dominators_of([network.entry for network in pool], costs)
        front = [network for network, better in zip(pool, dominators, strict=True) if better is None]
        kept = [front[i] for i in spread_along([_cost(network, costs[0]) for network in front], MOST_WINNERS)]
    nearest = min(pool, key=lambda network: network.excess)
    if not within and nearest not in kept:
        kept = [*kept[: MOST_WINNERS - 1], nearest]
    return sorted(kept, key=lambda network: cost_of(network.winner, costs[0], setup))


def _cost(network: _Measured, key: str) -> float:
    return latency_of(network.entry) if key == LATENCY.key else float(network.entry[key])


def _next_spares(setup: SearchSetup, spares: list[Winner], measured: Sequence[_Measured], count: int) -> list[Winner]:
    """Take the next spares from `spares`, those first that are expected to meet the budgets.

    Expected is what the search saw, times what measurements so far were of that in the median; the arena is expected
    from the live memory in the same way.
    """
    settings = setup.run.settings
    expected: dict[str, Callable[[Winner], float]] = {}
    if LATENCY.key in settings.budgets:
        expected[LATENCY.key] = lambda winner: bound_cost(winner, LATENCY.key, setup)
    if binds_arena(settings):
        expected[MEMORY.key] = lambda winner: cost_of(winner, MEMORY.key, setup)
    limits = {key: settings.budgets[key] / _usual_ratio(measured, key, function) for key, function in expected.items()}

    def is_over(winner: Winner) -> bool:
        """Return whether a network is expected to be over a budget."""
        return any(function(winner) > limits[key] for key, function in expected.items())

    taken = sorted(spares, key=is_over)[:count]  # a stable sort: their order stays otherwise
    for winner in taken:
        spares.remove(winner)
    return taken


def _usual_ratio(measured: Sequence[_Measured], key: str, expected: Callable[[Winner], float]) -> float:
    """Return what measured costs are of the expected ones in the median; 1 before anything was measured."""
    values = [(check.value, network.winner) for network in measured for check in network.checks if check.cost == key]
    ratios = [value / expected(winner) for value, winner in values if not math.isnan(value)]
    return float(np.median(ratios)) if ratios else 1.0


def _session_line(setup: SearchSetup, count: int, session: int) -> str:
    """Return a line that says what is measured now."""
    device, word = setup.run.settings.device, "candidate" if count == 1 else "candidates"
    if session:
        return f"measuring {count} more {word} on {device}"
    return f"measuring {count} {word} on {device} to choose what is delivered"


def _left_out_lines(first: Sequence[Winner], measured: Sequence[_Measured], kept: Sequence[_Measured]) -> list[str]:
    """Return a line for each network of the front that is left out because of a budget."""
    left_out = {winner.id for winner in first} - {network.winner.id for network in kept}
    lines = []
    for network in measured:
        doubtful = [check.text for check in network.checks if not check.surely_within]
        if doubtful and network.winner.id in left_out:
            verb = "may exceed" if network.within else "exceeds"
            lines.append(f"{network.winner.id} is left out, because it {verb} the budget: {', '.join(doubtful)}")
    return lines
