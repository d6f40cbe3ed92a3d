"""Merging tables: rows and networks of all at one speed, and what the merged rows predict for the networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from statistics import median_low

from hwnas._errors import HwnasError
from hwnas._tables._validate import space_of
from hwnas.spaces import Space, named_graph
from latency_tables import LatencyTable, LatencyTableError, NetworkMeasurement, merge_tables

_EQUAL = 1e-12
"""Relative difference of two computations of one prediction."""
_FEWEST = 3
"""Fewest networks, or rows, that tell how much faster or slower a machine was when another table was made."""
_LARGE = 0.5
"""Rows that tell it cost at least this share of the most expensive one: small prices are noisy."""


def merged(tables: Sequence[LatencyTable]) -> LatencyTable:
    """Merge tables of one device and space; correction, intervals and grade are those of the merged rows.

    Times are brought to the speed that the machine had when the latest table was made; a note says by which factor.

    Raises:
        LatencyTableError: They are of different devices, runtimes, settings or spaces.
    """
    latest = max(tables, key=lambda table: table.created)
    table = reduce(merge_tables, [table if table is latest else _at_speed_of(table, latest) for table in tables])
    if len(tables) == 1 or not table.networks:
        return table
    space = _space_of(table)
    networks = [network for old in table.networks if (network := _predicted(table, space, old)) is not None]
    lost = len(table.networks) - len(networks)
    notes = table.notes
    if lost:
        notes = (*notes, f"merging left out {lost} measured networks that cannot be built or priced here")
    return replace(table, networks=tuple(networks), notes=notes)


def _at_speed_of(table: LatencyTable, latest: LatencyTable) -> LatencyTable:
    """Return a table with the times that it would hold at the speed of another one."""
    factor = _speed_ratio(table, latest)
    if factor == 1.0:
        return table
    entries = {
        op: replace(
            entry,
            q10_ms=entry.q10_ms * factor,
            median_ms=entry.median_ms * factor,
            p90_ms=entry.p90_ms * factor,
            low_ms=entry.low_ms * factor,
            high_ms=entry.high_ms * factor,
        )
        for op, entry in table.entries.items()
    }
    networks = tuple(
        replace(
            network,
            unfitted_ms=network.unfitted_ms * factor,
            measured_ms=network.measured_ms * factor,
            repeat_ms=network.repeat_ms * factor,
        )
        for network in table.networks
    )
    cache = table.cache and replace(table.cache, extra_ms=tuple(ms * factor for ms in table.cache.extra_ms))
    note = f"times of the table of {table.created} were multiplied by {factor:.3f}, for the machine's speed later"
    return replace(table, entries=entries, networks=networks, cache=cache, notes=(*table.notes, note))


def _speed_ratio(table: LatencyTable, latest: LatencyTable) -> float:
    """Return by which factor times are longer in the latest table, rounded; 1.0 where nothing in common tells it.

    It is the median over the networks that both hold, or else over the most expensive rows that both price.
    """
    there = {network.arch: network.latency_ms for network in latest.networks}
    ratios = [there[n.arch] / n.latency_ms for n in table.networks if n.arch in there and n.latency_ms > 0]
    if len(ratios) < _FEWEST:
        most = max((entry.q10_ms for entry in latest.entries.values() if entry.priced), default=0.0)
        shared = {
            op: entry for op, entry in latest.entries.items() if entry.priced and entry.q10_ms >= _LARGE * most > 0
        }
        old = {op: table.entries[op] for op in shared if op in table.entries}
        ratios = [shared[op].q10_ms / entry.q10_ms for op, entry in old.items() if entry.priced and entry.q10_ms > 0]
    return round(median_low(ratios), 6) if len(ratios) >= _FEWEST else 1.0


def _space_of(table: LatencyTable) -> Space | None:
    try:
        return space_of(table)
    except HwnasError:  # it is of a plug-in that is not installed, or no space
        return None


def _predicted(table: LatencyTable, space: Space | None, network: NetworkMeasurement) -> NetworkMeasurement | None:
    """Return a measured network with what the table's rows predict for it; None where that cannot be found."""
    if space is None:
        return None
    try:
        unfitted = table.unfitted_graph_ms(named_graph(space, network.arch))
    except (HwnasError, LatencyTableError):
        return None
    if math.isclose(unfitted, network.unfitted_ms, rel_tol=_EQUAL):
        return network
    return replace(network, unfitted_ms=unfitted)
