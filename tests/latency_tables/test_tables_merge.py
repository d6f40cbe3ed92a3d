"""Merging is idempotent, does not depend on the order, and refuses what does not belong together."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_tables import (
    SESSION,
    Entry,
    IdentityMismatchError,
    LatencyTable,
    LatencyTableError,
    NetworkMeasurement,
    dump_table,
    merge_tables,
)
from latency_tables._measurement import SPLITS
from profilers import ops

OPS = [SESSION, *(ops.conv((8, 4, 4), 8, kernel) for kernel in (1, 3, 5, 7))]


@st.composite
def tables(draw):
    entries = {}
    for op in draw(st.lists(st.sampled_from(OPS), unique=True, min_size=1)):
        ms = draw(st.sampled_from([0.0, 0.1, 0.2, 0.3]))
        status = draw(st.sampled_from(["ok", "unstable", "unsupported"]))
        entries[op] = Entry(op, status, ms, ms, ms, 0.9 * ms, 1.1 * ms, draw(st.integers(1, 3)), "cap")
    networks = [
        NetworkMeasurement(arch, draw(st.sampled_from(SPLITS)), 1.0, draw(st.sampled_from([1.0, 1.1])), 1.0)
        for arch in draw(st.lists(st.sampled_from("abcd"), unique=True))
    ]
    return LatencyTable(
        identity={"device": "cpu", "threads": 1},
        environment={},
        settings={},
        space={"name": "mobilenetv3"},
        entries=entries,
        networks=tuple(networks),
        notes=tuple(draw(st.lists(st.sampled_from(["x", "y"]), unique=True))),
        created=draw(st.sampled_from(["2026-01-01", "2026-02-02"])),
    )


@settings(max_examples=200, deadline=None)
@given(tables(), tables(), tables())
def test_merging_is_idempotent_commutative_and_associative(a, b, c):
    merged = merge_tables(a, b)
    assert dump_table(merge_tables(b, a)) == dump_table(merged)
    assert dump_table(merge_tables(merged, merged)) == dump_table(merged)
    assert dump_table(merge_tables(merged, a)) == dump_table(merged)
    assert set(merge_tables(merged, c).entries) == set(merge_tables(a, merge_tables(b, c)).entries)
    for op, entry in merge_tables(merged, c).entries.items():
        assert entry == merge_tables(a, merge_tables(b, c)).entries[op]


@settings(max_examples=100, deadline=None)
@given(tables(), tables())
def test_nothing_is_lost_and_the_better_row_wins(a, b):
    merged = merge_tables(a, b)
    assert set(merged.entries) == {*a.entries, *b.entries}
    for op, entry in merged.entries.items():
        candidates = [t.entries[op] for t in (a, b) if op in t.entries]
        assert entry in candidates
        assert entry.priced == any(one.priced for one in candidates)
        assert entry.samples == max(one.samples for one in candidates if one.priced == entry.priced)
    for network in merged.networks:
        seen = [n for t in (a, b) for n in t.networks if n.arch == network.arch]
        assert SPLITS.index(network.split) == min(SPLITS.index(n.split) for n in seen)


def table(**changes):
    entry = Entry(SESSION, "ok", 0.1, 0.1, 0.1, 0.1, 0.1, 3, "cap")
    plain = LatencyTable({"device": "cpu", "threads": 1}, {}, {}, {"name": "a"}, {SESSION: entry})
    return dataclasses.replace(plain, **changes)


def test_tables_of_other_devices_and_spaces_are_refused():
    with pytest.raises(IdentityMismatchError, match="measured with threads 1, but threads is 2 here"):
        merge_tables(table(), table(identity={"device": "cpu", "threads": 2}))
    with pytest.raises(LatencyTableError, match="tables of different spaces"):
        merge_tables(table(), table(space={"name": "b"}))
