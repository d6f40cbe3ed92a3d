"""Rules for activations, sums, products, pooling and what moves a tensor's elements."""

from __future__ import annotations

import numpy as np
import onnx

from latency_tables import Shape
from profilers._operators import _make as ops
from profilers._read._attributes import Array, attributes_of, integers
from profilers._read._rules_dense import padding
from profilers._read._translate import Translation, rule

_FUNCTIONS = {"Relu": "relu", "HardSwish": "hswish", "Sigmoid": "sigmoid", "Tanh": "tanh"}


@rule("Relu", "HardSwish", "Sigmoid", "Tanh", "HardSigmoid", "Clip", "Gelu")
def activation(t: Translation, node: onnx.NodeProto) -> bool:
    """Write an element-wise activation that the registry has."""
    function, shape = function_of(t, node), t.output_shape(node)
    if function is None or shape is None or not t.is_sample(node.input[0]):
        return False
    return t.write(node, ops.activation(shape, function), node.input[0])


def function_of(t: Translation, node: onnx.NodeProto) -> str | None:
    """Return the registry's name of the activation that a node computes; ``None`` for another."""
    attributes = attributes_of(node)
    if node.op_type == "HardSigmoid":
        ours = abs(attributes.get("alpha", 0.2) - 1 / 6) < 1e-5 and abs(attributes.get("beta", 0.5) - 0.5) < 1e-6
        return "hsigmoid" if ours else None
    if node.op_type == "Gelu":
        return "gelu" if attributes.get("approximate", b"none") in (b"none", "none") else None
    if node.op_type == "Clip":
        low, high = clip_ends(t, node)
        return {(0.0, 6.0): "relu6", (0.0, np.inf): "relu"}.get((low, high))
    return _FUNCTIONS.get(node.op_type)


def clip_ends(t: Translation, node: onnx.NodeProto) -> tuple[float, float]:
    """Return the ends of a Clip; NaN where they are not constant."""
    attributes = attributes_of(node)
    ends = [attributes.get("min", -np.inf), attributes.get("max", np.inf)]
    for position, name in enumerate(node.input[1:3]):
        if name:
            value = t.constant(name)
            ends[position] = float(value.reshape(-1)[0]) if value is not None and value.size == 1 else np.nan
    return float(ends[0]), float(ends[1])


@rule("Identity", "Dropout")
def identity(t: Translation, node: onnx.NodeProto) -> bool:
    """Leave out a node that returns its input."""
    unread = all(not name or name not in t.file.readers for name in node.output[1:])
    training = t.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if (training is not None and training.any()) or not unread or not t.is_sample(node.input[0]):
        return False
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
    """Write a product of tensors of one shape, or of a map with a factor for each channel; ``x f(x)`` as activation."""
    shape = t.output_shape(node)
    if shape is None or len(node.input) != 2 or not all(map(t.is_sample, node.input)):
        return False
    for x, other in (tuple(node.input), tuple(reversed(node.input))):
        gate = t.producer(other)
        if gate is not None and gate.input and gate.input[0] == x:
            function = {"hsigmoid": "hswish", "sigmoid": "silu"}.get(function_of(t, gate) or "")
            if function:
                return t.write(node, ops.activation(shape, function), x)
        if t.shape(x) == shape and t.shape(other) == (shape[0], *(1,) * (len(shape) - 1)) != shape and len(shape) > 1:
            return t.write(node, ops.scale(shape), x, other)
    if t.shape(node.input[0]) != t.shape(node.input[1]):
        return False
    return t.write(node, ops.mul(shape), *node.input)


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
    return begins and all(0 <= pad < max(2, k) for pad, k in zip(pads[axes:], kernel, strict=True))


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
