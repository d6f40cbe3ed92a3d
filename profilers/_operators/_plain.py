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
    convolved_sizes,
    emit_activation,
    single_input,
    torch_padding,
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
    """Pooling over 1-3 axes; averages leave padding out of the count, unless ``count_padding=1``.

    Attributes of the op: ``kernel``, ``stride`` and ``padding`` (an integer, or one for each axis), ``end_padding``
    (where the padding at the end of an axis differs) and ``mode`` (``average`` or ``max``).
    """

    kind = "pool"

    def infer(self, op: Op) -> Shape:
        """Compute ``(channels, (n + padding + end_padding - kernel) // stride + 1, ...)``; check the attributes."""
        sizes = axis_sizes(op, single_input(op))
        kernel, stride, pads = _pool_window(op)
        if op.word("mode") not in ("average", "max"):
            raise OperatorError(f"op {op.key}: the mode must be average or max, got {op.word('mode')}")
        begins, ends = zip(kernel, pads, strict=False), zip(kernel, pads[len(sizes) :], strict=True)
        fits = all(0 <= 2 * p <= k for k, p in begins) and all(0 <= p < k for k, p in ends)
        if min(*kernel, *stride) < 1 or not fits:
            raise OperatorError(
                f"op {op.key}: kernel and stride must be 1 or more, padding 0 to half the kernel, "
                "end_padding less than the kernel"
            )
        output = convolved_sizes(sizes, kernel, stride, (1,) * len(sizes), pads)
        if min(output) < 1:
            raise OperatorError(f"op {op.key}: the kernel is larger than the feature map")
        return (op.inputs[0][0], *output)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write AveragePool or MaxPool."""
        kernel, stride, pads = map(list, _pool_window(op))
        op_type = "AveragePool" if op.word("mode") == "average" else "MaxPool"
        more = {"count_include_pad": 1} if op.integer("count_padding", 0) else {}
        return emit.node(op_type, inputs, kernel_shape=kernel, strides=stride, pads=pads, **more)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the average or the maximum."""
        from torch.nn import functional as f

        kernel, stride, pads = _pool_window(op)
        if op.word("mode") == "max":
            x, padding = torch_padding(inputs[0], pads, -math.inf)
            largest: Any = (f.max_pool1d, f.max_pool2d, f.max_pool3d)[len(kernel) - 1]
            return cast("torch.Tensor", largest(x, kernel, stride, padding))
        apart = len(kernel) == 3  # torch refuses kernels of three axes that are larger than the unpadded map
        x, padding = torch_padding(inputs[0], pads, always=apart)
        average: Any = (f.avg_pool1d, f.avg_pool2d, f.avg_pool3d)[len(kernel) - 1]
        counted = bool(op.integer("count_padding", 0))
        mean: torch.Tensor = average(x, kernel, stride, padding, count_include_pad=counted)
        if counted or x is inputs[0]:
            return mean
        inside, _ = torch_padding(inputs[0].new_ones(1, 1, *inputs[0].shape[2:]), pads, always=apart)
        share: torch.Tensor = average(inside, kernel, stride)
        return mean / share


def _pool_window(op: Op) -> tuple[Shape, Shape, Shape]:
    """Return kernel and stride with one number for each axis, and the padding at all beginnings, then all ends."""
    axes = len(op.inputs[0]) - 1
    padding = op.integers("padding", axes)
    ends = op.integers("end_padding", axes) if "end_padding" in dict(op.attributes) else padding
    return op.integers("kernel", axes), op.integers("stride", axes), (*padding, *ends)


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
        from profilers._half import global_mean

        return global_mean(inputs[0])


class Softmax(Primitive):
    """Softmax over one axis of each sample (attribute ``axis``, counted from 0 behind the batch axis)."""

    kind = "softmax"
    in_place = True

    def infer(self, op: Op) -> Shape:
        """Return the shape of the input; raise `OperatorError` where the axis does not exist."""
        shape = single_input(op)
        if not 0 <= op.integer("axis") < len(shape):
            raise OperatorError(f"op {op.key}: the axis must be from 0 to {len(shape) - 1}")
        return shape

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Softmax."""
        return emit.node("Softmax", inputs, axis=op.integer("axis") + 1)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the softmax."""
        return inputs[0].softmax(op.integer("axis") + 1)
