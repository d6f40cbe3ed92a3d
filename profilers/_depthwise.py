"""Depthwise convolutions of feature maps in bfloat16 on a CPU, with gradients that are fast there. Needs torch.

oneDNN, which torch computes convolutions with, has fast bfloat16 code for three of four cases: the convolution itself,
the gradient of the weights of kernels of at most 3 taps along each axis, and the gradient of the input at stride 1.
The other two cases run 4 to 60 times slower than they must and would make a training in bfloat16 slower than one in
float32. `DepthwiseConvolution` takes other ways there that add up the same products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as f

Pair = tuple[int, int]
_TAPS = 3
"""Largest kernel, along an axis, whose weights have a fast gradient."""


def in_bfloat16(x: Tensor) -> bool:
    """Return whether convolutions of a tensor are computed in bfloat16 on a CPU, by `torch.autocast`."""
    return (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


class DepthwiseConvolution(torch.autograd.Function):
    """A depthwise convolution ``(n, c, h, w)`` without bias and dilation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        """Return ``(n, c, h', w')`` in bfloat16, for a weight ``(c, 1, kernel, kernel)``."""
        x, weight = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        with torch.autocast("cpu", enabled=False):
            return f.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Return the gradients of the input and of the weight."""
        x, weight = ctx.saved_tensors
        inputs, weights = ctx.needs_input_grad[:2]
        return (
            input_gradient(slope, x, weight, ctx.stride, ctx.padding) if inputs else None,
            weight_gradient(slope, x, weight, ctx.stride, ctx.padding) if weights else None,
            None,
            None,
        )


def input_gradient(slope: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return the gradient of the input.

    A convolution that strides is one of stride 1 of whose outputs only some are taken. The others have no slope.
    """
    if stride != (1, 1):
        places = [x.shape[2 + axis] + 2 * padding[axis] - weight.shape[2 + axis] + 1 for axis in (0, 1)]
        spread = slope.new_zeros((*slope.shape[:2], *places)).contiguous(memory_format=torch.channels_last)
        spread[..., :: stride[0], :: stride[1]] = slope
        slope = spread
    return _gradient(slope, x, weight, (1, 1), padding, 0)


def weight_gradient(slope: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return the gradient of the weight; a large kernel's is put together from those of kernels of 3 taps.

    The gradient of tap t sums the slope times the input at ``stride * place + t``. Taps with the same rest
    ``t mod stride`` read the same places of the input, one step apart: a convolution of stride 1 over these places.
    """
    if max(weight.shape[2:]) <= _TAPS:
        return _gradient(slope, x, weight, stride, padding, 1)
    padded = f.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    gradient = torch.empty_like(weight)
    height, width = slope.shape[2:]
    for row, rows in _blocks(weight.shape[2], stride[0]):
        for column, columns in _blocks(weight.shape[3], stride[1]):
            taps = (..., _taps(row, rows, stride[0]), _taps(column, columns, stride[1]))
            below, right = _taps(row, rows + height - 1, stride[0]), _taps(column, columns + width - 1, stride[1])
            part = padded[..., below, right].contiguous(memory_format=torch.channels_last)
            gradient[taps] = _gradient(slope, part, weight[taps].contiguous(), (1, 1), (0, 0), 1)
    return gradient


def _blocks(kernel: int, stride: int) -> list[tuple[int, int]]:
    """Return blocks of taps along an axis that cover a kernel: the first tap, and how many there are."""
    blocks = []
    for rest in range(min(stride, kernel)):
        count = len(range(rest, kernel, stride))
        size = min(_TAPS, count)
        starts = dict.fromkeys(min(start, count - size) for start in range(0, count, size))
        blocks += [(rest + stride * start, size) for start in starts]
    return blocks


def _taps(first: int, count: int, stride: int) -> slice:
    return slice(first, first + stride * (count - 1) + 1, stride)


def _gradient(slope: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, which: int) -> Tensor:
    """Return torch's own gradient of the input (0) or of the weight (1)."""
    wanted = [which == 0, which == 1, False]
    with torch.autocast("cpu", enabled=False):
        gradients = torch.ops.aten.convolution_backward(
            slope, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), wanted
        )
    gradient: Tensor = gradients[which]
    return gradient
