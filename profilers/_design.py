"""Which graphs to measure so that every op's cost *inside a network* follows from differences between them.

An op measured alone pays for layout changes and a session of its own, which vanish inside a network. So no op is timed
alone: it stands in a chain between an entry (a 1x1 convolution from the image, which leaves the runtime's blocked
layout) and a global pooling (whose result is too small for a layout change to matter), beside two neighbours of its
own shape. The time of each graph is a sum of prices, and the graphs are chosen so that the linear system has one
solution.

The pair of neighbours is an unknown of its own (`context_op`), not twice the price of one neighbour: a second copy of
an op costs less than a sixth, whose weights no longer fit the caches, and that difference must not be booked on the op
that stands beside the pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from latency_tables import INPUT, SESSION, GraphBuilder, Op, OpGraph, Shape
from profilers._costs import graph_macs
from profilers._errors import OperatorError
from profilers._operators import _make as ops

CHAIN = 4
"""How often the measured op stands in its chain."""
_TINY: Shape = (8, 1, 1)
_NEIGHBOURS = ("before0", "before1", "after0", "after1")


def context_op(shape: Shape) -> Op:
    """Stands for the pair of neighbours of one shape in a chain."""
    return Op("context", (shape,), shape)


def probe_name(op: Op) -> str:
    """Name of the probe that is made for one op."""
    return f"op:{op.key}"


@dataclass(frozen=True)
class Probe:
    """One graph to measure, and what its time is the sum of.

    Attributes:
        name: unique in the design.
        graph: what is measured.
        counts: how often each op is in it, `SESSION` included.
        shared: whether many prices rest on it (it is then measured with more care).
    """

    name: str
    graph: OpGraph
    counts: Counter[Op]
    shared: bool = False


def design_probes(targets: Iterable[Op], image_channels: int = 3) -> list[Probe]:
    """Graphs from whose times the price of every op of `targets` can be solved.

    Args:
        targets: the ops to price, as they stand in fused graphs.
        image_channels: channels of the images, which chains begin with.

    Raises:
        OperatorError: an op has shapes for which no chain can be built.
    """
    wanted = sorted(set(targets), key=lambda op: op.key)
    return _Designer(wanted, image_channels).run()


class _Designer:
    def __init__(self, targets: list[Op], image_channels: int) -> None:
        self.targets = targets
        self.image_channels = image_channels
        self.probes: list[Probe] = []
        self.bases: dict[Shape, Op] = {}

    def run(self) -> list[Probe]:
        self._session()
        by_shape: dict[Shape, list[Op]] = {}
        for op in self.targets:
            if _is_chainable(op) and len(op.inputs) == 1:
                by_shape.setdefault(op.output, []).append(op)
        for op in self.targets:
            for shape in (op.inputs[0], op.output):
                if len(shape) == 3 and shape[0] != self.image_channels:
                    self._baseline(shape, by_shape.get(shape, []))
        for op in self.targets:
            if op in self.bases.values() or op.kind == "global_pool":
                continue
            self._probe(probe_name(op), self._chain(op) if _is_chainable(op) else self._bridge(op))
        return self.probes

    def _probe(self, name: str, graph: OpGraph, shared: bool = False) -> None:
        fused = graph.fused()
        counts = Counter(node.op for node in fused.nodes if node.name not in _NEIGHBOURS)
        counts.update(context_op(node.op.output) for node in fused.nodes if node.name in _NEIGHBOURS[1::2])
        counts[SESSION] += 1
        self.probes.append(Probe(name, fused, counts, shared))

    def _session(self) -> None:
        """Two chains of a trivial op: their intercept is the cost of a session, their slope that of a dispatch."""
        for length in (1, 9):
            builder, x = GraphBuilder(_TINY), INPUT
            for i in range(length):
                x = builder.add(f"tiny{i}", ops.activation(_TINY, "hsigmoid"), x)
            self._probe(f"session:{length}", builder.build(x), shared=True)

    def _baseline(self, shape: Shape, chainable: list[Op]) -> None:
        """Four graphs for a shape: entry and pooling, a second pooling, two neighbours, six neighbours."""
        if shape in self.bases:
            return
        weighted = sorted((op for op in chainable if _op_macs(op)), key=lambda op: (not _is_closed(op), _op_macs(op)))
        closed = [op for op in weighted if _is_closed(op)] or weighted
        base = closed[len(closed) // 2] if closed else ops.conv(shape, shape[0], act="relu")
        self.bases[shape] = base
        label = "x".join(map(str, shape))
        for name, neighbours, extra, pools in (
            ("entry", 0, 0, 1),
            ("pool", 0, 0, 2),
            ("base", 2, 0, 1),
            ("long", 2, CHAIN, 1),
        ):
            builder, x = self._start(shape, neighbours)
            for i in range(extra):
                x = builder.add(f"more{i}", base, x)
            tails = [builder.add(f"pool{i}", ops.global_pool(shape), x) for i in range(pools)]
            self._probe(f"{name}:{label}", builder.build(*tails), shared=True)

    def _start(self, shape: Shape, neighbours: int = 2) -> tuple[GraphBuilder, str]:
        """Entry and neighbours of `shape`."""
        builder = GraphBuilder((self.image_channels, shape[1], shape[2]))
        x = builder.add("entry", ops.conv(builder.input_shape, shape[0]), INPUT)
        for i in range(neighbours):
            x = builder.add(f"before{i}", self.bases[shape], x)
        return builder, x

    def _chain(self, op: Op) -> OpGraph:
        """An op that keeps its shape, several times in a row; a second input is the tensor one step further back."""
        builder, x = self._start(op.output)
        previous = "before0"
        for i in range(CHAIN):
            operands = (x,) if len(op.inputs) == 1 else (x, previous)
            previous, x = x, builder.add(f"op{i}", op, *operands)
        return builder.build(builder.add("pool", ops.global_pool(op.output), x))

    def _bridge(self, op: Op) -> OpGraph:
        """An op that changes the shape, once, between neighbours of both shapes."""
        source = op.inputs[0]
        if len(op.inputs) != 1 or len(source) != 3:
            raise OperatorError(f"op {op.key}: no chain can be built around it; use it inside a composite op")
        if source[0] == self.image_channels:
            builder, x = GraphBuilder(source), INPUT
        else:
            builder, x = self._start(source, neighbours=2 if len(op.output) == 1 else 0)
        y = builder.add("op", op, x)
        if len(op.output) == 1:
            return builder.build(y)
        for i in range(2):
            y = builder.add(f"after{i}", self.bases[op.output], y)
        return builder.build(builder.add("pool", ops.global_pool(op.output), y))


def _is_chainable(op: Op) -> bool:
    return all(shape == op.output for shape in op.inputs) and len(op.output) == 3


def _is_closed(op: Op) -> bool:
    """Whether nothing that follows the op can be fused into it."""
    return op.kind != "conv" or op.word("act") != "none"


def _op_macs(op: Op) -> int:
    builder = GraphBuilder(op.inputs[0])
    return graph_macs(builder.build(builder.add("op", op, INPUT)))
