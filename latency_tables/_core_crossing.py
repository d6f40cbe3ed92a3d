"""The cost of data that cross between one core and all cores.

With several threads, a runtime divides convolutions and poolings among its cores, and runs small element-wise ops on
one core. Each core keeps what it wrote in its own cache, and cores wait for each other when they synchronise: an
element-wise op takes several times as long after a convolution as after another element-wise op. So a table prices a
crossing separately from the op that it happens in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag

from latency_tables._graph import OpGraph
from latency_tables._op import Op, Shape

CORE_CROSSING = "handover"
"""Kind of the rows that price core crossings; table files hold this word, so it does not change."""


class Holders(IntFlag):
    """Which side has a tensor in its caches: all cores together, one core alone, both or neither.

    `NOBODY` holds a network's input and the results of ops whose side is unknown: reading these costs no crossing.
    """

    NOBODY = 0
    ALL_CORES = 1
    ONE_CORE = 2
    BOTH = 3


@dataclass(frozen=True)
class Crossings:
    """The core crossings inside a part of a network.

    Attributes:
        counts: Number of crossings that cost time, by `crossing_op`.
        output: Which side holds the part's (first) result at its end.
        outputs: The same for each of its results.
    """

    counts: Counter[Op]
    output: Holders
    outputs: tuple[Holders, ...] = ()


def crossing_op(shape: Shape) -> Op:
    """Return the row that prices one crossing of tensors of a shape."""
    return Op(CORE_CROSSING, (shape,), shape)


def count_core_crossings(graph: OpGraph, on_one_core: Mapping[Op, bool], shapes: Collection[Shape]) -> Counter[Op]:
    """Count how often ops of a whole network read what the other side wrote, by `crossing_op`.

    Args:
        graph: The network as it is executed.
        on_one_core: Whether one core executes an op alone, by op; ops without an entry take part in no crossing.
        shapes: Shapes of the tensors whose crossings have prices; the prices of ops include the crossings of others.
    """
    return trace_core_crossings(graph, on_one_core, shapes).counts


def trace_core_crossings(
    graph: OpGraph,
    on_one_core: Mapping[Op, bool],
    shapes: Collection[Shape],
    held_by: Holders | Sequence[Holders] = Holders.NOBODY,
) -> Crossings:
    """Count the crossings in one part of a network, given which side holds the part's inputs.

    An op pays once, however many of its inputs cross to it, and nothing where an earlier op on its side has read them:
    then that side has the data. Nodes are taken in their order.

    The parts of a chain share one tensor (or a few) with the next part. So what a part pays depends on the parts before
    it through `Holders` of these alone, and following the holders from part to part counts exactly what the whole
    network pays.

    Args:
        graph: The part as it is executed.
        on_one_core: As for `count_core_crossings`.
        shapes: As for `count_core_crossings`.
        held_by: Which side holds the part's input; one for each, where it has several.
    """
    held = (held_by,) if isinstance(held_by, Holders) else tuple(held_by)
    holders: dict[str, Holders] = dict(zip(graph.input_names, held, strict=False))
    counts: Counter[Op] = Counter()
    for node in graph.nodes:
        alone = on_one_core.get(node.op)
        if alone is None:
            continue
        side = Holders.ONE_CORE if alone else Holders.ALL_CORES
        crossing = [name for name in node.inputs if holders.get(name) and side not in holders[name]]
        priced = [graph.shape_of(name) for name in crossing if graph.shape_of(name) in shapes]
        if priced:
            counts[crossing_op(priced[0])] += 1
        for name in crossing:
            holders[name] |= side
        holders[node.name] = side
    outputs = tuple(holders.get(name, Holders.NOBODY) for name in graph.outputs)
    return Crossings(counts, outputs[0], outputs)
