"""Rules for activations, sums, products and pooling."""

from __future__ import annotations

import numpy as np
import onnx

from latency_tables import Shape
from profilers._operators import _make as ops
from profilers._read._affine import affine_step, scaled, tail_of
from profilers._read._attributes import Array, attributes_of, integers
from profilers._read._functions import ELEMENTWISE, activation_of, clip_ends
from profilers._read._rules_dense import padding
from profilers._read._translate import Translation, rule


@rule(*ELEMENTWISE)
def activation(t: Translation, node: onnx.NodeProto) -> bool:
    """Write an activation that the registry has; the nodes before the last one become dead code."""
    known = activation_of(t, node)
    if known is None:
        return False
    function, tensor = known
    return t.write(node, ops.activation(t.shape(tensor), function), tensor)


@rule("HardSigmoid", "Clip")
def ramp(t: Translation, node: onnx.NodeProto) -> bool:
    """Write ``clip(a x + b, 0, 1)`` as a scale and a shift of the layer before it, and hsigmoid."""
    shape, attributes = t.output_shape(node), attributes_of(node)
    if shape is None or not t.is_sample(node.input[0]):
        return False
    slope, middle = 1.0, 0.0
    if node.op_type == "HardSigmoid":
        slope, middle = float(attributes.get("alpha", 0.2)), float(attributes.get("beta", 0.5))
    elif clip_ends(attributes, [_number(t, name) for name in node.input[1:]]) != (0.0, 1.0):
        return False
    # hsigmoid(y) = clip(y / 6 + 1 / 2, 0, 1)
    scale, shift = np.full(shape[0], 6.0 * slope), np.full(shape[0], 6.0 * (middle - 0.5))
    if not np.isfinite([scale[0], shift[0]]).all():
        return False
    last = f"{node.output[0]}:scaled"
    scaled(t, node, node.input[0], scale, shift, last)
    return t.write(node, ops.activation(shape, "hsigmoid"), last)


def _number(t: Translation, name: str) -> float | None:
    """Return a scalar constant; None where the input is absent, NaN where it is none."""
    value = t.constant(name)
    return None if not name else float(value.reshape(-1)[0]) if value is not None and value.size == 1 else np.nan


