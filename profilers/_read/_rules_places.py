"""Rules for what moves a tensor's elements: reshapes, transpositions, parts of channels, upsampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from latency_tables import Shape
from profilers._operators import _make as ops
from profilers._read._attributes import Array, attributes_of, integers
from profilers._read._translate import Translation, rule


@rule("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def arrangement(t: Translation, node: onnx.NodeProto) -> bool:
    """Write what keeps the order of a sample's elements as a reshape."""
    output = t.output_shape(node)
    if output is None or not t.is_sample(node.input[0]):
        return False
    shape = t.shape(node.input[0])
    return t.alias(node) if shape == output else t.write(node, ops.reshape(shape, output), node.input[0])


@rule("Transpose")
def transposition(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a transposition that leaves the batch axis in front."""
    if t.output_shape(node) is None or not t.is_sample(node.input[0]):
        return False
    shape = t.shape(node.input[0])
    axes = integers(node, "perm", tuple(reversed(range(len(shape) + 1))))
    if axes[0] != 0:
        return False
    return t.write(node, ops.transpose(shape, tuple(axis - 1 for axis in axes[1:])), node.input[0])


@rule("Concat")
def concatenation(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a concatenation along the channels."""
    if t.output_shape(node) is None or not all(map(t.is_sample, node.input)):
        return False
    rank = len(t.shape(node.input[0])) + 1
    if attributes_of(node).get("axis", 1) % rank != 1:
        return False
    if len(node.input) == 1:
        return t.alias(node)
    return t.write(node, ops.concat(*map(t.shape, node.input)), *node.input)


@rule("Split")
def split(t: Translation, node: onnx.NodeProto) -> bool:
    """Write the parts of the channels as slices."""
    tensor, outputs = node.input[0], [name for name in node.output if name in t.file.types]
    if not t.is_sample(tensor) or not all(map(t.fits, outputs)):
        return False
    shape = t.shape(tensor)
    if attributes_of(node).get("axis", 0) % (len(shape) + 1) != 1:
        return False
    given = t.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else integers(node, "split", ())
    if given is None:
        return False
    # without sizes the parts are equal, but the last one may be smaller
    sizes = [int(n) for n in given] or [-(-shape[0] // len(node.output))] * len(node.output)
    start = 0
    for name, size in zip(node.output, sizes, strict=False):
        if name in outputs:
            t.write(node, ops.slice_channels(shape, start, t.shape(name)[0]), tensor, last=name)
        start += size
    return True


@rule("Slice")
def slices(t: Translation, node: onnx.NodeProto) -> bool:
    """Write neighbouring channels as a slice."""
    tensor, output = node.input[0], t.output_shape(node)
    given = _slice_arguments(t, node)
    if output is None or given is None or not t.is_sample(tensor):
        return False
    shape = t.shape(tensor)
    starts, axes, steps = given
    places = [axis % (len(shape) + 1) for axis in axes]
    if output[1:] != shape[1:] or any(step != 1 for step in steps) or len(starts) != len(places):
        return False
    start = dict(zip(places, starts, strict=True)).get(1, 0)
    start = min(max(start + shape[0] if start < 0 else start, 0), shape[0])
    if output == shape:
        return t.alias(node)
    return t.write(node, ops.slice_channels(shape, start, output[0]), tensor)


def _slice_arguments(t: Translation, node: onnx.NodeProto) -> tuple[list[int], list[int], list[int]] | None:
    """Return starts, axes and steps of a Slice, from its inputs or (before opset 10) its attributes."""
    if len(node.input) == 1:
        starts = list(integers(node, "starts", ()))
        return starts, list(integers(node, "axes", tuple(range(len(starts))))), [1]
    values = [t.constant(name) if name else None for name in node.input[1:]]
    if any(value is None for name, value in zip(node.input[1:], values, strict=True) if name) or values[0] is None:
        return None
    lists = [None if value is None else [int(n) for n in value.reshape(-1)] for value in (*values, None, None)][:4]
    starts = lists[0] or []
    return starts, lists[2] or list(range(len(starts))), lists[3] or [1]


@rule("Gather")
def gather(t: Translation, node: onnx.NodeProto) -> bool:
    """Write one channel, or neighbouring ones in their order, as a slice."""
    tensor, output, indices = node.input[0], t.output_shape(node), t.constant(node.input[1])
    if output is None or indices is None or not t.is_sample(tensor) or indices.ndim > 1 or not indices.size:
        return False
    shape = t.shape(tensor)
    if attributes_of(node).get("axis", 0) % (len(shape) + 1) != 1:
        return False
    numbers = [int(n) % shape[0] for n in indices.reshape(-1)]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return False
    op = ops.slice_channels(shape, numbers[0], len(numbers))
    if op.output == output:
        return t.write(node, op, tensor)
    part = f"{node.output[0]}:channel"
    t.write(node, op, tensor, last=part)
    return t.write(node, ops.reshape(op.output, output), part)


@rule("Resize", "Upsample")
def resize(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a nearest-neighbour resizing that repeats each element a whole number of times."""
    tensor, output = node.input[0], t.output_shape(node)
    if output is None or not t.is_sample(tensor) or not 2 <= len(output) <= 4:
        return False
    shape = t.shape(tensor)
    factors = [new // old for new, old in zip(output, shape, strict=True)]
    if any(new != old * factor for new, old, factor in zip(output, shape, factors, strict=True)) or factors[0] != 1:
        return False
    if not _repeats(t, node, factors):
        return False
    return t.alias(node) if output == shape else t.write(node, ops.upsample(shape, factors[1:]), tensor)


def _repeats(t: Translation, node: onnx.NodeProto, factors: Sequence[int]) -> bool:
    """Return whether every element of a Resize is the one that a repetition by the factors gives."""
    attributes = {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value
        for name, value in attributes_of(node).items()
    }
    if attributes.get("mode", "nearest") != "nearest":
        return False
    modern = node.op_type == "Resize" and t.file.opset >= 11
    place = 2 if modern else 1
    scales: Array | None = np.asarray(attributes.get("scales", ()), np.float32)
    if len(node.input) > place and node.input[place]:
        scales = t.constant(node.input[place])
    if scales is None or (scales.size and scales.reshape(-1).tolist() not in ([1, *factors], list(factors)[1:])):
        return False
    if not modern:
        return True
    where = attributes.get("coordinate_transformation_mode", "half_pixel")
    rounding = attributes.get("nearest_mode", "round_prefer_floor")
    if where in ("half_pixel", "pytorch_half_pixel"):
        # output i of element e lies at e + (i + 1/2) / factor - 1/2, which is nearer to e than 1/2
        return str(rounding).startswith("round")
    return where == "asymmetric" and (rounding == "floor" or (rounding == "round_prefer_floor" and max(factors) <= 2))


@rule("DepthToSpace")
def depth_to_space(t: Translation, node: onnx.NodeProto) -> bool:
    """Write channels that become pixels as reshape, transposition and reshape."""
    output, attributes = t.output_shape(node), attributes_of(node)
    if output is None or not t.is_sample(node.input[0]) or len(output) != 3:
        return False
    size = int(attributes.get("blocksize", 0))
    if attributes.get("mode", b"DCR") in (b"CRD", "CRD"):
        return pixels(t, node, node.input[0], node.output[0], (size, size), output)
    shape, channels = t.shape(node.input[0]), output[0]
    parts = ops.reshape(shape, (size, size, channels, shape[1], shape[2]))
    moved = ops.transpose(parts.output, (2, 3, 0, 4, 1))
    t.write(node, parts, node.input[0], last=f"{node.output[0]}:parts")
    t.write(node, moved, f"{node.output[0]}:parts", last=f"{node.output[0]}:moved")
    return t.write(node, ops.reshape(moved.output, output), f"{node.output[0]}:moved")


def pixels(t: Translation, node: onnx.NodeProto, tensor: str, last: str, factors: Sequence[int], output: Shape) -> bool:
    """Write ``(channels * factors, sizes)`` as ``(channels, sizes * factors)``: the factors of each channel are pixels.

    Args:
        t: Where to write.
        node: The node that gives the ops their names.
        tensor: What is read.
        last: What is computed.
        factors: One for each axis behind the channels.
        output: Shape of the result.
    """
    axes = len(factors)
    sizes = tuple(n // f for n, f in zip(output[1:], factors, strict=True))
    order = [0, *(place for axis in range(axes) for place in (1 + axes + axis, 1 + axis))]
    parts = ops.reshape((output[0] * int(np.prod(factors)), *sizes), (output[0], *factors, *sizes))
    moved = ops.transpose(parts.output, order)
    t.write(node, parts, tensor, last=f"{last}:parts")
    t.write(node, moved, f"{last}:parts", last=f"{last}:moved")
    return t.write(node, ops.reshape(moved.output, output), f"{last}:moved", last=last)
