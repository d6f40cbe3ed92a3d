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
    axis_sizes,
    checked_activation,
    convolved_sizes,
    emit_activation,
    same_padding,
    single_input,
    torch_padding,
)

if TYPE_CHECKING:
    import torch

NORMS = ("batch", "bias", "none")


def _norm_parameters(channels: int) -> dict[str, Parameter]:
    shape = (channels,)
    return {
        "gamma": Parameter(shape, "one", own=True),
        "beta": Parameter(shape, "zero", own=True),
        "mean": Parameter(shape, "zero", trainable=False, own=True),
        "variance": Parameter(shape, "one", trainable=False, own=True),
    }


def _norm_scale(values: Mapping[str, FloatArray]) -> FloatArray:
    scale: FloatArray = values["gamma"] / np.sqrt(values["variance"] + np.float32(NORM_EPSILON))
    return scale


class Convolution(Primitive):
    """Convolution over 1-3 axes with batch norm (or bias), a residual input and an activation.

    Attributes of the op: ``kernel``, ``stride`` and ``dilation`` (an integer, or one for each axis; a dilation of 1 is
    left out), ``groups`` (as many as channels: a depthwise convolution), ``norm`` (``batch``, ``bias``, ``none``),
    ``act``, and ``add=1`` where a second input of the output's shape is added before the activation.

    Without ``pads`` the kernel is odd and the padding is "same": half the kernel at each end. ``pads`` states any other
    padding as ONNX does: zeros at the beginning of each axis, then at the end of each.
    """

    kind = "conv"

    def infer(self, op: Op) -> Shape:
        """Compute ``(channels, ceil(n / stride), ...)``; raise `OperatorError` for malformed attributes."""
        if not op.inputs:
            raise OperatorError(f"op {op.key}: conv needs an input")
        sizes, channels, groups = axis_sizes(op, op.inputs[0]), op.inputs[0][0], op.integer("groups")
        kernel, stride, dilation = _window(op)
        same = "pads" not in dict(op.attributes)
        if (same and any(k < 1 or k % 2 == 0 for k in kernel)) or min(*kernel, *stride, *dilation, groups) < 1:
            raise OperatorError(
                f"op {op.key}: the kernel must be odd (or pads given); stride, dilation and groups must be 1 or more"
            )
        if dict(op.attributes).get("dilation") == 1:
            raise OperatorError(f"op {op.key}: omit a dilation of 1")
        if channels % groups or op.output[0] % groups:
            raise OperatorError(
                f"op {op.key}: groups must divide the numbers of input and output channels, got {groups}"
            )
        if op.word("norm") not in NORMS:
            raise OperatorError(f"op {op.key}: unknown norm {op.word('norm')!r}; known: {', '.join(NORMS)}")
        checked_activation(op)
        shape = (op.output[0], *convolved_sizes(sizes, kernel, stride, dilation, _padding(op)))
        if min(shape) < 1 or min(_padding(op)) < 0:
            raise OperatorError(f"op {op.key}: the kernel is larger than the feature map, or pads are below 0")
        extra = op.inputs[1:]
        if extra != ((shape,) if op.integer("add", 0) else ()):
            raise OperatorError(f"op {op.key}: conv needs one input, and with add=1 a second one of the output's shape")
        return shape

    def parameters(self, op: Op) -> dict[str, Parameter]:
        """List the weight ``(out, in / groups, *kernel)`` and the parameters of the norm."""
        kernel, _, _ = _window(op)
        shape = (op.output[0], op.inputs[0][0] // op.integer("groups"), *kernel)
        weights = {"weight": Parameter(shape, "he", centred_axes=tuple(range(2, len(shape))))}
        if op.word("norm") == "batch":
            weights |= _norm_parameters(op.output[0])
        elif op.word("norm") == "bias":
            weights["bias"] = Parameter((op.output[0],), "zero")
        return weights

    def macs(self, op: Op) -> int:
        """Count ``prod(output) * (in / groups) * prod(kernel)``."""
        kernel, _, _ = _window(op)
        return math.prod(op.output) * (op.inputs[0][0] // op.integer("groups")) * math.prod(kernel)

    def fold(self, op: Op, values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Fold a batch norm: ``w s`` and ``beta - mean s`` with ``s = gamma / sqrt(variance + epsilon)``."""
        if op.word("norm") != "batch":
            return dict(values)
        scale, weight = _norm_scale(values), values["weight"]
        return {
            "weight": weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)),
            "bias": values["beta"] - values["mean"] * scale,
        }

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Conv, then Add for a residual input, then the activation."""
        kernel, stride, dilation = _window(op)
        operands = [inputs[0], *(emit.constant(n, weights[n]) for n in ("weight", "bias") if n in weights)]
        more = {"dilations": list(dilation)} if max(dilation) > 1 else {}
        y = emit.node(
            "Conv",
            operands,
            kernel_shape=list(kernel),
            strides=list(stride),
            pads=list(_padding(op)),
            group=op.integer("groups"),
            **more,
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
        """Compute the convolution, the batch norm, the residual sum and the activation."""
        from profilers._half import convolve

        _, stride, dilation = _window(op)
        x, padding = torch_padding(inputs[0], _padding(op))
        y = convolve(x, parameters["weight"], parameters.get("bias"), stride, padding, dilation, op.integer("groups"))
        if op.word("norm") == "batch":
            y = norm(y, parameters)
        if op.integer("add", 0):
            y = y + inputs[1]
        return apply_activation(op.word("act"), y)


def _window(op: Op) -> tuple[Shape, Shape, Shape]:
    """Return kernel, stride and dilation of a convolution, each with one number for each axis."""
    axes = len(op.inputs[0]) - 1
    return op.integers("kernel", axes), op.integers("stride", axes), op.integers("dilation", axes, 1)


def _padding(op: Op) -> Shape:
    """Return the zeros at the beginning of each axis, then at the end of each."""
    kernel, _, dilation = _window(op)
    if "pads" in dict(op.attributes):
        return op.integers("pads", 2 * len(kernel))
    return same_padding(kernel, dilation)


class Linear(Primitive):
    """Fully connected layer with bias over a flattened input of any rank, with an activation (attribute ``act``)."""

    kind = "linear"

    def infer(self, op: Op) -> Shape:
        """Return the stated ``(features,)``: the output sets the number of features."""
        if len(op.inputs) != 1 or len(op.output) != 1:
            raise OperatorError(f"op {op.key}: linear needs one input and an output (features,)")
        checked_activation(op)
        return op.output

    def parameters(self, op: Op) -> dict[str, Parameter]:
        """List the weight ``(out, in)`` and the bias ``(out,)``; in is the size of the flattened input."""
        features = math.prod(op.inputs[0])
        return {"weight": Parameter((op.output[0], features), "he"), "bias": Parameter(op.output, "zero")}

    def macs(self, op: Op) -> int:
        """Count ``prod(input) * out``."""
        return math.prod(op.inputs[0]) * op.output[0]

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Flatten where the input has axes, then Gemm, then the activation."""
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
        """Compute the linear layer over the flattened input, and the activation."""
        from torch.nn import functional as f

        y = f.linear(inputs[0].flatten(1), parameters["weight"], parameters["bias"])
        return apply_activation(op.word("act"), y)


class Normalisation(Primitive):
    """Stand-alone batch norm of features or feature maps, with an activation (attribute ``act``)."""

    kind = "norm"

    def infer(self, op: Op) -> Shape:
        """Return the shape of the input."""
        checked_activation(op)
        return single_input(op)

    def parameters(self, op: Op) -> dict[str, Parameter]:
        """List gamma, beta, mean and variance, ``(channels,)`` each."""
        return _norm_parameters(op.inputs[0][0])

    def macs(self, op: Op) -> int:
        """Count one for each element: a product and a sum with folded statistics."""
        return math.prod(op.output)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write BatchNormalization, then the activation."""
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
        """Compute the batch norm and the activation."""
        return apply_activation(op.word("act"), norm(inputs[0], parameters))


def folded_op(op: Op) -> Op:
    """Return a primitive op as it ships: a convolution has a bias in place of its batch norm."""
    if op.kind != Convolution.kind or op.word("norm") != "batch":
        return op
    return op.with_attributes(norm="bias")
