"""Functions that make well-formed ops, so that spaces never spell attributes out.

The rank of an op is that of the shape it is made for: ``(features,)``, ``(channels, length)``,
``(channels, height, width)`` or ``(channels, time, height, width)``. A kernel, stride, dilation, padding or factor is
one integer for all axes behind the channels, or a list with one for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, cast

from latency_tables import AttributeValue, Op, Shape, sorted_attributes
from profilers._errors import OperatorError
from profilers._operators._base import MOST_AXES, convolved_sizes, same_padding
from profilers._operators._map_places import BOX_VALUES, DETECTION_VALUES

PerAxis = int | Sequence[int]
"""One integer for all axes of a feature map, or one for each."""

Arguments = ParamSpec("Arguments")


def _made_once(make: Callable[Arguments, Op]) -> Callable[Arguments, Op]:
    """Cache a maker of ops, and let it take lists, as JSON has them, in place of tuples."""
    cached = cast("Callable[Arguments, Op]", cache(make))

    @wraps(make)
    def maker(*args: Arguments.args, **options: Arguments.kwargs) -> Op:
        try:
            return cached(*args, **options)
        except TypeError:  # a list cannot be hashed
            values: Any = [tuple(v) if isinstance(v, list) else v for v in args]
            named: Any = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
            return cached(*values, **named)

    return maker


@_made_once
def conv(
    shape: Shape,
    channels: int,
    kernel: PerAxis = 1,
    *,
    stride: PerAxis = 1,
    dilation: PerAxis = 1,
    groups: int = 1,
    norm: str = "batch",
    act: str = "none",
    pads: Sequence[int] | None = None,
) -> Op:
    """Make a convolution from `shape` to `channels`.

    `pads` is the padding at the beginning of each axis, then at the end of each; "same" padding by default.
    """
    kernels, strides = _per_axis(shape, kernel, "kernel"), _per_axis(shape, stride, "stride")
    values: dict[str, AttributeValue] = {
        "kernel": kernels,
        "stride": strides,
        "groups": groups,
        "norm": norm,
        "act": act,
    }
    dilations = _per_axis(shape, dilation, "dilation")
    if any(d != 1 for d in dilations):
        values["dilation"] = dilations
    same = same_padding(kernels, dilations)
    given = same if pads is None else tuple(pads)
    if given != same or any(k % 2 == 0 for k in kernels):
        values["pads"] = given
    output = (channels, *convolved_sizes(shape[1:], kernels, strides, dilations, given))
    return Op("conv", (shape,), output, sorted_attributes(values))


@_made_once
def depthwise(
    shape: Shape,
    kernel: PerAxis,
    *,
    stride: PerAxis = 1,
    dilation: PerAxis = 1,
    norm: str = "batch",
    act: str = "none",
) -> Op:
    """Make a depthwise convolution: one filter for each channel."""
    return conv(shape, shape[0], kernel, stride=stride, dilation=dilation, groups=shape[0], norm=norm, act=act)


@_made_once
def linear(shape: Shape, features: int, *, act: str = "none") -> Op:
    """Make a fully connected layer with bias over the flattened `shape`."""
    return Op("linear", (shape,), (features,), (("act", act),))


@_made_once
def logmel(
    shape: Shape, bands: int, *, rate: int, window: int, hop: int, fft: int = 0, high: int = 0, floor: int = 60
) -> Op:
    """Make a log-mel front end from a signal ``(channels, length)`` to a map ``(channels, bands, frames)``.

    Args:
        shape: Shape of the signal.
        bands: Number of mel bands.
        rate: Samples a second.
        window: Samples of a frame, an even number.
        hop: Samples from the start of one frame to that of the next.
        fft: Samples of the transform; the window by default. A larger one has more frequencies.
        high: Upper end of the last band in Hz; half the rate by default.
        floor: Power that counts as silence, in dB below that of white noise of variance 1.
    """
    if len(shape) != 2 or not 0 < window <= shape[1] or hop < 1:
        raise OperatorError(
            f"logmel: needs a signal (channels, length), a window of 1 to its length and a hop of 1 or more, "
            f"got {shape}, {window} and {hop}"
        )
    values = {"rate": rate, "window": window, "hop": hop, "fft": fft or window, "high": high or rate // 2}
    output = (shape[0], bands, (shape[1] - window) // hop + 1)
    return Op("logmel", (shape,), output, sorted_attributes({**values, "floor": floor}))


@_made_once
def norm(shape: Shape, *, act: str = "none") -> Op:
    """Make a stand-alone batch norm."""
    return Op("norm", (shape,), shape, (("act", act),))


@_made_once
def activation(shape: Shape, function: str) -> Op:
    """Make an element-wise activation: ``relu``, ``hswish``, ``hsigmoid``, ``relu6``, ``silu`` and others."""
    return Op("activation", (shape,), shape, (("function", function),))


@_made_once
def identity(shape: Shape) -> Op:
    """Make an op that returns its input."""
    return Op("identity", (shape,), shape)


@_made_once
def add(shape: Shape) -> Op:
    """Make the sum of two tensors."""
    return Op("add", (shape, shape), shape)


@_made_once
def mul(shape: Shape) -> Op:
    """Make the element-wise product of two tensors."""
    return Op("mul", (shape, shape), shape)


@_made_once
def scale(shape: Shape) -> Op:
    """Multiply each channel by its own factor; the factors are a tensor ``(channels, 1, ...)``."""
    return Op("scale", (shape, (shape[0], *(1,) * (len(shape) - 1))), shape)


@_made_once
def concat(first: Shape, *others: Shape) -> Op:
    """Join tensors along the channels."""
    shapes = (first, *others)
    return Op("concat", shapes, (sum(shape[0] for shape in shapes), *first[1:]))


@_made_once
def slice_channels(shape: Shape, start: int, channels: int) -> Op:
    """Take `channels` of the channels (or features), from number `start`, counted from 0."""
    attributes = sorted_attributes({"start": start, "channels": channels})
    return Op("slice", (shape,), (channels, *shape[1:]), attributes)


@_made_once
def shift(shape: Shape, channels: int) -> Op:
    """Move `channels` channels one step back and as many one step forward along the first axis behind the channels."""
    return Op("shift", (shape,), shape, (("channels", channels),))


@_made_once
def upsample(shape: Shape, factor: PerAxis = 2) -> Op:
    """Make a nearest-neighbour upsampling."""
    factors = _per_axis(shape, factor, "factor")
    output = (shape[0], *(n * f for n, f in zip(shape[1:], factors, strict=True)))
    return Op("upsample", (shape,), output, (("factor", factors),))


@_made_once
def reshape(shape: Shape, output: Shape) -> Op:
    """Arrange the elements of each sample in another shape, in their order."""
    return Op("reshape", (shape,), output)


@_made_once
def transpose(shape: Shape, axes: Sequence[int]) -> Op:
    """Reorder the axes of each sample; axis i of the result is axis ``axes[i]`` of the input, counted from 0."""
    return Op("transpose", (shape,), tuple(shape[axis] for axis in axes), (("axes", tuple(axes)),))


@_made_once
def softmax(shape: Shape, axis: int = 0) -> Op:
    """Make a softmax over one axis of each sample; 0 are the channels or features."""
    return Op("softmax", (shape,), shape, (("axis", axis),))


@_made_once
def pool(
    shape: Shape,
    kernel: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: PerAxis | None = None,
    end_padding: PerAxis | None = None,
    mode: str = "average",
    count_padding: bool = False,
) -> Op:
    """Make an average or max pooling.

    Args:
        shape: Shape of the input.
        kernel: Extents of the window.
        stride: Steps of the window.
        padding: Padding at both ends of each axis; half the kernel by default.
        end_padding: Padding at the end of each axis, where it differs from that at the beginning.
        mode: ``average`` or ``max``.
        count_padding: Whether an average counts padding as zeros.
    """
    kernels, strides = _per_axis(shape, kernel, "kernel"), _per_axis(shape, stride, "stride")
    pads = tuple(k // 2 for k in kernels) if padding is None else _per_axis(shape, padding, "padding")
    ends = pads if end_padding is None else _per_axis(shape, end_padding, "end_padding")
    values: dict[str, AttributeValue] = {"kernel": kernels, "stride": strides, "padding": pads, "mode": mode}
    if ends != pads:
        values["end_padding"] = ends
    if count_padding not in (0, 1):
        raise OperatorError(f"count_padding must be 0 or 1, got {count_padding!r}")
    if count_padding and mode == "average" and max(*pads, *ends) > 0:
        values["count_padding"] = 1
    sizes = convolved_sizes(shape[1:], kernels, strides, (1,) * len(kernels), (*pads, *ends))
    return Op("pool", (shape,), (shape[0], *sizes), sorted_attributes(values))


@_made_once
def global_pool(shape: Shape) -> Op:
    """Make the mean over all axes behind the channels."""
    return Op("global_pool", (shape,), (shape[0], *(1,) * (len(shape) - 1)))


@_made_once
def squeeze_excite(shape: Shape, squeeze: int) -> Op:
    """Make channel attention with a bottleneck of `squeeze` channels."""
    return Op("squeeze_excite", (shape,), shape, (("squeeze", squeeze),))


@_made_once
def inverted_residual(
    shape: Shape,
    channels: int,
    *,
    kernel: PerAxis,
    stride: PerAxis,
    hidden: int,
    squeeze: int,
    act: str,
    beside: PerAxis | None = None,
    shift: int = 0,
    dilation: PerAxis = 1,
) -> Op:
    """Make MobileNetV3's block; the input is added to the result wherever the shape is kept.

    Args:
        shape: Shape of the input.
        channels: Channels of the result.
        kernel: Extents of the depthwise convolution; 0 for none.
        stride: Its steps.
        hidden: Channels between the two 1x1 convolutions.
        squeeze: Channels of squeeze-excite's bottleneck; 0 for none.
        act: The activation.
        beside: Extents of a second depthwise convolution, added to the first; None for none.
        shift: Channels that are moved each way along the first axis before the depthwise convolution.
        dilation: Steps between the taps of the depthwise convolution.
    """
    output, strides = _strided(shape, channels, stride), _per_axis(shape, stride, "stride")
    kept = output == shape and all(s == 1 for s in strides)
    values: dict[str, AttributeValue] = {
        "kernel": _per_axis(shape, kernel, "kernel"),
        "stride": strides,
        "hidden": hidden,
        "squeeze": squeeze,
        "act": act,
        "residual": int(kept),
    }
    if beside is not None:
        values["beside"] = _per_axis(shape, beside, "beside")
    if shift:
        values["shift"] = shift
    dilations = _per_axis(shape, dilation, "dilation")
    if any(d != 1 for d in dilations):
        values["dilation"] = dilations
    return Op("mbconv", (shape,), output, sorted_attributes(values))


@_made_once
def separable(shape: Shape, channels: int, *, kernel: PerAxis = 3, dilation: PerAxis = 1, act: str = "relu") -> Op:
    """Make a depthwise convolution and a 1x1 convolution to `channels` behind it."""
    attributes = sorted_attributes(
        {
            "kernel": _per_axis(shape, kernel, "kernel"),
            "dilation": _per_axis(shape, dilation, "dilation"),
            "act": act,
        }
    )
    return Op("separable", (shape,), (channels, *shape[1:]), attributes)


@_made_once
def head(shape: Shape, classes: int, *, hidden: int, features: int) -> Op:
    """Make MobileNetV3's classifier."""
    return Op("head", (shape,), (classes,), (("features", features), ("hidden", hidden)))


