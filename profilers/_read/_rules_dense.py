"""Rules for convolutions, linear layers and batch norms, with what follows them channel by channel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx

from latency_tables import Shape
from profilers._operators import _make as ops
from profilers._operators._base import MOST_AXES, NORM_EPSILON
from profilers._read._attributes import Array, attributes_of, integers
from profilers._read._translate import Translation, channel_vector, rule


@dataclass
class _Tail:
    """What follows a layer channel by channel: ``scale * y + shift``.

    Attributes:
        scale: ``(channels,)``, in 64-bit floats.
        shift: ``(channels,)``.
        norm: Batch norm within it, as ``gamma``, ``beta``, ``mean``, ``variance`` with our epsilon.
        end: The tensor that it computes.
    """

    scale: Array
    shift: Array
    norm: dict[str, Array] | None
    end: str


def norm_parameters(values: list[Array], epsilon: float) -> dict[str, Array]:
    """Return the parameters of a batch norm for our epsilon, which is fixed.

    Args:
        values: Scale, shift, mean and variance.
        epsilon: The file's.
    """
    gamma, beta, mean, variance = (value.astype(np.float64) for value in values)
    own = np.maximum(variance + epsilon - NORM_EPSILON, 0.0)
    gamma = gamma * np.sqrt((own + NORM_EPSILON) / (variance + epsilon))
    return {"gamma": gamma, "beta": beta, "mean": mean, "variance": own}


def _norm_of(t: Translation, node: onnx.NodeProto, channels: int) -> dict[str, Array] | None:
    """Return the parameters of a BatchNormalization node; ``None`` where they are not constant."""
    values = [t.constant(name) for name in node.input[1:]]
    attributes = attributes_of(node)
    if len(values) != 4 or any(value is None or value.shape != (channels,) for value in values):
        return None
    if (
        attributes.get("training_mode", 0)
        or attributes.get("spatial", 1) != 1
        or len(list(filter(None, node.output))) != 1
    ):
        return None
    return norm_parameters([value for value in values if value is not None], attributes.get("epsilon", 1e-5))


def _tail(t: Translation, tensor: str, channels: int) -> _Tail:
    """Find what follows a tensor channel by channel; the nodes of it are skipped."""
    tail = _Tail(np.ones(channels), np.zeros(channels), None, tensor)
    while True:
        node = t.only_reader(tail.end)
        if node is None or t.output_shape(node) is None or not _extend(t, tail, node, channels):
            return tail
        t.skip(node)
        tail.end = node.output[0]


def _extend(t: Translation, tail: _Tail, node: onnx.NodeProto, channels: int) -> bool:
    """Take one more node into a tail; return False where it does not belong to one."""
    if node.op_type == "BatchNormalization" and tail.norm is None and node.input[0] == tail.end:
        norm = _norm_of(t, node, channels)
        if norm is None:
            return False
        # gamma (s y + t - mean) / sigma + beta
        tail.norm = norm
        return True
    step = affine_step(t, node, tail.end)
    if step is None:
        return False
    scale, shift = step
    if tail.norm is not None:
        tail.norm["gamma"], tail.norm["beta"] = tail.norm["gamma"] * scale, tail.norm["beta"] * scale + shift
    else:
        tail.scale, tail.shift = tail.scale * scale, tail.shift * scale + shift
    return True


def affine_step(t: Translation, node: onnx.NodeProto, tensor: str) -> tuple[Array, Array] | None:
    """Return scale and shift of a node that computes ``scale * x + shift`` for each channel; ``None`` for others."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.input) != 2:
        return None
    first = node.input[0] == tensor
    value = t.constant(node.input[1] if first else node.input[0])
    shape = t.shape(tensor)
    if value is None or t.output_shape(node) != shape:
        return None
    vector = channel_vector(value, shape)
    if vector is None or (node.op_type == "Div" and (not first or not vector.all())):
        return None
    vector = vector.astype(np.float64)
    one, zero = np.ones(len(vector)), np.zeros(len(vector))
    if node.op_type == "Sub":
        return (one, -vector) if first else (-one, vector)
    return {"Add": (one, vector), "Mul": (vector, zero), "Div": (one / vector if node.op_type == "Div" else one, zero)}[
        node.op_type
    ]


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
    tail = _tail(t, node.output[0], output[0])
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
    return t.write(node, op, node.input[0], weights=values, last=tail.end)


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


@rule("BatchNormalization")
def batch_norm(t: Translation, node: onnx.NodeProto) -> bool:
    """Write a BatchNormalization that stands alone, and the factors behind it."""
    shape = t.output_shape(node)
    if shape is None or not t.is_sample(node.input[0]):
        return False
    norm = _norm_of(t, node, shape[0])
    if norm is None:
        return False
    tail = _tail(t, node.output[0], shape[0])
    if tail.norm is not None:
        scale = tail.norm["gamma"] / np.sqrt(tail.norm["variance"] + NORM_EPSILON)
        tail.shift = (tail.shift - tail.norm["mean"]) * scale + tail.norm["beta"]
        tail.scale = tail.scale * scale
    norm["gamma"], norm["beta"] = norm["gamma"] * tail.scale, norm["beta"] * tail.scale + tail.shift
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
    tail = _tail(t, node.output[0], output[0])
    scale, shift = tail.scale, tail.shift
    if tail.norm is not None:
        factor = tail.norm["gamma"] / np.sqrt(tail.norm["variance"] + NORM_EPSILON)
        scale, shift = scale * factor, (shift - tail.norm["mean"]) * factor + tail.norm["beta"]
    values = {
        "weight": weight * scale[:, None].astype(np.float32),
        "bias": np.broadcast_to(bias, output) * scale + shift,
    }
    return t.write(node, ops.linear(shape, output[0]), node.input[0], weights=values, last=tail.end)
