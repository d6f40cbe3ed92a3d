"""What a node of a choice graph can be, with alternatives of one kind in one: widths as masks, kernels as sums.

The alternatives of a node that differ only in the channels of their tensors and in the kernels and dilations of their
convolutions are one `Variant`: a graph of primitive ops of the largest extents, with a pattern for each extent.
Alternatives of another kind (another op, more nodes, another stride) are variants of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from hwnas.oneshot._patterns import Pattern
from hwnas.spaces import Segments
from hwnas.training._trim import trimmed
from latency_tables import INPUT, Node, Op, OpGraph, sorted_attributes
from profilers import expand

BoolArray = npt.NDArray[np.bool_]
Codes = tuple[int, ...]
SegmentsOf = Callable[[Codes], Segments]
"""The parts of shared weights that the network of some codes of a node's columns uses."""
_MASKABLE = {"linear", "scale", "mul", "add", "activation", "norm", "pool", "global_pool", "upsample", "identity"}
_SELECTING = {"concat", "slice"}
"""Ops that only pick channels: masks fit them where the weights behind them keep each channel's place."""


@dataclass(frozen=True)
class Taps:
    """The kernel of a convolution as a sum of kernels that share one weight.

    Attributes:
        dilations: The dilations, each with the largest kernel that it has and the pattern of the taps in use.
    """

    dilations: tuple[tuple[tuple[int, ...], tuple[int, ...], Pattern], ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """How many elements the widest of them spans along each axis."""
        spans = [
            tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
            for dilation, kernel, _ in self.dilations
        ]
        return tuple(map(max, zip(*spans, strict=True)))


@dataclass(frozen=True)
class Step:
    """One primitive op of a variant.

    Attributes:
        node: The op of the largest extents, with its inputs.
        channels: Which output channels are there; None where the op keeps those of its input, or has all always.
        taps: The kernel; None where it is always the same.
    """

    node: Node
    channels: Pattern | None
    taps: Taps | None


@dataclass(frozen=True)
class Variant:
    """One kind of thing that a node can be.

    Attributes:
        allowed: By column the codes under which it is this; columns whose codes make no difference are left out.
        inputs: The tensors that it reads; the one that it passes on, where there are no steps; none for nothing.
        names: What the steps call the inputs.
        channels: How many channels the steps read of each: those of the largest of its codes.
        certain: Whether all its codes read exactly these channels of each, so that no mask is needed.
        steps: What it computes, in topological order.
        output: Name of the last step's tensor.
    """

    allowed: Mapping[int, Codes]
    inputs: tuple[str, ...]
    names: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    certain: tuple[bool, ...] = ()
    steps: tuple[Step, ...] = ()
    output: str = ""


@dataclass(frozen=True)
class Alternative:
    """What a node is for some codes of its columns: an op under a name, a tensor passed on (no op), or nothing."""

    name: str
    op: Op | None
    inputs: tuple[str, ...]


def variants_of(
    columns: Sequence[int], alternatives: Mapping[Codes, Alternative], segments: SegmentsOf, *, packed: bool
) -> tuple[Variant, ...]:
    """Return the kinds of things that a node can be.

    Args:
        columns: The choices that decide, ascending.
        alternatives: What the node is, for the codes of these.
        segments: Gives the parts of shared weights for the same codes.
        packed: Whether every network uses the leading part of each weight, so that channels behind a concatenation of
            narrower tensors move.
    """
    groups: dict[object, list[Codes]] = {}
    for codes, alternative in alternatives.items():
        groups.setdefault(_kind(alternative, packed), []).append(codes)
    variants = []
    for group in groups.values():
        for part in _products(group):
            allowed = [tuple(sorted({codes[axis] for codes in part})) for axis in range(len(columns))]
            variants.append(_variant(columns, allowed, alternatives, segments, packed))
    return tuple(variants)


def _kind(alternative: Alternative, packed: bool) -> object:
    """Return what two alternatives have in common that are computed as one."""
    if alternative.op is None:
        return (alternative.inputs,)
    nodes = _expanded(alternative.op, alternative.name).nodes
    steps = tuple((node.name, node.inputs, _look(node.op, packed)) for node in nodes)
    return (alternative.inputs, steps)


@lru_cache(maxsize=65536)
def _look(op: Op, packed: bool) -> object:
    """Return everything of an op but the extents that masks and sums of kernels stand for."""
    attributes = dict(op.attributes)
    if op.kind == "conv":
        attributes["groups"] = "each" if is_depthwise(op) else attributes["groups"]
        if "pads" not in attributes:
            attributes["kernel"] = attributes["dilation"] = "summed"
    masked = _has_masks(op, packed)
    if op.kind == "slice" and masked:
        attributes["channels"] = attributes["start"] = "masked"
    axes = tuple(shape[1:] if masked else shape for shape in (*op.inputs, op.output))
    return (op.kind, axes, tuple(sorted(attributes.items(), key=lambda item: item[0])))


def _has_masks(op: Op, packed: bool) -> bool:
    """Return whether masks can stand for narrower tensors; an op that moves channels has other results for each width.

    Such are shifts and shuffles of a share of the channels, convolutions in groups, and concatenations whose parts move
    together.
    """
    if op.kind == "conv":
        return op.integer("groups") == 1 or is_depthwise(op)
    return op.kind in _MASKABLE or (op.kind in _SELECTING and not packed)


@lru_cache(maxsize=65536)
def _expanded(op: Op, name: str) -> OpGraph:
    """Return the primitive ops of an op; one of several inputs is a primitive itself, and each input has its name."""
    if len(op.inputs) == 1:
        return trimmed(expand(OpGraph.single(op, name)))
    names = tuple(f"{INPUT}_{place}" for place in range(len(op.inputs)))
    return OpGraph(op.inputs[0], (Node(name, op, names),), (name,), tuple(zip(names, op.inputs, strict=True)))


def is_depthwise(op: Op) -> bool:
    """Return whether a convolution computes each channel from itself alone."""
    return op.kind == "conv" and op.integer("groups") == op.inputs[0][0] == op.output[0] and op.output[0] > 1


def _products(group: Sequence[Codes]) -> list[list[Codes]]:
    """Divide combinations of codes into sets of all combinations of some codes of each column."""
    width = len(group[0])
    sets = [sorted({codes[axis] for codes in group}) for axis in range(width)]
    if math.prod(map(len, sets)) == len(group):
        return [list(group)]
    axis = next(axis for axis in range(width) if len(sets[axis]) > 1)
    parts = [[codes for codes in group if codes[axis] == code] for code in sets[axis]]
    return [own for part in parts for own in _products(part)]


def _variant(
    columns: Sequence[int],
    allowed: Sequence[Codes],
    alternatives: Mapping[Codes, Alternative],
    segments: SegmentsOf,
    packed: bool,
) -> Variant:
    combinations = list(product(*allowed))
    first = alternatives[combinations[0]]
    by_column = dict(zip(columns, allowed, strict=True))
    if first.op is None:
        return Variant(by_column, first.inputs)
    graphs = []
    for codes in combinations:
        alternative = alternatives[codes]
        assert alternative.op is not None
        graphs.append(_expanded(alternative.op, alternative.name))
    pieces = [segments(codes) for codes in combinations]
    counts = tuple(map(len, allowed))
    steps = []
    for place, node in enumerate(graphs[0].nodes):
        ops = [graph.nodes[place].op for graph in graphs]
        largest = _largest(ops)
        there = _channels(node.name, ops, largest, pieces)
        channels = None if there is None else Pattern.of(columns, allowed, there.reshape(*counts, -1))
        taps = _taps(ops, columns, allowed)
        channels = None if channels is None or channels.constant else channels
        steps.append(Step(replace(node, op=_summed(largest, taps)), channels, taps))
    names = graphs[0].input_names
    counts_read = [{graph.shape_of(name)[0] for graph in graphs} for name in names]
    read, certain = tuple(map(max, counts_read)), tuple(packed and len(own) == 1 for own in counts_read)
    return Variant(by_column, first.inputs, names, read, certain, tuple(steps), graphs[0].outputs[0])


def _largest(ops: Sequence[Op]) -> Op:
    """Return an op of the largest extents of some."""
    first = ops[0]
    if len(set(ops)) == 1:
        return first
    shapes = [tuple(map(max, zip(*own, strict=True))) for own in zip(*(op.inputs for op in ops), strict=True)]
    output = tuple(map(max, zip(*(op.output for op in ops), strict=True)))
    values = dict(first.attributes)
    if is_depthwise(first):
        values["groups"] = output[0]
    if first.kind == "slice":
        values |= {name: max(op.integer(name) for op in ops) for name in ("channels", "start")}
    return replace(first, inputs=tuple(shapes), output=output, attributes=sorted_attributes(values))


def _summed(op: Op, taps: Taps | None) -> Op:
    """Return a convolution with a kernel that holds all kernels and dilations that it sums up."""
    if taps is None:
        return op
    if len(taps.dilations) == 1:
        return op.with_attributes(kernel=taps.dilations[0][1])
    kept = {name: value for name, value in op.attributes if name != "dilation"}
    return replace(op, attributes=sorted_attributes({**kept, "kernel": taps.reach}))


def _channels(name: str, ops: Sequence[Op], largest: Op, pieces: Sequence[Segments]) -> BoolArray | None:
    """Return which output channels of an op that mixes channels are there, ``(combinations, channels)``."""
    if largest.kind not in ("conv", "linear") or is_depthwise(largest):
        return None
    there = np.zeros((len(ops), largest.output[0]), dtype=np.bool_)
    for row, (op, own) in enumerate(zip(ops, pieces, strict=True)):
        parts = own.get(f"{name}.weight", {}).get(0, ((0, op.output[0]),))
        for start, length in parts:
            there[row, start : start + length] = True
    return there


def _taps(ops: Sequence[Op], columns: Sequence[int], allowed: Sequence[Codes]) -> Taps | None:
    """Return the kernels and dilations that convolutions of one kind have; None where these are always the same."""
    if ops[0].kind != "conv" or "pads" in dict(ops[0].attributes):
        return None
    windows = [_window(op) for op in ops]
    if len(set(windows)) == 1:
        return None
    counts, dilations = tuple(map(len, allowed)), list[tuple[tuple[int, ...], tuple[int, ...], Pattern]]()
    for dilation in sorted({dilation for _, dilation in windows}):
        kernel = tuple(map(max, zip(*(own for own, other in windows if other == dilation), strict=True)))
        used = np.zeros((len(ops), *kernel), dtype=np.bool_)
        for row, (own, other) in enumerate(windows):
            if other == dilation:
                inner = tuple(slice((most - k) // 2, (most + k) // 2) for most, k in zip(kernel, own, strict=True))
                used[row][inner] = True
        pattern = Pattern.of(columns, allowed, used.reshape(*counts, -1))
        dilations.append((dilation, kernel, pattern))
    return Taps(tuple(dilations))


def _window(op: Op) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes = len(op.output) - 1
    return op.integers("kernel", axes), op.integers("dilation", axes, 1)
