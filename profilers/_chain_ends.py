"""How measured chains begin and end, in every rank: an entry from the input of a network, and a small result."""

from __future__ import annotations

from latency_tables import GraphBuilder, Op, Shape
from profilers._operators import _make as ops


def is_map(shape: Shape) -> bool:
    """Return whether a shape is that of a feature map: channels and at least one axis."""
    return len(shape) > 1


def outer_shape(input_channels: int, shape: Shape) -> Shape:
    """Return the shape of a network's input from which `entry_op` leads to `shape`."""
    return (input_channels, *shape[1:])


def entry_op(input_channels: int, shape: Shape) -> Op:
    """Return the first op of a chain from the network's input: a 1x1 convolution, or a linear layer for features."""
    outer = outer_shape(input_channels, shape)
    return ops.conv(outer, shape[0]) if is_map(shape) else ops.linear(outer, shape[0])


def add_end(builder: GraphBuilder, shape: Shape, x: str, name: str = "pool") -> str:
    """Append the end of a chain: a global pooling of feature maps, nothing for features; return the last tensor."""
    return builder.add(name, ops.global_pool(shape), x) if is_map(shape) else x
