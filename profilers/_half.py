"""Ops that torch computes in another way where a CPU trains in bfloat16. Needs torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as f

from latency_tables import Shape
from profilers._depthwise import DepthwiseConvolution, in_bfloat16

_OF_AXES: tuple[Callable[..., Tensor], ...] = (f.conv1d, f.conv2d, f.conv3d)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Tensor:
    """Return a convolution of ``(n, c, ...)`` over 1-3 axes.

    Where a CPU trains in bfloat16 (`torch.autocast`), convolutions in groups have slow gradients: those of feature maps
    with a group for each channel get faster ones, any others are computed in float32.

    Args:
        x: ``(n, c, ...)``.
        weight: ``(channels, c / groups, *kernel)``.
        bias: ``(channels,)``; None for none.
        stride: A number for each axis.
        padding: Zeros at both ends of each axis.
        dilation: A number for each axis.
        groups: Number of groups.
    """
    plain = _OF_AXES[len(stride) - 1]
    if groups == 1 or not torch.is_grad_enabled() or not in_bfloat16(x):
        return plain(x, weight, bias, stride, padding, dilation, groups)
    if len(stride) == 2 and max(dilation) == 1 and groups == len(weight) == x.shape[1]:
        y: Tensor = DepthwiseConvolution.apply(x, weight, stride, padding)  # type: ignore[no-untyped-call]
        return y if bias is None else y + bias.to(y.dtype).reshape(-1, 1, 1)
    with torch.autocast("cpu", enabled=False):
        return plain(x.float(), weight, bias, stride, padding, dilation, groups)


def global_mean(x: Tensor) -> Tensor:
    """Return the mean ``(n, c, 1, ...)`` of ``(n, c, ...)`` over all axes behind the channels."""
    if torch.is_grad_enabled() and in_bfloat16(x):
        mean: Tensor = GlobalMean.apply(x)  # type: ignore[no-untyped-call]
        return mean
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


class GlobalMean(torch.autograd.Function):
    """The mean over all axes behind the channels.

    Torch's own gradient is written out with channels first in memory. To add it to that of a feature map with channels
    last, as every squeeze-excite does, takes ten times as long as to add this one, which is not written out.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return ``(n, c, 1, ...)``."""
        ctx.shape = x.shape
        return x.mean(tuple(range(2, x.ndim)), keepdim=True)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        """Return the gradient of the input."""
        gradient: Tensor = (slope / math.prod(ctx.shape[2:])).expand(ctx.shape)
        return gradient
