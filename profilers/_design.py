"""Which graphs to measure so that every op's cost *inside a network* follows from differences between them.

An op measured alone pays for layout changes and a session of its own, which vanish inside a network. So no op is timed
alone: it stands three times in a chain of other ops of its shape, between an entry (a 1x1 convolution from the input,
which leaves the runtime's blocked layout) and a global pooling (whose result is too small for a layout change to
matter). An op that changes the shape stands once between pairs of ops of both shapes; each further input comes from an
entry of its own. The time of each graph is a sum of prices, and the graphs are chosen so that the linear system has one
solution.

Feature maps of one, two and three axes behind the channels are all treated so. For features ``(features,)`` the entry
is a linear layer, and no pooling follows. Where ops only write features and none reads them, as in a classifier's last
layer, nothing follows the op.

The ops around the measured one are the cheapest of the shape, all different: a chain of equal ops runs faster
than a network does. They are an unknown of their own (`context_op`), measured once for each shape.

Ops of networks of mixed precision are measured among ops of their own dtype. A chain of int8 ops begins and ends with a
conversion, between float32 ops of the shape: what leaves the runtime's float layout and comes back to it is in these.
A network goes over to int8 as often as it comes back, so one price serves both directions: half of the two. What they
differ by is in the rows of int8 ops that change the shape. Chains of two and of four int8 ops, the same two, tell the
conversions from the ops. An image's conversion is in the price of the int8 op that reads it.

Where the networks of a space are small enough for the fast caches, copies of an op with many weights share them: six
links of a heavy block, each with weights of its own, would overflow a cache that the networks fit into. What networks
pay beyond the caches is then measured apart (`CacheCurve`). Where every network overflows them, so may the chains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from latency_tables import INPUT, SESSION, GraphBuilder, Op, OpGraph, Shape
from profilers._chain_ends import add_end, entry_op, is_map, outer_shape
from profilers._division import Cores
from profilers._errors import OperatorError
from profilers._executed import CONVOLUTION_FUSION, Fusion, executed_graph
from profilers._neighbours import (
    PAIR,
    QUAD,
    Place,
    cheapest_neighbours,
    context_op,
    contexts_of,
    is_chainable,
    keeps_shape,
    priced_as,
)
from profilers._operators import _make as ops
from profilers._operators._convert import FLOAT, INT8, Convert, convert_op, read_dtype
from profilers._working_set import op_weights

_TINY: Shape = (8, 1, 1)
_CONTEXT = "context."
_TIED_WEIGHTS = 16 * 1024
"""Ops with more weights than this share them between their copies: more than a first-level cache holds."""
_EXTRA_COPIES, _MOST_EXTRA = 10, 4
"""Extra sessions of context ops on which all prices of a space depend; the most extra sessions of any shape."""
_THREADED_COPIES = 2
"""Additional extra sessions with several threads."""


def probe_name(op: Op) -> str:
    """Return the name of the probe that is made for one op."""
    return f"op:{op.key}"


@dataclass(frozen=True)
class Probe:
    """One graph to measure, and what its time is the sum of.

    Attributes:
        name: Unique in the design.
        graph: What is measured.
        counts: How often each op is in it, `SESSION` included.
        shared: Whether many prices depend on it; sampling then stops at half the noise.
        tied: Ops whose copies share their weights.
    """

    name: str
    graph: OpGraph
    counts: Counter[Op]
    shared: bool = False
    tied: frozenset[Op] = frozenset()


def design_probes(
    targets: Iterable[Op],
    input_channels: int = 3,
    *,
    tie: bool = False,
    avoid: Collection[Op] = (),
    cores: Cores | None = None,
    fusion: Fusion = CONVOLUTION_FUSION,
) -> list[Probe]:
    """Design graphs from whose times the price of every op of `targets` can be solved.

    Args:
        targets: The ops to price, as they stand in fused graphs.
        input_channels: Channels of what the networks read, which chains begin with; the number of features where the
            networks read features.
        tie: Whether copies of an op with many weights share them.
        avoid: Ops that the runtime cannot execute: no graph holds them.
        cores: How threads share the ops; then core crossings have prices, too.
        fusion: What the runtime fuses.

    Raises:
        OperatorError: An op has shapes for which no chain can be built.
    """
    wanted = sorted(set(targets), key=lambda op: op.key)
    return _Designer(wanted, input_channels, tie, frozenset(avoid), cores, fusion).run()


class _Designer:
    def __init__(
        self,
        targets: list[Op],
        input_channels: int,
        tie: bool,
        avoid: frozenset[Op],
        cores: Cores | None,
        fusion: Fusion,
    ) -> None:
        self.targets = targets
        self.inner = {op.output for op in targets if op.kind != Convert.kind}
        self.cores, self.fusion = cores, fusion
        self.features_read = {shape for op in targets for shape in op.inputs if len(shape) == 1}
        self.alone = [
            op for op in targets if cores is not None and keeps_shape(op) and is_map(op.output) and cores.on_one(op)
        ]
        self.crossing = frozenset(op.output for op in self.alone)
        self.avoid = avoid
        self.input_channels = input_channels
        self.tie = tie
        self.probes: list[Probe] = []
        self.neighbours: dict[Place, tuple[Op, Op, Op]] = {}
        self.chainable: dict[Place, list[Op]] = {}

    def run(self) -> list[Probe]:
        self._session()
        for op in self.targets:
            if is_chainable(op) and op not in self.avoid:
                self.chainable.setdefault((op.output, op.dtype), []).append(op)
        for op in self.targets:
            for shape in op.inputs:
                self._surround(shape, read_dtype(op))
            self._surround(op.output, op.dtype)
        for op in self.targets:
            if op.kind != Convert.kind and (op.kind != "global_pool" or op.dtype == INT8):
                (self._chain if keeps_shape(op) else self._bridge)(op)
        for op in self.alone:
            self._run(op)
        return self.probes

    def _surround(self, shape: Shape, dtype: str) -> None:
        """Choose the neighbours of ops of a shape and dtype, where they are measured between others; price these."""
        if not self._has_neighbours(shape) or (shape, dtype) in self.neighbours:
            return
        if dtype == INT8:
            self._surround(shape, FLOAT)
        self.neighbours[shape, dtype] = cheapest_neighbours(shape, self.chainable.get((shape, dtype), []), dtype)
        self._baseline(shape, dtype)

    def _has_neighbours(self, shape: Shape) -> bool:
        """Return whether ops of a shape are measured between others of it."""
        return (is_map(shape) or shape in self.features_read) and not self._is_outer(shape)

    def _is_outer(self, shape: Shape) -> bool:
        """Return whether tensors of a shape are inputs of networks: an inner one may have as many channels."""
        return shape[0] == self.input_channels and shape not in self.inner

    def _probe(self, name: str, graph: OpGraph, contexts: Iterable[Op] = (), shared: bool = False) -> None:
        fused = executed_graph(graph, self.fusion)
        if self.avoid & set(fused.op_counts):
            return
        counts = Counter(priced_as(node.op) for node in fused.nodes if not node.name.startswith(_CONTEXT))
        for op in [op for op in counts if op.kind == Convert.kind and self._is_outer(op.output)]:
            del counts[op]  # in the price of the op that reads it
        counts.update(contexts)
        counts[SESSION] += 1
        if self.cores is not None:
            counts.update(self.cores.core_crossings(fused, self.crossing))
        tied = frozenset(op for op in fused.op_counts if self.tie and op_weights(op) > _TIED_WEIGHTS)
        self.probes.append(Probe(name, fused, counts, shared, tied))

    def _session(self) -> None:
        """Add two chains of a trivial op: their intercept is the cost of a session, their slope that of a dispatch."""
        for length in (1, 9):
            builder, x = GraphBuilder(_TINY), INPUT
            for i in range(length):
                x = builder.add(f"tiny{i}", ops.activation(_TINY, "hsigmoid"), x)
            self._probe(f"session:{length}", builder.build(x), shared=True)

    def _baseline(self, shape: Shape, dtype: str) -> None:
        """Add four graphs for a shape: entry and pooling, a second pooling, two context ops, four context ops.

        Features are not pooled: for them the second graph is left out. int8 ops have the last two alone, of the same
        two ops, so their price is counted twice.
        """
        first, second, third = self.neighbours[shape, dtype]
        pair, label = (first, second), "x".join(map(str, shape))
        chains: list[tuple[str, Sequence[Op], int]]
        if dtype == INT8:
            label = f"int8 {label}"
            chains = [("pair", pair, 1), ("quad", pair * 2, 1)]
        else:
            chains = [("entry", (), 1), ("pool", (), 2), ("pair", pair, 1), ("quad", (*pair, third, first), 1)]
        for name, around, pools in chains:
            if pools > 1 and not is_map(shape):
                continue
            builder, x = self._start(shape, dtype, around)
            tails = [self._finish(builder, shape, dtype, x, f"pool{i}") for i in range(pools)]
            contexts = contexts_of(shape, dtype, len(around)) if around else []
            for copy in range(self._copies(shape) if around else 1):
                mark = f" #{copy + 1}" if copy else ""
                self._probe(f"{name}:{label}{mark}", builder.build(*tails), contexts, shared=True)

    def _copies(self, shape: Shape) -> int:
        """Return how often the context ops of a shape are measured, each time in a session of its own.

        Their error enters all prices of the shape with the same sign. Where a space has few shapes, it enters all
        networks. With several threads, sessions of one graph differ more.
        """
        resting = sum(shape in (*op.inputs, op.output) for op in self.targets)
        extra = round(_EXTRA_COPIES * resting / len(self.targets)) + (_THREADED_COPIES if self.cores else 0)
        return 1 + min(_MOST_EXTRA, extra)

    def _start(self, shape: Shape, dtype: str, around: Sequence[Op]) -> tuple[GraphBuilder, str]:
        """Begin a graph with the entry and context ops of `shape`."""
        builder = GraphBuilder(outer_shape(self.input_channels, shape))
        return builder, self._add_start(builder, shape, dtype, around)

    def _add_start(self, builder: GraphBuilder, shape: Shape, dtype: str, around: Sequence[Op]) -> str:
        """Append entry and context ops of `shape`, for int8 behind float32 ones; return the last tensor."""
        x = builder.add("entry", entry_op(self.input_channels, shape), INPUT)
        if dtype == INT8:
            for i, op in enumerate(self.neighbours[shape, FLOAT][:PAIR]):
                x = builder.add(f"{_CONTEXT}float_before{i}", op, x)
            x = builder.add("to_int8", convert_op(shape, INT8), x)
        for i, op in enumerate(around):
            x = builder.add(f"{_CONTEXT}before{i}", op, x)
        return x

    def _finish(self, builder: GraphBuilder, shape: Shape, dtype: str, x: str, name: str = "pool") -> str:
        """Append the end of a chain, for int8 behind float32 ops; return the last tensor."""
        if dtype == INT8:
            x = builder.add("to_float", convert_op(shape, FLOAT), x)
            for i, op in enumerate(self.neighbours[shape, FLOAT][:PAIR]):
                x = builder.add(f"{_CONTEXT}float_after{i}", op, x)
        return add_end(builder, shape, x, name)

    def _chain(self, op: Op) -> None:
        """Add a probe with an op that keeps its shape, three times, each followed by a context op.

        Further inputs of the op skip the context op.
        """
        first, second, third = self.neighbours[op.output, op.dtype]
        contexts = contexts_of(op.output, op.dtype, QUAD)
        if op.dtype == INT8:  # the same two twice
            third = first
            first, second = second, first
        builder, x = self._start(op.output, op.dtype, (first,))
        skipped = x
        for i, follower in enumerate((second, third, first)):
            y = builder.add(f"op{i}", op, x, *(skipped,) * (len(op.inputs) - 1))
            x, skipped = builder.add(f"{_CONTEXT}after{i}", follower, y), y
        graph = builder.build(self._finish(builder, op.output, op.dtype, x))
        self._probe(probe_name(op), graph, contexts)

    def _run(self, op: Op) -> None:
        """Add a probe with an op that one core executes, three times in a row: data cross to it and back only once."""
        first, second, third = self.neighbours[op.output, FLOAT]
        builder, x = self._start(op.output, FLOAT, (first,))
        skipped = x
        for i in range(3):
            x, skipped = builder.add(f"op{i}", op, x, *(skipped,) * (len(op.inputs) - 1)), x
        for i, follower in enumerate((second, third, first)):
            x = builder.add(f"{_CONTEXT}after{i}", follower, x)
        graph = builder.build(add_end(builder, op.output, x))
        self._probe(f"run:{op.key}", graph, [context_op(op.output, QUAD)], shared=True)

    def _bridge(self, op: Op) -> None:
        """Add a probe with an op that changes the shape, once, between context ops of both shapes.

        Each further input of the op has an entry of its own.
        """
        if not op.inputs:
            raise OperatorError(f"op {op.key}: no chain can be built around an op without inputs")
        source, *others = op.inputs
        contexts = []
        builder = GraphBuilder(self._outer_inputs(op))
        x = INPUT
        dtype = op.dtype
        if not self._is_outer(source):
            x = self._add_start(builder, source, dtype, self.neighbours[source, dtype][:PAIR])
            contexts += contexts_of(source, dtype, PAIR, sides=1)
        elif dtype == INT8:
            x = builder.add("to_int8", convert_op(source, INT8), x)
        sides = [self._side_input(builder, shape, dtype, number) for number, shape in enumerate(others, start=1)]
        y = builder.add("op", op, x, *sides)
        if (op.output, dtype) in self.neighbours:
            for i, follower in enumerate(self.neighbours[op.output, dtype][:PAIR]):
                y = builder.add(f"{_CONTEXT}after{i}", follower, y)
            contexts += contexts_of(op.output, dtype, PAIR, sides=1)
            y = self._finish(builder, op.output, dtype, y)
        self._probe(probe_name(op), builder.build(y), contexts)

    def _outer_inputs(self, op: Op) -> dict[str, Shape]:
        """Return the inputs of the graph around an op with inputs of several shapes: one for each input of the op."""
        shapes = (outer_shape(self.input_channels, shape) for shape in op.inputs)
        return {_input_name(number): shape for number, shape in enumerate(shapes)}

    def _side_input(self, builder: GraphBuilder, shape: Shape, dtype: str, number: int) -> str:
        """Return the tensor for a further input of an op: an entry from an input of the graph, or that input itself."""
        name = _input_name(number)
        if not self._is_outer(shape):
            name = builder.add(f"entry{number}", entry_op(self.input_channels, shape), name)
        return builder.add(f"to_int8_{number}", convert_op(shape, INT8), name) if dtype == INT8 else name


def _input_name(number: int) -> str:
    return f"{INPUT}_{number}" if number else INPUT
