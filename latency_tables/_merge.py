"""Merges two tables of the same device and space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from latency_tables._entry import Entry
from latency_tables._errors import LatencyTableError
from latency_tables._measurement import SPLITS, NetworkMeasurement
from latency_tables._table import LatencyTable


def merge_tables(first: LatencyTable, second: LatencyTable) -> LatencyTable:
    """Return the union of two tables; where both hold a row or network, the better measured one is kept.

    Better is: has a price, more samples, a narrower interval; then any fixed order, so that merging is idempotent and
    does not depend on the order of the tables. A network that either table uses for its correction or its intervals
    serves the same purpose in the result. The cache curve, the settings and the environment are those of the later
    table.

    Raises:
        LatencyTableError: The tables are of different devices, runtimes, settings or spaces.
    """
    first.require_identity(second.identity)
    if dict(first.space) != dict(second.space):
        raise LatencyTableError(
            f"{_name(first)} and {_name(second)} are tables of different spaces; merge tables of one space"
        )
    leading, other = sorted((first, second), key=_order, reverse=True)
    entries = dict(leading.entries)
    for op, entry in other.entries.items():
        entries[op] = max(entry, entries.get(op, entry), key=_quality)
    networks = {n.arch: n for n in leading.networks}
    for network in other.networks:
        networks[network.arch] = _better_network(network, networks.get(network.arch, network))
    return replace(
        leading,
        entries=dict(sorted(entries.items(), key=lambda item: item[0].key)),
        networks=tuple(networks[arch] for arch in sorted(networks)),
        notes=tuple(sorted({*leading.notes, *other.notes})),
        source=None,
    )


def _quality(entry: Entry) -> tuple[Any, ...]:
    width = (entry.high_ms - entry.low_ms) / entry.q10_ms if entry.q10_ms else float("inf")
    return entry.priced, entry.samples, -width, repr(entry)


def _better_network(a: NetworkMeasurement, b: NetworkMeasurement) -> NetworkMeasurement:
    chosen = min(a, b, key=lambda n: (abs(n.measured_ms - n.repeat_ms) / n.measured_ms, repr(n)))
    return replace(chosen, split=min(a.split, b.split, key=SPLITS.index))


def _order(table: LatencyTable) -> tuple[str, ...]:
    """Return a sort key, larger for the later table, from facts that the merged table inherits.

    So merging again changes nothing.
    """
    return table.created, repr(table.cache), repr(dict(table.environment)), repr(dict(table.settings))


def _name(table: LatencyTable) -> str:
    return str(table.source) if table.source else "the table"
