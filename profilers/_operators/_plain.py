"""Operators without weights that keep what a tensor holds in place: activations, sums, products, pooling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from latency_tables import Op, Shape
from profilers._errors import OperatorError
from profilers._operators._base import (
    BatchNorm,
    Emitter,
    FloatArray,
    Primitive,
    apply_activation,
    axis_sizes,
    checked_activation,
    emit_activation,
    single_input,
)

if TYPE_CHECKING:
    import torch


class Activation(Primitive):
    """An element-wise function that could not be fused (attribute ``function``)."""

    kind = "activation"
    in_place = True

    def infer(self, op: Op) -> Shape:
        """Return the shape of the input; raise `OperatorError` for an unknown function or none."""
        if checked_activation(op, "function") == "none":
            raise OperatorError(f"op {op.key}: the function must not be none; use the op identity")
        return single_input(op)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write the nodes of the activation."""
        return emit_activation(emit, op.word("function"), inputs[0])

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the activation."""
        return apply_activation(op.word("function"), inputs[0])


class Identity(Primitive):
    """Passes its input on; `executed_graph` removes it."""

    kind = "identity"
    in_place = True

    def infer(self, op: Op) -> Shape:
        """Return the shape of the input."""
        return single_input(op)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Identity."""
        return emit.node("Identity", inputs)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Return the input."""
        return inputs[0]


class Add(Primitive):
    """Sum of two tensors of one shape."""

    kind = "add"
    in_place = True

    def infer(self, op: Op) -> Shape:
        """Return the shape of both inputs; raise `OperatorError` where they differ."""
        if len(op.inputs) != 2 or op.inputs[0] != op.inputs[1]:
            raise OperatorError(f"op {op.key}: add needs two inputs of the same shape")
        return op.inputs[0]

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Add."""
        return emit.node("Add", inputs)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the sum."""
        return inputs[0] + inputs[1]


class Multiply(Primitive):
    """Element-wise product of two tensors of one shape."""

    kind = "mul"
    in_place = True

    def infer(self, op: Op) -> Shape:
        """Return the shape of both inputs; raise `OperatorError` where they differ."""
        if len(op.inputs) != 2 or op.inputs[0] != op.inputs[1]:
            raise OperatorError(f"op {op.key}: mul needs two inputs of the same shape")
        return op.inputs[0]

    def macs(self, op: Op) -> int:
        """Count one for each element."""
        return math.prod(op.output)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Mul."""
        return emit.node("Mul", inputs)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the product."""
        return inputs[0] * inputs[1]


class Scale(Multiply):
    """Multiplies each channel by its own factor: ``c x h x w`` times ``c x 1 x 1``, and so in every rank."""

    kind = "scale"

    def infer(self, op: Op) -> Shape:
        """Return the shape of the first input; raise `OperatorError` unless the second is ``(channels, 1, ...)``."""
        if len(op.inputs) != 2 or op.inputs[1] != (op.inputs[0][0], *(1,) * (len(op.inputs[0]) - 1)):
            raise OperatorError(
                f"op {op.key}: scale needs two inputs, the second with one factor for each channel of the first"
            )
        return op.inputs[0]


class Pool(Primitive):
    """Pooling over 1-3 axes; averages leave padding out of the count.

    Attributes of the op: ``kernel``, ``stride`` and ``padding`` (an integer, or one for each axis) and ``mode``
    (``average`` or ``max``).
    """

    kind = "pool"

    def infer(self, op: Op) -> Shape:
        """Compute ``(channels, (n + 2 padding - kernel) // stride + 1, ...)``; check the attributes."""
        sizes = axis_sizes(op, single_input(op))
        kernel, stride, padding = _pool_window(op)
        if op.word("mode") not in ("average", "max"):
            raise OperatorError(f"op {op.key}: the mode must be average or max, got {op.word('mode')}")
        if min(kernel) < 1 or min(stride) < 1 or any(not 0 <= 2 * p <= k for p, k in zip(padding, kernel, strict=True)):
            raise OperatorError(f"op {op.key}: kernel and stride must be 1 or more, padding 0 to half the kernel")
        output = pooled_sizes(sizes, kernel, stride, padding)
        if min(output) < 1:
            raise OperatorError(f"op {op.key}: the kernel is larger than the feature map")
        return (op.inputs[0][0], *output)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write AveragePool or MaxPool."""
        kernel, stride, padding = map(list, _pool_window(op))
        op_type = "AveragePool" if op.word("mode") == "average" else "MaxPool"
        return emit.node(op_type, inputs, kernel_shape=kernel, strides=stride, pads=padding * 2)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the average, without padding in the count, or the maximum."""
        from torch.nn import functional as f

        kernel, stride, padding = _pool_window(op)
        if op.word("mode") == "max":
            largest: Any = (f.max_pool1d, f.max_pool2d, f.max_pool3d)[len(kernel) - 1]
            return cast("torch.Tensor", largest(inputs[0], kernel, stride, padding))
        average: Any = (f.avg_pool1d, f.avg_pool2d, f.avg_pool3d)[len(kernel) - 1]
        return cast("torch.Tensor", average(inputs[0], kernel, stride, padding, count_include_pad=False))


def _pool_window(op: Op) -> tuple[Shape, Shape, Shape]:
    """Return kernel, stride and padding of a pooling, each with one number for each axis."""
    axes = len(op.inputs[0]) - 1
    return op.integers("kernel", axes), op.integers("stride", axes), op.integers("padding", axes)


def pooled_sizes(sizes: Shape, kernel: Shape, stride: Shape, padding: Shape) -> Shape:
    """Compute the extents after a pooling, one for each axis."""
    windows = zip(sizes, kernel, stride, padding, strict=True)
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in windows)


class GlobalPool(Primitive):
    """Mean over all axes behind the channels: ``c x h x w`` to ``c x 1 x 1``, and so in every rank."""

    kind = "global_pool"

    def infer(self, op: Op) -> Shape:
        """Compute ``(channels, 1, ...)``."""
        shape = single_input(op)
        return (shape[0], *(1 for _ in axis_sizes(op, shape)))

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write GlobalAveragePool."""
        return emit.node("GlobalAveragePool", inputs)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the mean over all axes behind the channels."""
        return inputs[0].mean(tuple(range(2, len(op.inputs[0]) + 1)), keepdim=True)
