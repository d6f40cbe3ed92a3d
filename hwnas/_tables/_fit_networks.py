"""Measured networks as a fit sees them: which ops they hold, what those do, and what their texts say beyond that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.spaces import Architecture, Space
from latency_tables import Op
from profilers import part_work, parts_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Value = int | float | str
FIXED_PART = Op("fixed_part", (), (1,))
"""What every network of a space holds, whatever is chosen; a row of tables of networks that were run as written."""
_KIND_OF = {"activation": "elementwise", "add": "elementwise", "norm": "elementwise", "scale": "elementwise"}
_NOTHING = "nothing"
_QUANTITIES = 3
_PROBES = 200


@dataclass(frozen=True)
class Networks:
    """Networks by their graphs, and by the choices in their texts.

    Attributes:
        ops: All ops of the space and of the networks.
        counts: How often each op occurs in each network's graph, ``(n, p)``.
        work: Multiply-accumulates, bytes and kernels of each op by kind, ``(p, k, 3)``.
        choices: `FIXED_PART` and the op of each choice; empty where the choices of the space differ in kind.
        chosen: How often each of `choices` stands in each network's text, ``(n, 1 + v)``.
        choice_work: What each of `choices` does in networks without dead code, on average, ``(1 + v, k, 3)``.
        wasteful: Which texts name more than their graphs hold, ``(n,)``.
        classes: Number of each network, from 0; isomorphic ones with the same choices share it, ``(n,)``.
    """

    ops: tuple[Op, ...]
    counts: FloatArray
    work: FloatArray
    choices: tuple[Op, ...]
    chosen: FloatArray
    choice_work: FloatArray
    wasteful: npt.NDArray[np.bool_]
    classes: IntArray


def describe(space: Space, archs: Sequence[Architecture]) -> Networks:
    """Count what is in networks.

    Raises:
        SpaceError: One of them is disconnected.
    """
    codes = np.array([space.encode(arch) for arch in archs])
    canonical = space.canonical_codes(codes)
    unique, place = np.unique(canonical, axis=0, return_inverse=True)
    graphs = [space.op_counts(space.decode(row)) for row in unique]
    ops = tuple(sorted({*space.ops(), *(op for graph in graphs for op in graph)}, key=lambda op: op.key))
    kinds = [*sorted({_kind(part) for op in ops for part in parts_of(op)}), _NOTHING]
    work = np.array([_work(op, kinds) for op in ops])
    counts = np.array([[graph[op] for op in ops] for graph in graphs], dtype=np.float64)
    values = _common_values(space)
    chosen, named = _value_counts(codes, len(values)), _value_counts(canonical, len(values))
    _, classes = np.unique(np.hstack([canonical, np.sort(codes, axis=1)]), axis=0, return_inverse=True)
    return Networks(
        ops=ops,
        counts=counts[place.reshape(-1)],
        work=work,
        choices=(FIXED_PART, *map(choice_op, values)) if values else (),
        chosen=np.hstack([np.ones((len(codes), 1)), chosen]),
        choice_work=_choice_work(space, values, ops, work),
        wasteful=np.asarray((chosen != named).any(axis=1)),
        classes=np.asarray(classes, dtype=np.int64).reshape(-1),
    )


def choice_op(value: Value) -> Op:
    """Return the row of a table that prices one choice of a text, wherever it stands."""
    return Op("choice", (), (1,), (("value", value if isinstance(value, str) else f"v{value}"),))


def _common_values(space: Space) -> tuple[Value, ...]:
    """Return the values that all choices of a space share; none where choices differ (a width and a kernel, say)."""
    values = space.choices[0].values
    return values if all(choice.values == values for choice in space.choices) else ()


def _value_counts(codes: IntArray, values: int) -> FloatArray:
    """Return how often each value stands in codes ``(n, d)``: ``(n, v)``."""
    counts = (codes[:, :, None] == np.arange(values)).sum(axis=1)
    return np.asarray(counts, dtype=np.float64)


def _choice_work(space: Space, values: Sequence[Value], ops: Sequence[Op], work: FloatArray) -> FloatArray:
    """Work of `FIXED_PART` and of each value ``(1 + v, k, 3)``: a regression over random canonical networks.

    The value that brings the fewest kernels stands for nothing, and the others' work is what they do beyond it. It
    has a kind of its own: some runtimes multiply by zero there.
    """
    if not values:
        return np.zeros((0, *work.shape[1:]))
    archs = space.sample(_PROBES, np.random.default_rng(0))
    graphs = [space.graph(arch).op_counts for arch in archs]
    totals = np.array([[graph[op] for op in ops] for graph in graphs]) @ work.reshape(len(ops), -1)
    counts = _value_counts(np.array([space.encode(arch) for arch in archs]), len(values))
    slopes, *_ = np.linalg.lstsq(counts, totals, rcond=None)
    kernels = slopes.reshape(len(values), -1, _QUANTITIES)[:, :, -1].sum(axis=1)
    nothing = int(kernels.argmin())
    slopes = np.maximum(slopes - slopes[nothing], 0.0)
    fixed = np.maximum(totals.mean(axis=0) - counts.mean(axis=0) @ slopes, 0.0)
    quantities = np.vstack([fixed, slopes]).reshape(1 + len(values), -1, _QUANTITIES)
    quantities[1 + nothing, -1, -1] = 1.0
    return quantities


def _kind(op: Op) -> str:
    """Return primitive ops whose speed is limited by the same thing."""
    if op.kind == "conv":
        return (
            "depthwise"
            if op.integer("groups") > 1
            else "pointwise"
            if max(op.integers("kernel", len(op.output) - 1)) == 1
            else "conv"
        )
    return _KIND_OF.get(op.kind, op.kind)


def _work(op: Op, kinds: Sequence[str]) -> FloatArray:
    """Return multiply-accumulates (elements read, if there are none), bytes moved and kernels, by kind ``(k, 3)``."""
    work = np.zeros((len(kinds), _QUANTITIES))
    for part in parts_of(op):
        work[kinds.index(_kind(part))] += part_work(part)
    return work
