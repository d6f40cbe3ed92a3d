"""One network has one price: for a search, for `predict`, in the parts that a report shows."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from derived_models import dense_block
from made_tables import made_table

import latency_tables
from hwnas._costs._soundness import trial_table
from hwnas._costs._space_costs import CROSSINGS, SpaceCosts
from hwnas._report._time import CORE_CROSSINGS, time_spent
from hwnas.spaces import Architecture, Choice, DerivedSpace, Space, Term, make_space
from latency_tables import (
    CORE_CROSSING,
    INPUT,
    SESSION,
    Entry,
    GraphBuilder,
    OpGraph,
    Pricing,
    crossing_op,
    load_table,
)
from profilers import ops

SHIPPED = Path(latency_tables.__file__).parent / "data"
MADE = {
    "mobilenetv3": {"resolution": [8, 16], "width": [0.5, 1.0]},
    "nasbench201": {"image_size": 8, "cells": 2},
}


def require_one_price(space, table, count=80):
    archs = space.sample(count, np.random.default_rng(1))
    codes = np.array([space.encode(arch) for arch in archs])
    whole = np.array([table.price(space.graph(arch)).value_ms for arch in archs])
    searched = SpaceCosts(space, table).latency_ms(codes)
    one_by_one = SpaceCosts(space, table)
    alone = [float(one_by_one.latency_ms(row[None])[0]) for row in codes]
    networks = [{"id": str(i), "arch": space.format(arch)} for i, arch in enumerate(archs)]
    spent = time_spent(space, table, networks)
    np.testing.assert_allclose(searched, whole, rtol=1e-9)
    np.testing.assert_allclose(alone, whole, rtol=1e-9)
    np.testing.assert_allclose([sum(part.parts.values()) for part in spent], whole, rtol=1e-9)
    return spent


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_tables(path):
    table = load_table(path)
    space = make_space(table.space["name"], **table.space["settings"])
    spent = require_one_price(space, table)
    crosses = any(op.kind == CORE_CROSSING for op in table.entries)
    assert any(CORE_CROSSINGS in network.parts for network in spent) == crosses


@pytest.mark.parametrize("sides", [None, "random"])
@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("seed", [0, 1])
def test_tables_with_crossings_between_all_parts(name, sides, seed):
    space = make_space(name, **MADE[name])
    spent = require_one_price(space, made_table(space, sides, seed))
    share = np.mean([CORE_CROSSINGS in network.parts for network in spent])
    assert share == 0 if sides is None else share > 0.8


def test_crossings_happen_at_the_boundaries_of_terms():
    space = make_space("mobilenetv3", **MADE["mobilenetv3"])
    table = made_table(space, "random")
    arch = space.sample(1, np.random.default_rng(0))[0]
    parts = [graph for term in space.terms if (graph := space.term_graph(term, arch)) is not None]
    inside = sum(table.pricing.crossings_ms(graph)[0] for graph in parts)
    assert table.pricing.breakdown(parts).core_crossings_ms > inside + 0.01


class Relay(Space):
    """Parts that hand their input through, read it twice, or are absent; sides change everywhere."""

    name = "relay"
    choices = tuple(Choice(f"part{i}", ("conv", "relu", "both", "through", "absent")) for i in range(6))
    shape = (8, 4, 4)

    @property
    def terms(self):
        return tuple(Term(f"part{i}", (i,)) for i in range(6))

    def term_graph(self, term: Term, arch: Architecture) -> OpGraph | None:
        word = arch.values[term.choices[0]]
        if word == "absent":
            return None
        builder, x, i = GraphBuilder(self.shape), INPUT, term.choices[0]
        if word in ("conv", "both"):
            x = builder.add(f"conv{i}", ops.conv(self.shape, 8, 3, act="relu"), INPUT)
        if word in ("relu", "both"):
            y = builder.add(f"scale{i}", ops.activation(self.shape, "hsigmoid"), INPUT)
            x = builder.add(f"sum{i}", ops.add(self.shape), x, y) if word == "both" else y
        return builder.build(x)

    def graph(self, arch: Architecture) -> OpGraph:
        builder, x = GraphBuilder(self.shape), INPUT
        for term in self.terms:
            part = self.term_graph(term, arch)
            x = x if part is None else builder.splice(part, at=x)
        return builder.build(x)


def test_absent_parts_and_parts_that_hand_their_input_through():
    space = Relay()
    table = made_table(space, "random", seed=4)
    sides = {"conv": False, "activation": True, "add": True}
    entries = {op: dataclasses.replace(e, on_one_core=sides.get(op.kind)) for op, e in table.entries.items()}
    entries[crossing_op(space.shape)] = Entry(crossing_op(space.shape), "ok", 1.0, 1.0, 1.0, 1.0, 1.0, 20, "cap")
    table = dataclasses.replace(table, entries=entries, networks=(), cache=None)
    require_one_price(space, table, 200)
    arch = Architecture(("conv", "through", "absent", "relu", "conv", "absent"))
    crossings = table.pricing.breakdown([space.graph(arch)]).core_crossings_ms
    assert math.isclose(crossings, 2.0)  # conv to relu, past what is absent, and back


def test_a_breakdown_adds_up_to_the_price():
    space = make_space("nasbench201", **MADE["nasbench201"])
    table = made_table(space, "random")
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    found = table.pricing.breakdown([graph])
    assert found.total_ms == pytest.approx(table.price(graph).value_ms, rel=1e-12)
    assert len(found.ops_ms[0]) == len(graph.nodes)
    assert min(found.session_ms, found.core_crossings_ms, found.cache_ms) > 0
    factor = table.price(graph).value_ms / table.unfitted_graph_ms(graph)
    assert found.session_ms == pytest.approx(table.op_ms(SESSION) * factor)
    assert found.ops_ms[0][3] == pytest.approx(table.op_ms(graph.nodes[3].op) * factor)


def test_only_the_states_that_occur_are_worked_out_unless_all_are_asked_for(monkeypatch):
    space = DerivedSpace(dense_block(layers=6))
    costs = SpaceCosts(space, trial_table(space))
    assert max(term.tensors for term in space.terms) >= 6  # thousands of states each
    calls = []
    price = Pricing.crossings_ms
    monkeypatch.setattr(Pricing, "crossings_ms", lambda *given: calls.append(given) or price(*given))
    rows = np.array([space.encode(arch) for arch in space.sample(8, np.random.default_rng(0))])
    one_by_one = [float(costs.latency_ms(row)[0]) for row in rows]
    assert 0 < len(calls) <= len(rows) * len(space.terms)
    assert SpaceCosts(space, costs.table).latency_ms(rows) == pytest.approx(one_by_one)
    calls.clear()
    assert costs.latency_ms(rows) == pytest.approx(one_by_one)
    assert calls == []

    space = DerivedSpace(dense_block(layers=2))
    costs = SpaceCosts(space, trial_table(space))
    rows = np.array([space.encode(arch) for arch in space.sample(4, np.random.default_rng(0))])
    before = costs.latency_ms(rows)
    for part in costs.complete(costs.quantities("latency_ms"), lambda term: rows):
        places = rows[:, list(part.term.choices)] @ np.array(part.radices)
        assert not np.isnan(part.values[CROSSINGS].reshape(-1, part.states)[places]).any()
    assert costs.latency_ms(rows) == pytest.approx(before)
