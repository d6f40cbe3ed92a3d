"""Operators with weights: convolution, linear, stand-alone batch norm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from latency_tables import Op, Shape
from profilers._errors import OperatorError
from profilers._operators._base import (
    NORM_EPSILON,
    BatchNorm,
    Emitter,
    FloatArray,
    Parameter,
    Primitive,
    apply_activation,
    checked_activation,
    emit_activation,
)

if TYPE_CHECKING:
    import torch

NORMS = ("batch", "bias", "none")


def _norm_parameters(channels: int) -> dict[str, Parameter]:
    shape = (channels,)
    return {
        "gamma": Parameter(shape, "one"),
        "beta": Parameter(shape, "zero"),
        "mean": Parameter(shape, "zero", trainable=False),
        "variance": Parameter(shape, "one", trainable=False),
    }


def _norm_scale(values: Mapping[str, FloatArray]) -> FloatArray:
    scale: FloatArray = values["gamma"] / np.sqrt(values["variance"] + np.float32(NORM_EPSILON))
    return scale


class Convolution(Primitive):
    """2-D convolution, "same" padding, with batch norm (or bias), an optional residual input and an activation.

    Attributes of the op: ``kernel``, ``stride``, ``groups`` (integers), ``norm`` (``batch``, ``bias``, ``none``),
    ``act``, and ``add=1`` where a second input of the output's shape is added before the activation. With as many
    groups as channels it is a depthwise convolution.
    """

    kind = "conv"

    def infer(self, op: Op) -> Shape:
        if not op.inputs or len(op.inputs[0]) != 3:
            raise OperatorError(f"op {op.key}: a convolution reads channels x height x width")
        channels, height, width = op.inputs[0]
        kernel, stride, groups = op.integer("kernel"), op.integer("stride"), op.integer("groups")
        if kernel < 1 or kernel % 2 == 0 or stride < 1 or groups < 1:
            raise OperatorError(f"op {op.key}: the kernel must be odd, stride and groups positive")
        if channels % groups or op.output[0] % groups:
            raise OperatorError(f"op {op.key}: {groups} groups do not divide the channels")
        if op.word("norm") not in NORMS:
            raise OperatorError(f"op {op.key}: unknown norm {op.word('norm')!r}; known: {', '.join(NORMS)}")
        checked_activation(op)
        shape = (op.output[0], math.ceil(height / stride), math.ceil(width / stride))
        extra = op.inputs[1:]
        if extra != ((shape,) if op.integer("add", 0) else ()):
            raise OperatorError(f"op {op.key}: with add=1 the second input must have the output's shape")
        return shape

    def parameters(self, op: Op) -> dict[str, Parameter]:
        channels, kernel = op.inputs[0][0], op.integer("kernel")
        shape = (op.output[0], channels // op.integer("groups"), kernel, kernel)
        weights = {"weight": Parameter(shape, "he", centred_axes=(2, 3))}
        if op.word("norm") == "batch":
            weights |= _norm_parameters(op.output[0])
        elif op.word("norm") == "bias":
            weights["bias"] = Parameter((op.output[0],), "zero")
        return weights

    def macs(self, op: Op) -> int:
        channels, kernel = op.inputs[0][0], op.integer("kernel")
        return math.prod(op.output) * (channels // op.integer("groups")) * kernel * kernel

    def fold(self, op: Op, values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        if op.word("norm") != "batch":
            return dict(values)
        scale = _norm_scale(values)
        return {
            "weight": values["weight"] * scale[:, None, None, None],
            "bias": values["beta"] - values["mean"] * scale,
        }

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        kernel, stride = op.integer("kernel"), op.integer("stride")
        operands = [inputs[0], *(emit.constant(n, weights[n]) for n in ("weight", "bias") if n in weights)]
        y = emit.node(
            "Conv",
            operands,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=op.integer("groups"),
        )
        if op.integer("add", 0):
            y = emit.node("Add", [y, inputs[1]])
        return emit_activation(emit, op.word("act"), y)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        from torch.nn import functional as f

        weight, bias = parameters["weight"], parameters.get("bias")
        stride, padding = op.integer("stride"), op.integer("kernel") // 2
        y = f.conv2d(inputs[0], weight, bias, stride, padding, groups=op.integer("groups"))
        if op.word("norm") == "batch":
            y = norm(y, parameters)
        if op.integer("add", 0):
            y = y + inputs[1]
        return apply_activation(op.word("act"), y)


class Linear(Primitive):
    """Fully connected layer with bias over a flattened input, with an activation (attribute ``act``)."""

    kind = "linear"

    def infer(self, op: Op) -> Shape:
        if len(op.inputs) != 1 or len(op.output) != 1:
            raise OperatorError(f"op {op.key}: a linear layer reads one tensor and gives features")
        checked_activation(op)
        return op.output

    def parameters(self, op: Op) -> dict[str, Parameter]:
        features = math.prod(op.inputs[0])
        return {"weight": Parameter((op.output[0], features), "he"), "bias": Parameter(op.output, "zero")}

    def macs(self, op: Op) -> int:
        return math.prod(op.inputs[0]) * op.output[0]

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        x = inputs[0] if len(op.inputs[0]) == 1 else emit.node("Flatten", inputs, axis=1)
        operands = [x, emit.constant("weight", weights["weight"]), emit.constant("bias", weights["bias"])]
        return emit_activation(emit, op.word("act"), emit.node("Gemm", operands, transB=1))

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        from torch.nn import functional as f

        y = f.linear(inputs[0].flatten(1), parameters["weight"], parameters["bias"])
        return apply_activation(op.word("act"), y)


class Normalisation(Primitive):
    """Stand-alone batch norm with an activation (attribute ``act``)."""

    kind = "norm"

    def infer(self, op: Op) -> Shape:
        if len(op.inputs) != 1 or len(op.inputs[0]) != 3:
            raise OperatorError(f"op {op.key}: batch norm reads channels x height x width")
        checked_activation(op)
        return op.inputs[0]

    def parameters(self, op: Op) -> dict[str, Parameter]:
        return _norm_parameters(op.inputs[0][0])

    def macs(self, op: Op) -> int:
        return math.prod(op.output)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        operands = [emit.constant(n, weights[n]) for n in ("gamma", "beta", "mean", "variance")]
        y = emit.node("BatchNormalization", [inputs[0], *operands], epsilon=NORM_EPSILON)
        return emit_activation(emit, op.word("act"), y)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        return apply_activation(op.word("act"), norm(inputs[0], parameters))
