"""Merging tables: rows and networks of all, and what the merged rows predict for the networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from hwnas._errors import HwnasError
from hwnas._tables._validate import space_of
from hwnas.spaces import Space, named_graph
from latency_tables import LatencyTable, LatencyTableError, NetworkMeasurement, merge_tables

_EQUAL = 1e-12
"""Relative difference of two computations of one prediction."""


def merged(tables: Sequence[LatencyTable]) -> LatencyTable:
    """Merge tables of one device and space; correction, intervals and grade are those of the merged rows.

    Raises:
        LatencyTableError: They are of different devices, runtimes, settings or spaces.
    """
    table = reduce(merge_tables, tables)
    if len(tables) == 1 or not table.networks:
        return table
    space = _space_of(table)
    networks = [network for old in table.networks if (network := _predicted(table, space, old)) is not None]
    lost = len(table.networks) - len(networks)
    notes = table.notes
    if lost:
        notes = (*notes, f"merging left out {lost} measured networks that cannot be built or priced here")
    return replace(table, networks=tuple(networks), notes=notes)


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
