"""Rules for convolutions, linear layers and batch norms, with what follows them channel by channel."""

from __future__ import annotations

import math

import numpy as np
import onnx

from latency_tables import Shape
from profilers._errors import ModelFileError
from profilers._operators import _make as ops
from profilers._operators._base import MOST_AXES
from profilers._read._affine import norm_of, tail_of
from profilers._read._attributes import Array, attributes_of, describe, integers
from profilers._read._rules_places import pixels
from profilers._read._translate import Translation, rule


@rule("Conv")
def convolution(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a Conv with constant weights, and the bias, norm and factors behind it, as one convolution."""
    weight = t.constant(node.input[1]) if len(node.input) > 1 else None
    bias = t.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    output = t.output_shape(node)
    if weight is None or not t.is_sample(node.input[0]) or output is None or not 1 <= weight.ndim - 2 <= MOST_AXES:
        return False
    if len(node.input) > 2 and node.input[2] and (bias is None or bias.shape != output[:1]):
        return False
    shape, axes = t.shape(node.input[0]), weight.ndim - 2
    attributes, kernel = attributes_of(node), weight.shape[2:]
    stride, dilation = integers(node, "strides", (1,) * axes), integers(node, "dilations", (1,) * axes)
    pads = padding(attributes, shape[1:], output[1:], kernel, stride, dilation)
    if pads is None or min(pads) < 0:
        return False
    tensor, more = _unpadded(t, node.input[0])
    shape, pads = t.shape(tensor), tuple(a + b for a, b in zip(pads, more or (0,) * len(pads), strict=True))
    tail = tail_of(t, node.output[0], output[0])
    values: dict[str, Array] = {"weight": weight * tail.scale.reshape(-1, *(1,) * (axes + 1)).astype(np.float32)}
    shift = tail.shift if bias is None else tail.scale * bias + tail.shift
    norm = "batch" if tail.norm else "bias" if bias is not None or tail.shift.any() else "none"
    if tail.norm:
        tail.norm["mean"] = tail.norm["mean"] - shift
        values |= tail.norm
    elif norm == "bias":
        values["bias"] = shift
    op = ops.conv(
        shape,
        output[0],
        kernel,
        stride=stride,
        dilation=dilation,
        groups=attributes.get("group", 1),
        norm=norm,
        pads=pads,
    )
    return t.write(node, op, tensor, weights=values, last=tail.end)


def _unpadded(t: Translation, tensor: str) -> tuple[str, Shape]:
    """Return what a Pad with zeros behind the channels reads, and its padding; other tensors as they are."""
    node = t.producer(tensor)
    if node is None or node.op_type != "Pad" or not t.is_sample(node.input[0]):
        return tensor, ()
    attributes, axes = attributes_of(node), len(t.shape(tensor)) - 1
    values = [t.constant(name) if name else None for name in node.input[1:]]
    if any(value is None for name, value in zip(node.input[1:], values, strict=True) if name) or len(values) > 2:
        return tensor, ()
    pads = integers(node, "pads", ()) if not values or values[0] is None else tuple(map(int, values[0].reshape(-1)))
    fill = attributes.get("value", 0.0) if len(values) < 2 or values[1] is None else values[1].reshape(-1).tolist()
    begins, ends = pads[: axes + 2], pads[axes + 2 :]
    zeros = attributes.get("mode", b"constant") in (b"constant", "constant") and fill in (0.0, [0.0])
    if len(ends) != axes + 2 or not zeros or any((*begins[:2], *ends[:2])) or min(pads) < 0:
        return tensor, ()
    return node.input[0], (*begins[2:], *ends[2:])


def padding(
    attributes: dict[str, object], sizes: Shape, output: Shape, kernel: Shape, stride: Shape, dilation: Shape
) -> Shape | None:
    """Return the padding at all beginnings, then all ends, as the extents of the output tell it.

    ``None`` where they contradict the attributes.
    """
    axes = len(sizes)
    auto = attributes.get("auto_pad", b"NOTSET")
    auto = auto.decode(errors="replace") if isinstance(auto, bytes) else str(auto)
    if auto == "NOTSET":
        given = attributes.get("pads")
        begins = tuple(int(n) for n in given)[:axes] if isinstance(given, list | tuple) else (0,) * axes
        # the end follows from the output: with ceil_mode, it is more than the file states
        ends = tuple(
            max(int(stated), (o - 1) * s + d * (k - 1) + 1 - n - b)
            for stated, n, o, k, s, d, b in zip(
                given[axes:] if isinstance(given, list | tuple) else (0,) * axes,
                sizes,
                output,
                kernel,
                stride,
                dilation,
                begins,
                strict=True,
            )
        )
        return (*begins, *ends)
    if auto == "VALID":
        return (0,) * (2 * axes)
    total = [
        max(0, (o - 1) * s + d * (k - 1) + 1 - n)
        for n, o, k, s, d in zip(sizes, output, kernel, stride, dilation, strict=True)
    ]
    small, large = tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)
    return {"SAME_UPPER": (*small, *large), "SAME_LOWER": (*large, *small)}.get(auto)


@rule("ConvTranspose")
def transposed_convolution(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a ConvTranspose whose windows do not overlap as a pointwise convolution whose channels become pixels."""
    tensor, output, attributes = node.input[0], t.output_shape(node), attributes_of(node)
    weight = t.constant(node.input[1])
    named = len(node.input) > 2 and node.input[2] != ""
    bias = t.constant(node.input[2]) if named else np.zeros(1)
    if weight is None or bias is None or output is None or not t.is_sample(tensor):
        return False
    shape, kernel = t.shape(tensor), tuple(weight.shape[2:])
    if weight.ndim != len(shape) + 1 or weight.shape[0] != shape[0]:
        raise ModelFileError(f"{describe(node)}: its weight {weight.shape} does not fit its input {shape}")
    ones = (1,) * len(kernel)
    plain = not any((*integers(node, "pads", ()), *integers(node, "output_padding", ())))
    whole = output == (weight.shape[1], *(n * k for n, k in zip(shape[1:], kernel, strict=True)))
    if integers(node, "strides", ones) != kernel or integers(node, "dilations", ones) != ones or not (plain and whole):
        return False
    if attributes.get("group", 1) != 1 or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET", b"VALID"):
        return False
    tail = tail_of(t, node.output[0], output[0])
    scale, shift = tail.affine()
    # one channel for each channel of the output and place in the window
    inner, count = f"{node.output[0]}:dense", math.prod(kernel)
    matrix = np.moveaxis(weight, 0, -1) * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    values = {
        "weight": matrix.reshape(output[0] * count, shape[0], *ones),
        "bias": np.repeat(np.broadcast_to(bias, output[:1]) * scale + shift, count),
    }
    t.write(node, ops.conv(shape, output[0] * count, 1, norm="bias"), tensor, weights=values, last=inner)
    return pixels(t, node, inner, tail.end, kernel, output)


@rule("BatchNormalization")
def batch_norm(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a BatchNormalization that stands alone, and the factors behind it."""
    shape = t.output_shape(node)
    if shape is None or not t.is_sample(node.input[0]):
        return False
    norm = norm_of(t, node, shape[0])
    if norm is None:
        return False
    tail = tail_of(t, node.output[0], shape[0])
    scale, shift = tail.affine()
    norm["gamma"], norm["beta"] = norm["gamma"] * scale, norm["beta"] * scale + shift
    return t.write(node, ops.norm(shape), node.input[0], weights=norm, last=tail.end)


@rule("Gemm")
def gemm(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a Gemm with constant weights, and the bias behind it, as a linear layer."""
    attributes = attributes_of(node)
    weight = t.constant(node.input[1])
    if (
        weight is None
        or not t.is_sample(node.input[0])
        or len(t.shape(node.input[0])) != 1
        or attributes.get("transA", 0)
    ):
        return False
    weight = weight * np.float32(attributes.get("alpha", 1.0))
    bias: Array = np.zeros(1, np.float32)
    if len(node.input) > 2 and node.input[2]:
        stored = t.constant(node.input[2])
        if stored is None or (stored.ndim == 2 and stored.shape[0] != 1) or stored.ndim > 2:
            return False
        bias = stored.reshape(-1) * np.float32(attributes.get("beta", 1.0))
    return _linear(t, node, weight if attributes.get("transB", 0) else weight.T, bias)


@rule("MatMul")
def matmul(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a MatMul of features with a constant matrix, and the bias behind it, as a linear layer."""
    weight = t.constant(node.input[1])
    if weight is None or weight.ndim != 2 or not t.is_sample(node.input[0]) or len(t.shape(node.input[0])) != 1:
        return False
    return _linear(t, node, weight.T, np.zeros(1, np.float32))


def _linear(t: Translation, node: onnx.NodeProto, weight: Array, bias: Array) -> bool:
    shape, output = t.shape(node.input[0]), t.output_shape(node)
    if output is None or weight.shape != (*output, math.prod(shape)):
        return False
    tail = tail_of(t, node.output[0], output[0])
    scale, shift = tail.affine()
    values = {
        "weight": weight * scale[:, None].astype(np.float32),
        "bias": np.broadcast_to(bias, output) * scale + shift,
    }
    return t.write(node, ops.linear(shape, output[0]), node.input[0], weights=values, last=tail.end)
