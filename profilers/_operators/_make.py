"""Functions that make well-formed ops, so that spaces never spell attributes out."""

from __future__ import annotations

import math
from functools import cache

from latency_tables import Op, Shape, sorted_attributes


@cache
def conv(
    shape: Shape,
    channels: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    norm: str = "batch",
    act: str = "none",
) -> Op:
    """A convolution from `shape` to `channels`, "same" padding."""
    output = (channels, math.ceil(shape[1] / stride), math.ceil(shape[2] / stride))
    attributes = sorted_attributes({"kernel": kernel, "stride": stride, "groups": groups, "norm": norm, "act": act})
    return Op("conv", (shape,), output, attributes)


@cache
def depthwise(shape: Shape, kernel: int, *, stride: int = 1, norm: str = "batch", act: str = "none") -> Op:
    """A depthwise convolution: one filter for each channel."""
    return conv(shape, shape[0], kernel, stride=stride, groups=shape[0], norm=norm, act=act)


@cache
def linear(shape: Shape, features: int, *, act: str = "none") -> Op:
    """A fully connected layer with bias over the flattened `shape`."""
    return Op("linear", (shape,), (features,), (("act", act),))


@cache
def norm(shape: Shape, *, act: str = "none") -> Op:
    """A stand-alone batch norm."""
    return Op("norm", (shape,), shape, (("act", act),))


@cache
def activation(shape: Shape, function: str) -> Op:
    """An element-wise activation: ``relu``, ``hswish`` or ``hsigmoid``."""
    return Op("activation", (shape,), shape, (("function", function),))


@cache
def identity(shape: Shape) -> Op:
    """Passes its input on."""
    return Op("identity", (shape,), shape)


@cache
def add(shape: Shape) -> Op:
    """The sum of two tensors."""
    return Op("add", (shape, shape), shape)


@cache
def scale(shape: Shape) -> Op:
    """Channels times factors of their own."""
    return Op("scale", (shape, (shape[0], 1, 1)), shape)


@cache
def pool(shape: Shape, kernel: int, *, stride: int = 1, padding: int | None = None, mode: str = "average") -> Op:
    """Average or max pooling; `padding` defaults to half the kernel."""
    pad = kernel // 2 if padding is None else padding
    height, width = ((n + 2 * pad - kernel) // stride + 1 for n in shape[1:])
    attributes = sorted_attributes({"kernel": kernel, "stride": stride, "padding": pad, "mode": mode})
    return Op("pool", (shape,), (shape[0], height, width), attributes)


@cache
def global_pool(shape: Shape) -> Op:
    """Mean over height and width."""
    return Op("global_pool", (shape,), (shape[0], 1, 1))


@cache
def squeeze_excite(shape: Shape, squeeze: int) -> Op:
    """Channel attention with a bottleneck of `squeeze` channels."""
    return Op("squeeze_excite", (shape,), shape, (("squeeze", squeeze),))


@cache
def inverted_residual(
    shape: Shape, channels: int, *, kernel: int, stride: int, hidden: int, squeeze: int, act: str
) -> Op:
    """MobileNetV3's block; the input is added to the result wherever the shape is kept."""
    output = (channels, math.ceil(shape[1] / stride), math.ceil(shape[2] / stride))
    residual = int(output == shape and stride == 1)
    attributes = sorted_attributes(
        {
            "kernel": kernel,
            "stride": stride,
            "hidden": hidden,
            "squeeze": squeeze,
            "act": act,
            "residual": residual,
        }
    )
    return Op("mbconv", (shape,), output, attributes)


@cache
def head(shape: Shape, classes: int, *, hidden: int, features: int) -> Op:
    """MobileNetV3's classifier."""
    return Op("head", (shape,), (classes,), (("features", features), ("hidden", hidden)))
