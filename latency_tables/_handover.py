"""What it costs that data cross over between one core and all of them.

With several threads, a runtime divides convolutions and poolings among its cores, and leaves small element-wise ops to
one. Each core keeps what it wrote in a cache of its own, and all wait for each other where they meet: an element-wise
op behind a convolution takes several times as long as behind another element-wise op. So a crossing is priced apart
from the op that it happens in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from latency_tables._graph import OpGraph
from latency_tables._op import Op, Shape

HANDOVER = "handover"
"""Kind of the rows that price crossings."""


def handover_op(shape: Shape) -> Op:
    """The row that prices one crossing of tensors of a shape."""
    return Op(HANDOVER, (shape,), shape)


def count_handovers(graph: OpGraph, on_one_core: Mapping[Op, bool], shapes: Collection[Shape]) -> Counter[Op]:
    """How often ops of a graph read what the other side wrote, by `handover_op`.

    An op counts once, however many inputs cross over to it, and not at all where an earlier op on its side has read
    them: then the data are there already. Nodes are taken in their order.

    Args:
        graph: fused, without dead code.
        on_one_core: of its ops, whether one core executes them alone; an op that is not named reads and writes nothing.
        shapes: of tensors whose crossings have prices; those of others are part of the ops' own.
    """
    at_hand: dict[str, set[bool]] = {}
    found: Counter[Op] = Counter()
    for node in graph.nodes:
        side = on_one_core.get(node.op)
        if side is None:
            continue
        crossing = [name for name in node.inputs if name in at_hand and side not in at_hand[name]]
        priced = [graph.shape_of(name) for name in crossing if graph.shape_of(name) in shapes]
        if priced:
            found[handover_op(priced[0])] += 1
        for name in crossing:
            at_hand[name].add(side)
        at_hand[node.name] = {side}
    return found
