"""On a device that rounds channels up to 16, a loss with the table's latency beats one with MACs."""

import math

import numpy as np
import torch

from hwnas._costs._space_costs import SpaceCosts
from hwnas.oneshot import ExpectedCost, Solver, make_method
from hwnas.spaces import ChoiceGraph, ChoiceGraphSpace
from latency_tables import SESSION, Entry, LatencyTable
from profilers import ops

WIDTHS = tuple(range(8, 68, 4))
STEP = 16
EPOCHS, STEPS = 30, 10


class Widths(ChoiceGraphSpace):
    """Three convolutions, each of 15 widths."""

    name = "widths"

    def state(self):
        graph = ChoiceGraph()
        x = graph.read(16, 8, 8)
        for number in range(3):
            width = graph.choice(f"width{number}", WIDTHS)
            x = graph.add(f"conv{number}", ops.conv, x, channels=width, kernel=3, act="relu")
        pool = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, pool, features=16))


SPACE = Widths()


def staircase():
    """Prices in proportion to channels in and out, both rounded up."""

    def entry(op):
        ms = 1e-3
        if op.kind == "conv":
            ms += 1e-4 * math.prod(-(-shape[0] // STEP) * STEP for shape in (op.inputs[0], op.output)) / 64
        return Entry(op, "ok", ms, ms, ms, ms, ms, 20, "converged")

    return LatencyTable(
        {"device": "stairs"}, {}, {}, {"name": SPACE.name}, {op: entry(op) for op in (SESSION, *SPACE.ops())}
    )


TABLE = staircase()
COSTS = SpaceCosts(SPACE, TABLE)
BADNESS = torch.tensor([3.0 - 0.6 * math.log(width / WIDTHS[0]) for width in WIDTHS], dtype=torch.float64)
"""Wider layers are better, each doubling by the same."""


def loss(drawn):
    return torch.stack([(BADNESS * vector).sum() for vector in drawn]).mean()


def loss_of(arch):
    return float(np.mean([BADNESS[WIDTHS.index(width)] for width in arch.values]))


def learned(cost, budget):
    """The distribution that dmasking learns from the known loss and an expected cost."""
    method = make_method("dmasking", SPACE, epochs=EPOCHS)
    method.expect_steps(EPOCHS * STEPS)
    for epoch in range(EPOCHS):
        rng = np.random.default_rng([0, epoch])
        method.begin_epoch(epoch, rng)
        for step in range(STEPS):
            drawn = method.draw(rng)
            if method.learns(epoch):
                share = cost(method.priced()) / budget
                method.step(loss(drawn), share, (epoch + step / STEPS) / EPOCHS)
    return method.distribution()


def test_the_latency_loss_beats_the_macs_loss_on_a_staircase():
    """At the latency of each network that the MACs loss leads to, the latency loss leads to one that is better."""
    latency, macs = ExpectedCost(SPACE, TABLE, costs=COSTS), ExpectedCost(SPACE, TABLE, "macs", costs=COSTS)
    solver, gains = Solver(COSTS), []
    middle = np.array([[len(WIDTHS) // 2] * 3])
    typical = float(COSTS.cost("macs")(middle)[0])
    for share in (0.4, 0.7, 1.0):
        budget = share * typical
        by_macs = solver.solve(learned(macs, budget), {"macs": budget}).architecture
        ms = float(COSTS.latency_ms(SPACE.encode(by_macs))[0])
        by_latency = solver.solve(learned(latency, ms), {"latency": ms * (1 + 1e-9)}).architecture
        gains.append(loss_of(by_macs) - loss_of(by_latency))
        assert all(width % STEP == 0 for width in by_latency.values)
    assert min(gains) > 0
    assert np.mean(gains) > 0.05
