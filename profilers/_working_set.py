"""What one inference touches: weights, the runtime's own data of each kernel, live activations."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache

from latency_tables import INPUT, GraphBuilder, Op, OpGraph
from profilers._costs import BYTES, peak_memory_bytes
from profilers._operators import parts_of, primitive_of


@lru_cache(maxsize=65536)
def op_weight_bytes(op: Op) -> int:
    """Bytes of all weights of an op, as trained."""
    sizes = (p.size for part in parts_of(op) for p in primitive_of(part).parameters(part).values() if p.trainable)
    return sum(sizes) * BYTES[op.dtype]


def op_kernels(op: Op) -> int:
    """Kernels that a runtime executes for an op: its primitive parts."""
    return len(parts_of(op))


@lru_cache(maxsize=65536)
def op_activation_bytes(op: Op) -> int:
    """Largest sum of live activations inside an op, of one sample; inputs and result included."""
    if len(op.inputs) == 1:
        builder = GraphBuilder(op.inputs[0])
        return peak_memory_bytes(builder.build(builder.add("op", op, INPUT)))
    return sum(math.prod(shape) for shape in (*op.inputs, op.output)) * BYTES[op.dtype]


def graph_weight_bytes(graph: OpGraph, tied: Collection[Op] = ()) -> int:
    """Bytes of all weights of a graph in which the nodes of each op of `tied` share theirs."""
    counts = graph.op_counts
    return sum(op_weight_bytes(op) * (1 if op in tied else count) for op, count in counts.items())


def graph_kernels(graph: OpGraph) -> int:
    """Kernels of a whole graph."""
    return sum(op_kernels(op) * count for op, count in graph.op_counts.items())


def graph_activation_bytes(graph: OpGraph) -> int:
    """The largest `op_activation_bytes` of a graph."""
    return max((op_activation_bytes(op) for op in graph.op_counts), default=0)