@rule("Add", "Sub", "Mul", "Div")
def affine(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a scale and shift of channels by constants, with those behind it, as a norm."""
    tensors = [name for name in node.input if t.is_sample(name)]
    step = affine_step(t, node, tensors[0]) if len(tensors) == 1 else None
    if step is None:
        return False
    tail = tail_of(t, node.output[0], len(step[0]))
    scale, shift = tail.affine()
    return scaled(t, node, tensors[0], step[0] * scale, step[1] * scale + shift, tail.end)


@rule("Identity", "Dropout")
def identity(t: Translation, node: onnx.NodeProto) -> bool:
    """Leave out a node that returns its input."""
    unread = all(not name or name not in t.file.readers for name in node.output[1:])
    training = t.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if (training is not None and training.any()) or not unread or not t.is_sample(node.input[0]):
        return False
    return t.alias(node)


@rule("Cast", "Clip", "Expand", "Pad", "Tile")
def unchanged(t: Translation, node: onnx.NodeProto) -> bool:
    """Leave out a node that has nothing to do: a cast to the same type, a padding of no width, a clip without ends."""
    types, attributes = t.file.types, attributes_of(node)
    if not t.is_sample(node.input[0]) or types[node.output[0]] != types[node.input[0]]:
        return False
    if node.op_type == "Clip" and (any(node.input[1:]) or {"min", "max"} & set(attributes)):
        return False
    if node.op_type == "Pad":
        widths = t.constant(node.input[1]) if len(node.input) > 1 else np.asarray(attributes.get("pads", [1]))
        if widths is None or np.any(widths):
            return False
    return t.alias(node)


@rule("Expand")
def factors(t: Translation, node: onnx.NodeProto) -> bool:
    """Leave out what repeats one number a channel over the places of a map, where only products with maps read it."""
    output, source = node.output[0], node.input[0]
    shape = t.output_shape(node)
    if shape is None or not t.is_sample(source) or t.shape(source) != (shape[0], *(1,) * (len(shape) - 1)):
        return False
    readers = t.file.readers.get(output, [])
    products = [reader for reader in readers if reader is not None and reader.op_type == "Mul"]
    if not products or len(products) != len(readers):
        return False
    for reader in products:
        others = [name for name in reader.input if name != output]
        if len(others) != 1 or t.constant(others[0]) is not None or t.shape(others[0]) != shape:
            return False
        producer = t.producer(others[0])
        if producer is not None and producer.op_type == "Expand":
            return False
    t.sources[output] = source
    return t.alias(node)


@rule("Add", "Sum")
def addition(t: Translation, node: onnx.NodeProto) -> bool:
    """Write the sum of two tensors of one shape."""
    shape = t.output_shape(node)
    if shape is None or len(node.input) != 2 or not all(t.is_sample(x) and t.shape(x) == shape for x in node.input):
        return False
    return t.write(node, ops.add(shape), *node.input)


@rule("Mul")
def product(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a product of tensors of one shape, or of a map with a factor for each channel."""
    shape = t.output_shape(node)
    if shape is None or len(node.input) != 2 or not all(map(t.is_sample, node.input)):
        return False
    first, second = (t.sources.get(name, name) for name in node.input)
    for x, other in ((first, second), (second, first)):
        if t.shape(x) == shape and t.shape(other) == (shape[0], *(1,) * (len(shape) - 1)) != shape and len(shape) > 1:
            return t.write(node, ops.scale(shape), x, other)
    if t.shape(first) != t.shape(second):
        return False
    return t.write(node, ops.mul(shape), first, second)


@rule("MaxPool", "AveragePool")
def pooling(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a pooling over windows."""
    output = t.output_shape(node)
    if output is None or not t.is_sample(node.input[0]):
        return False
    attributes, shape = attributes_of(node), t.shape(node.input[0])
    axes = len(shape) - 1
    ones = (1,) * axes
    kernel, stride = integers(node, "kernel_shape", ()), integers(node, "strides", ones)
    if integers(node, "dilations", ones) != ones or not 1 <= axes <= 3:
        return False
    pads = padding(attributes, shape[1:], output[1:], kernel, stride, ones)
    counted = bool(attributes.get("count_include_pad", 0))
    if pads is None or not pool_fits(kernel, pads) or (counted and attributes.get("ceil_mode", 0)):
        return False
    mode = "max" if node.op_type == "MaxPool" else "average"
    op = ops.pool(
        shape, kernel, stride=stride, padding=pads[:axes], end_padding=pads[axes:], mode=mode, count_padding=counted
    )
    return op.output == output and t.write(node, op, node.input[0])


def pool_fits(kernel: Shape, pads: Shape) -> bool:
    """Return whether the registry's pooling takes this padding."""
    axes = len(kernel)
    begins = all(0 <= 2 * pad <= k for pad, k in zip(pads[:axes], kernel, strict=True))
    return begins and all(0 <= pad < k for pad, k in zip(pads[axes:], kernel, strict=True))


@rule("GlobalAveragePool", "ReduceMean")
def global_pooling(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a mean over all axes of a map as global pooling, followed by a reshape where the axes are dropped."""
    output = t.output_shape(node)
    if output is None or not t.is_sample(node.input[0]) or not 2 <= len(t.shape(node.input[0])) <= 4:
        return False
    shape = t.shape(node.input[0])
    if node.op_type == "ReduceMean":
        axes = _axes(t, node, len(shape) + 1)
        if axes != tuple(range(2, len(shape) + 1)):
            return False
    op = ops.global_pool(shape)
    if op.output == output:
        return t.write(node, op, node.input[0])
    middle = node.output[0] + ":pooled"
    t.write(node, op, node.input[0], last=middle)
    return t.write(node, ops.reshape(op.output, output), middle)


def _axes(t: Translation, node: onnx.NodeProto, rank: int) -> tuple[int, ...] | None:
    """Return the axes that a node names, as an attribute or as a constant input, counted from 0 and sorted."""
    given: Array | None = t.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    values = integers(node, "axes", ()) if given is None else tuple(int(n) for n in given.reshape(-1))
    return tuple(sorted(n % rank for n in values)) if all(-rank <= n < rank for n in values) else None


@rule("Softmax")
def softmax(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a softmax over one axis behind the batch axis."""
    shape = t.output_shape(node)
    if shape is None or not t.is_sample(node.input[0]):
        return False
    old = t.file.opset < 13
    axis = attributes_of(node).get("axis", 1 if old else -1) % (len(shape) + 1)
    if axis == 0 or (old and axis != len(shape) and any(n != 1 for n in shape[axis:])):
        return False
    return t.write(node, ops.softmax(shape, axis - 1), node.input[0])
