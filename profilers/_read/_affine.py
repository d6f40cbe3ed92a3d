"""Scales and shifts of channels: found behind a layer, and written within it or as a norm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from profilers._operators import _make as ops
from profilers._operators._base import NORM_EPSILON
from profilers._read._attributes import Array, attributes_of
from profilers._read._functions import starts_activation
from profilers._read._translate import Translation, channel_vector


@dataclass
class Tail:
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

    def affine(self) -> tuple[Array, Array]:
        """Return scale and shift with the norm taken into them."""
        if self.norm is None:
            return self.scale, self.shift
        # gamma (s y + t - mean) / sigma + beta
        factor = self.norm["gamma"] / np.sqrt(self.norm["variance"] + NORM_EPSILON)
        return self.scale * factor, (self.shift - self.norm["mean"]) * factor + self.norm["beta"]


def norm_parameters(values: Sequence[Array], epsilon: float) -> dict[str, Array]:
    """Return the parameters of a batch norm for our epsilon, which is fixed.

    Args:
        values: Scale, shift, mean and variance.
        epsilon: The file's.
    """
    gamma, beta, mean, variance = (value.astype(np.float64) for value in values)
    own = np.maximum(variance + epsilon - NORM_EPSILON, 0.0)
    gamma = gamma * np.sqrt((own + NORM_EPSILON) / (variance + epsilon))
    return {"gamma": gamma, "beta": beta, "mean": mean, "variance": own}


def norm_of(t: Translation, node: onnx.NodeProto, channels: int) -> dict[str, Array] | None:
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


def tail_of(t: Translation, tensor: str, channels: int) -> Tail:
    """Find what follows a tensor channel by channel; the nodes of it are skipped."""
    tail = Tail(np.ones(channels), np.zeros(channels), None, tensor)
    while True:
        node = t.only_reader(tail.end)
        if node is None or t.output_shape(node) is None or not _extend(t, tail, node, channels):
            return tail
        t.skip(node)
        tail.end = node.output[0]


def _extend(t: Translation, tail: Tail, node: onnx.NodeProto, channels: int) -> bool:
    """Take one more node into a tail; return False where it does not belong to one."""
    if node.op_type == "BatchNormalization" and tail.norm is None and node.input[0] == tail.end:
        norm = norm_of(t, node, channels)
        if norm is None:
            return False
        tail.norm = norm
        return True
    step = affine_step(t, node, tail.end)
    if step is None or starts_activation(t, node, tail.end):
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


def scaled(t: Translation, node: onnx.NodeProto, tensor: str, scale: Array, shift: Array, last: str) -> bool:
    """Write ``scale * x + shift`` for each channel: within the layer that computes x if it can, else as a norm.

    Args:
        t: Where to write.
        node: The only node that needs the result.
        tensor: x, one of the op graph.
        scale: ``(channels,)``.
        shift: ``(channels,)``.
        last: Name of the result.

    Returns:
        True, as the result of a rule.
    """
    alone = t.only_reader(tensor) is node and not starts_activation(t, node, tensor)
    layer = t.layer(tensor) if alone else None
    if layer is None:
        # a variance of 1 with our epsilon: the norm is a plain scale and shift
        one, zero = np.ones(len(scale)), np.zeros(len(scale))
        values = {"gamma": scale, "beta": shift, "mean": zero, "variance": one - NORM_EPSILON}
        return t.write(node, ops.norm(t.shape(tensor)), tensor, weights=values, last=last)
    values = {key: value.astype(np.float64) for key, value in t.weights_of(layer).items()}
    op = layer.op
    if "gamma" in values:
        values["gamma"], values["beta"] = values["gamma"] * scale, values["beta"] * scale + shift
    else:
        weight = values["weight"]
        values["weight"] = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
        values["bias"] = values.get("bias", np.zeros(len(scale))) * scale + shift
        if op.kind == "conv":
            op = op.with_attributes(norm="bias")
    t.rewrite(layer, op, values, tensor, last)
    return True
