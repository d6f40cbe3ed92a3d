"""A space may return any graph; whoever asks it for one gets what a runtime executes."""

import functools

import numpy as np
import pytest

from hwnas._costs._draw import rough_table
from hwnas._costs._soundness import require_sound
from hwnas._costs._space_costs import SpaceCosts
from hwnas.spaces import Choice, Space
from latency_tables import INPUT, GraphBuilder
from profilers import executed_graph, ops

SHAPE = (8, 4, 4)


def raw_graph(kernel):
    """A convolution, a sum and an activation that are one kernel; an identity and a dead branch."""
    builder = GraphBuilder(SHAPE)
    x = builder.add("conv", ops.conv(SHAPE, 8, kernel), INPUT)
    builder.add("dead", ops.pool(SHAPE, 3), x)
    x = builder.add("sum", ops.add(SHAPE), builder.add("same", ops.identity(SHAPE), x), INPUT)
    return builder.build(builder.add("relu", ops.activation(SHAPE, "relu"), x))


class Plain(Space):
    name = "plain"
    choices = (Choice("kernel", (1, 3, 5)),)

    def graph(self, arch):
        return raw_graph(arch.values[0])


class Cached(Plain):
    @functools.lru_cache  # noqa: B019
    def graph(self, arch):
        return raw_graph(arch.values[0])


class Static(Plain):
    @staticmethod
    def graph(arch):
        return raw_graph(arch.values[0])


class Mixin:
    def graph(self, arch):
        return raw_graph(arch.values[0])


class Mixed(Mixin, Plain):
    pass


class Wrapping(Plain):
    @functools.wraps(Plain.graph)
    def graph(self, arch):
        return raw_graph(arch.values[0])


class Deferring(Plain):
    def graph(self, arch):
        return super().graph(arch)


class OldFashioned(Plain):
    def graph(self, arch):
        return raw_graph(arch.values[0]).without_dead_code().fused()


@pytest.mark.parametrize("kind", [Plain, Cached, Static, Mixed, Wrapping, Deferring, OldFashioned])
def test_every_way_to_write_a_space_gives_executed_graphs(kind):
    space = kind()
    archs = [space.decode([code]) for code in range(3)]
    graphs = [space.graph(arch) for arch in archs]
    assert [len(graph.nodes) for graph in graphs] == [1, 1, 1]
    assert graphs == [executed_graph(raw_graph(kernel)) for kernel in (1, 3, 5)]
    assert [space.term_graph(space.terms[0], arch) for arch in archs] == graphs
    assert set(space.ops()) == {op for graph in graphs for op in graph.op_counts}
    require_sound(space)
    table = rough_table(space.ops())
    prices = [table.price(graph).value_ms for graph in graphs]
    np.testing.assert_allclose(SpaceCosts(space, table).latency_ms(np.arange(3)[:, None]), prices, rtol=1e-12)
