"""Hand-overs between one core and all of them."""

import dataclasses

import numpy as np
import pytest

from hwnas.spaces import make_space
from latency_tables import (
    CORE_CROSSING,
    INPUT,
    SESSION,
    Entry,
    GraphBuilder,
    LatencyTable,
    count_core_crossings,
    crossing_op,
    dump_table,
    parse_table,
)
from profilers import ops

SHAPE = (8, 4, 4)
CONV, RELU, ADD = ops.conv(SHAPE, 8, 3), ops.activation(SHAPE, "relu"), ops.add(SHAPE)
SIDES = {CONV: False, RELU: True, ADD: True}


def chain(*kinds):
    builder, x = GraphBuilder(SHAPE), INPUT
    for i, op in enumerate(kinds):
        x = builder.add(f"n{i}", op, x)
    return builder.build(x)


def crossings(graph, sides=SIDES, shapes=(SHAPE,)):
    return count_core_crossings(graph, sides, shapes)[crossing_op(SHAPE)]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([CONV, CONV, CONV], 0),
        ([CONV, RELU, CONV], 2),
        ([CONV, RELU, RELU, CONV], 2),
        ([RELU, CONV], 1),
        ([CONV, RELU, CONV, RELU, CONV], 4),
    ],
)
def test_a_chain_crosses_over_where_the_side_changes(kinds, expected):
    assert crossings(chain(*kinds)) == expected


def test_two_inputs_that_cross_over_count_once():
    builder = GraphBuilder(SHAPE)
    a, b = builder.add("a", CONV, INPUT), builder.add("b", CONV, INPUT)
    assert crossings(builder.build(builder.add("sum", ADD, a, b))) == 1


def test_what_a_side_has_read_is_at_hand():
    builder = GraphBuilder(SHAPE)
    a = builder.add("a", CONV, INPUT)
    first, second = builder.add("first", RELU, a), builder.add("second", RELU, a)
    assert crossings(builder.build(first, second)) == 1
    third = builder.add("third", CONV, a)  # on the side that wrote it
    assert crossings(builder.build(first, second, third)) == 1


def test_only_shapes_with_a_price_and_known_ops_count():
    assert crossings(chain(CONV, RELU), shapes=()) == 0
    assert crossings(chain(CONV, RELU), sides={CONV: False}) == 0
    assert crossings(chain(CONV, RELU), sides={RELU: True}) == 0


def table():
    def row(op, ms, side=None):
        return Entry(op, "ok", ms, ms, ms, ms, ms, 20, "converged", on_one_core=side)

    move = crossing_op(SHAPE)
    rows = [row(SESSION, 0.002), row(CONV, 0.05, False), row(RELU, 0.01, True), row(move, 0.004)]
    return LatencyTable({"threads": 2}, {}, {}, {"name": "x", "settings": {}}, {entry.op: entry for entry in rows})


def test_a_table_prices_the_crossings_of_a_graph():
    priced = table()
    assert priced.unfitted_graph_ms(chain(CONV, RELU, CONV)) == pytest.approx(0.002 + 0.11 + 2 * 0.004)
    assert priced.unfitted_graph_ms(chain(CONV, RELU, RELU)) == pytest.approx(0.002 + 0.07 + 0.004)
    plain = dataclasses.replace(priced, entries={op: e for op, e in priced.entries.items() if op.kind != CORE_CROSSING})
    assert plain.unfitted_graph_ms(chain(CONV, RELU, CONV)) == pytest.approx(0.112)


def test_dead_branches_hand_nothing_over():
    builder = GraphBuilder(SHAPE)
    x = builder.add("a", CONV, INPUT)
    builder.add("dead", RELU, x)
    assert table().unfitted_graph_ms(builder.build(builder.add("b", CONV, x))) == pytest.approx(0.102)


def test_the_file_keeps_which_core_executes_an_op():
    priced = table()
    read = parse_table(dump_table(priced))
    assert read == priced
    assert [read.entries[op].on_one_core for op in (CONV, RELU, SESSION)] == [False, True, None]


@pytest.mark.parametrize("name", ["nasbench201", "mobilenetv3"])
def test_terms_hand_over_what_whole_networks_do(name):
    from profilers._division import Cores

    space = make_space(name, **({"image_size": 8, "cells": 1} if name == "nasbench201" else {"resolution": 8}))
    cores = Cores()
    for arch in space.sample(8, np.random.default_rng(0)):
        whole = space.graph(arch)
        shapes = {node.op.output for node in whole.nodes}
        parts = [graph for term in space.terms if (graph := space.term_graph(term, arch)) is not None]
        crossings_of_parts = sum(cores.core_crossings(part, shapes).total() for part in parts)
        assert crossings_of_parts == cores.core_crossings(whole, shapes).total()
