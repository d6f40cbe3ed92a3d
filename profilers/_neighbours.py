"""The ops that stand around a measured one: which, and what they are counted as."""

from __future__ import annotations

from dataclasses import replace

from latency_tables import Op, Shape, sorted_attributes
from profilers._chain_ends import is_map
from profilers._operators import _make as ops
from profilers._operators import parts_of, primitive_of
from profilers._operators._convert import FLOAT, INT8, Convert, convert_op

PAIR, QUAD = 2, 4
"""Number of ops in a context."""
Place = tuple[Shape, str]
"""Shape and dtype of a tensor."""


def context_op(shape: Shape, blocks: int, dtype: str = FLOAT) -> Op:
    """Make the op that stands for the context of a measured op: `blocks` of the cheapest ops of a shape."""
    return Op("context", (shape,), shape, sorted_attributes({"blocks": blocks}), dtype)


def priced_as(op: Op) -> Op:
    """Return the op whose price an op has: both directions of a conversion have one."""
    return convert_op(op.output, INT8) if op.kind == Convert.kind else op


def is_chainable(op: Op) -> bool:
    """Return whether an op can follow itself."""
    return len(op.inputs) == 1 and keeps_shape(op) and op.kind != Convert.kind


def keeps_shape(op: Op) -> bool:
    """Return whether all inputs of an op have the shape of its output."""
    return bool(op.inputs) and all(shape == op.output for shape in op.inputs)


def contexts_of(shape: Shape, dtype: str, blocks: int, *, sides: int = 2) -> list[Op]:
    """Return what a context of some ops is counted as: one unknown; for int8 ops pairs, and the float32 ones around.

    Args:
        shape: Shape of the ops.
        dtype: Dtype of the ops.
        blocks: Their number, even.
        sides: On how many sides int8 ops have a float32 pair: 2 in a chain, 1 on one side of a bridge.
    """
    if dtype == INT8:
        return [*[context_op(shape, PAIR, INT8)] * (blocks // PAIR), *[context_op(shape, PAIR)] * sides]
    return [context_op(shape, blocks)]


def cheapest_neighbours(shape: Shape, chainable: list[Op], dtype: str) -> tuple[Op, Op, Op]:
    """Return the three ops of a shape with the fewest multiply-accumulates (fewer where there are no three)."""
    weighted = sorted((op for op in chainable if op_macs(op)), key=op_macs)
    plain = ops.conv(shape, shape[0], act="relu") if is_map(shape) else ops.linear(shape, shape[0], act="relu")
    cheapest = [op for op in weighted if is_closed(op)] or weighted or [replace(plain, dtype=dtype)]
    return cheapest[0], cheapest[min(1, len(cheapest) - 1)], cheapest[min(2, len(cheapest) - 1)]


def is_closed(op: Op) -> bool:
    """Return whether nothing that follows the op can be fused into it."""
    return op.kind != "conv" or op.word("act") != "none"


def op_macs(op: Op) -> int:
    """Count the multiply-accumulates of one op."""
    return sum(primitive_of(part).macs(part) for part in parts_of(op))