@_made_once
def join(first: Shape, *others: Shape) -> Op:
    """Put the places of feature maps of several sizes one behind the other."""
    shapes = (first, *others)
    return Op("join", shapes, (first[0], sum(math.prod(shape[1:]) for shape in shapes)))


@_made_once
def detections(
    shape: Shape,
    levels: Sequence[Sequence[int]],
    *,
    most: int = 100,
    candidates: int = 300,
    iou: int = 60,
    score: int = 5,
) -> Op:
    """Make the boxes that a detector finds, after non-maximum suppression.

    Args:
        shape: ``(classes + 5, places)``: what the detector says of each place.
        levels: Height and width of each map, in the order of their places.
        most: Rows of the result; fewer where there are not so many pairs of place and class.
        candidates: Pairs of place and class that are decoded.
        iou: Largest intersection over union of two boxes of one class, in percent.
        score: Least score, in percent.
    """
    pairs = max(1, (shape[0] - BOX_VALUES) * shape[1])
    attributes = sorted_attributes(
        {
            "levels": tuple(n for level in levels for n in level),
            "candidates": min(candidates, pairs),
            "iou": iou,
            "score": score,
        }
    )
    return Op("detections", (shape,), (min(most, candidates, pairs), DETECTION_VALUES), attributes)


def _strided(shape: Shape, channels: int, stride: PerAxis) -> Shape:
    """Compute the output shape of a "same" convolution."""
    strides = _per_axis(shape, stride, "stride")
    return (channels, *(math.ceil(n / s) for n, s in zip(shape[1:], strides, strict=True)))


def _per_axis(shape: Shape, value: PerAxis, name: str) -> Shape:
    """Spell out one integer for each axis of a feature map.

    Raises:
        OperatorError: `shape` is not that of a feature map, or `value` has another number of integers.
    """
    axes = len(shape) - 1
    if axes < 1:
        raise OperatorError(
            f"{name}: the shape must be that of a feature map (channels and 1-{MOST_AXES} axes), got {shape}"
        )
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes:
        raise OperatorError(f"{name} must be one integer or {axes} (one for each axis), got {len(values)}")
    return values
