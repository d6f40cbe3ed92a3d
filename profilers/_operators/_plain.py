"""Operators without weights: activations, sums, scaling, pooling, identity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from latency_tables import Op, Shape
from profilers._errors import OperatorError
from profilers._operators._base import (
    BatchNorm,
    Emitter,
    FloatArray,
    Primitive,
    apply_activation,
    checked_activation,
    emit_activation,
)

if TYPE_CHECKING:
    import torch


def _single(op: Op, rank: int | None = None) -> Shape:
    if len(op.inputs) != 1 or (rank is not None and len(op.inputs[0]) != rank):
        wanted = "one tensor" if rank is None else "one tensor of channels x height x width"
        raise OperatorError(f"op {op.key}: it reads {wanted}")
    return op.inputs[0]


class Activation(Primitive):
    """An element-wise function that could not be fused (attribute ``function``)."""

    kind = "activation"
    in_place = True

    def infer(self, op: Op) -> Shape:
        if checked_activation(op, "function") == "none":
            raise OperatorError(f"op {op.key}: an activation without a function; use identity")
        return _single(op)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        return emit_activation(emit, op.word("function"), inputs[0])

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        return apply_activation(op.word("function"), inputs[0])


class Identity(Primitive):
    """Passes its input on; `executed_graph` removes it."""

    kind = "identity"
    in_place = True

    def infer(self, op: Op) -> Shape:
        return _single(op)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        return emit.node("Identity", inputs)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        return inputs[0]


class Add(Primitive):
    """Sum of two tensors of one shape."""

    kind = "add"
    in_place = True

    def infer(self, op: Op) -> Shape:
        if len(op.inputs) != 2 or op.inputs[0] != op.inputs[1]:
            raise OperatorError(f"op {op.key}: it adds two tensors of one shape")
        return op.inputs[0]

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        return emit.node("Add", inputs)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        return inputs[0] + inputs[1]


class Scale(Primitive):
    """Multiplies every channel by a factor of its own: ``C x H x W`` times ``C x 1 x 1``."""

    kind = "scale"
    in_place = True

    def infer(self, op: Op) -> Shape:
        if len(op.inputs) != 2 or op.inputs[1] != (op.inputs[0][0], 1, 1):
            raise OperatorError(f"op {op.key}: it multiplies channels x height x width by channels x 1 x 1")
        return op.inputs[0]

    def macs(self, op: Op) -> int:
        return math.prod(op.output)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        return emit.node("Mul", inputs)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        return inputs[0] * inputs[1]


class Pool(Primitive):
    """Pooling (attributes ``kernel``, ``stride``, ``padding``, ``mode`` = ``average`` or ``max``).

    Averages leave padding out of the count.
    """

    kind = "pool"

    def infer(self, op: Op) -> Shape:
        channels, height, width = _single(op, 3)
        kernel, stride, padding = op.integer("kernel"), op.integer("stride"), op.integer("padding")
        if op.word("mode") not in ("average", "max") or 2 * padding > kernel or stride < 1:
            raise OperatorError(f"op {op.key}: mode average or max, padding at most half the kernel")
        out = [(n + 2 * padding - kernel) // stride + 1 for n in (height, width)]
        if min(out) < 1:
            raise OperatorError(f"op {op.key}: the kernel is larger than the image")
        return (channels, *out)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        kernel, stride, padding = op.integer("kernel"), op.integer("stride"), op.integer("padding")
        op_type = "AveragePool" if op.word("mode") == "average" else "MaxPool"
        return emit.node(op_type, inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[padding] * 4)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        from torch.nn import functional as f

        kernel, stride, padding = op.integer("kernel"), op.integer("stride"), op.integer("padding")
        if op.word("mode") == "max":
            return f.max_pool2d(inputs[0], kernel, stride, padding)
        return f.avg_pool2d(inputs[0], kernel, stride, padding, count_include_pad=False)


class GlobalPool(Primitive):
    """Mean over height and width: ``C x H x W`` to ``C x 1 x 1``."""

    kind = "global_pool"

    def infer(self, op: Op) -> Shape:
        return (_single(op, 3)[0], 1, 1)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        return emit.node("GlobalAveragePool", inputs)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        return inputs[0].mean((2, 3), keepdim=True)
