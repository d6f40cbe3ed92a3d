"""Primitive ops on tensors whose channels are partly there: a mask waits until something mixes channels.

A mask multiplies each channel, and so does whatever works channel by channel: it can wait. A convolution that mixes
channels takes the mask of its input into its weight, so a width that is mixed costs a product of weights, not of maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas._errors import EvaluatorError
from hwnas.oneshot._patterns import Weights
from hwnas.oneshot._variants import Step, Taps, is_depthwise
from hwnas.training._trim import cut_tensor
from latency_tables import Op
from profilers import Parameter, RunningNorm, primitive_of, weight_name

_CHANNELWISE = {"activation", "norm", "pool", "global_pool", "upsample", "identity"}


@dataclass(frozen=True)
class Masked:
    """A tensor ``(N, channels, ...)`` and the mask ``(channels,)`` that it still has to be multiplied by, if any."""

    value: Tensor
    mask: Tensor | None = None

    def applied(self) -> Tensor:
        """Return the tensor with its mask."""
        if self.mask is None:
            return self.value
        return self.value * self.mask.reshape(1, -1, *(1,) * (self.value.ndim - 2))

    def fitted(self, channels: int, *, certain: bool = False) -> Masked:
        """Return the leading channels, with zeros for those that are missing.

        Args:
            channels: How many.
            certain: Whether these channels are there for sure where the result is used, so that the mask goes.
        """
        have = self.value.shape[1]
        if have < channels:
            return Masked(_widened(self.applied(), channels))
        value = self.value if have == channels else self.value.narrow(1, 0, channels)
        mask = None if self.mask is None or certain else self.mask.narrow(0, 0, channels)
        return self if value is self.value and mask is not None else Masked(value, mask)


def added(terms: Sequence[tuple[Tensor | None, Masked]]) -> Masked:
    """Return the sum of tensors, each by its weight ``()`` (None for 1); those of fewer channels lack the last ones."""
    channels = max(term.value.shape[1] for _, term in terms)
    first = terms[0][1].mask
    if any(term.mask is not first or term.value.shape[1] < channels for _, term in terms):
        terms = [(weight, Masked(_widened(term.applied(), channels))) for weight, term in terms]
        first = None
    total: Tensor | None = None
    for weight, term in terms:
        value = term.value if weight is None else weight * term.value
        total = value if total is None else total + value
    assert total is not None
    return Masked(total, first)


def _widened(value: Tensor, channels: int) -> Tensor:
    missing = channels - value.shape[1]
    return f.pad(value, [*(0, 0) * (value.ndim - 2), 0, missing]) if missing else value


class Evaluation:
    """Computes steps of variants with shared weights.

    Args:
        shared: The shared weights by ``"node.parameter"``.
        weights: The probabilities.
        norm: How batch norms behave.
    """

    def __init__(self, shared: Mapping[str, Tensor], weights: Weights, norm: RunningNorm) -> None:
        self._shared, self._weights, self._norm = shared, weights, norm

    def step(self, step: Step, inputs: Sequence[Masked]) -> Masked:
        """Compute one primitive op.

        Raises:
            EvaluatorError: It mixes channels that are a choice, in a way that has no mask.
        """
        op, kind = step.node.op, step.node.op.kind
        channels = None if step.channels is None else self._weights.expected(step.channels)
        if kind == "conv":
            return self._convolution(step, inputs, channels)
        if kind == "linear":
            mask, read = inputs[0].mask, inputs[0].value.flatten(1)
            parameters = self._parameters(step, op)
            if mask is not None:
                parameters["weight"] = parameters["weight"] * mask.repeat_interleave(read.shape[1] // len(mask))
            return Masked(self._forward(op, [read], parameters), channels)
        if kind in ("scale", "mul"):
            mask = next((tensor.mask for tensor in inputs if tensor.mask is not None), None)
            return Masked(self._forward(op, [tensor.value for tensor in inputs], {}), mask)
        if kind == "add":
            return added([(None, tensor) for tensor in inputs])
        return self._other(step, inputs)

    def _other(self, step: Step, inputs: Sequence[Masked]) -> Masked:
        """Compute an op that has no weights between channels."""
        op, kind = step.node.op, step.node.op.kind
        masks = [tensor.mask for tensor in inputs]
        values = [tensor.value for tensor in inputs]
        if kind == "concat" and any(mask is not None for mask in masks):
            parts = [value.new_ones(value.shape[1]) if m is None else m for m, value in zip(masks, values, strict=True)]
            return Masked(self._forward(op, values, {}), torch.cat(parts))
        if kind == "slice" and masks[0] is not None:
            mask = masks[0].narrow(0, op.integer("start"), op.integer("channels"))
            return Masked(self._forward(op, values, {}), mask)
        if kind in _CHANNELWISE:
            return Masked(self._forward(op, values, self._parameters(step, op)), masks[0])
        if kind == "reshape":
            return Masked(self._forward(op, [inputs[0].applied()], {}))
        if any(mask is not None for mask in masks):
            raise EvaluatorError(
                f"mixture: {step.node.name} ({kind}) reads channels whose number is a choice, and no mask fits it; fix "
                "the widths before it"
            )
        return Masked(self._forward(op, values, self._parameters(step, op)))

    def _convolution(self, step: Step, inputs: Sequence[Masked], channels: Tensor | None) -> Masked:
        op, mask = step.node.op, inputs[0].mask
        parameters = self._parameters(step, op)
        if is_depthwise(op):
            channels = mask
        elif mask is not None:
            if op.integer("groups") > 1:
                raise EvaluatorError(f"mixture: {step.node.name} divides channels whose number is a choice into groups")
            weight = parameters["weight"]
            parameters["weight"] = weight * mask.reshape(1, -1, *(1,) * (weight.ndim - 2))
        values = [inputs[0].value]
        if len(inputs) > 1:
            values.append(inputs[1].value if inputs[1].mask is channels else inputs[1].applied())
        return Masked(self._forward(op, values, parameters), channels)

    def _parameters(self, step: Step, op: Op) -> dict[str, Tensor]:
        """Return the weights of an op of the largest extents."""
        return {name: self._tensor(step, name, own) for name, own in primitive_of(op).parameters(op).items()}

    def _tensor(self, step: Step, name: str, parameter: Parameter) -> Tensor:
        if not parameter.trainable:
            return _NO_STATISTICS
        full = weight_name(step.node.name, name, parameter)
        if full not in self._shared:
            raise EvaluatorError(f"mixture: the supernet has no weight {full}")
        if name == "weight" and step.taps is not None:
            return self._kernel(step.taps, self._shared[full], parameter, full)
        return cut_tensor(self._shared[full], parameter, full)

    def _kernel(self, taps: Taps, shared: Tensor, parameter: Parameter, name: str) -> Tensor:
        """Return the sum of kernels, each by its probability, in the middle of the widest."""
        total: Tensor | None = None
        for dilation, kernel, pattern in taps.dilations:
            wanted = Parameter((*parameter.shape[:2], *kernel), parameter.init, centred_axes=parameter.centred_axes)
            own = cut_tensor(shared, wanted, name) * self._weights.expected(pattern).reshape(kernel)
            if len(taps.dilations) > 1:
                own = _spread(own, dilation, taps.reach)
            total = own if total is None else total + own
        assert total is not None
        return total

    def _forward(self, op: Op, inputs: Sequence[Tensor], parameters: Mapping[str, Tensor]) -> Tensor:
        return primitive_of(op).forward(op, inputs, parameters, self._norm)


def _spread(kernel: Tensor, dilation: Sequence[int], reach: Sequence[int]) -> Tensor:
    """Return a kernel with zeros between its taps, in the middle of a wider one."""
    sizes = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[2:], strict=True)]
    spread = kernel
    if max(dilation) > 1:
        spread = kernel.new_zeros(*kernel.shape[:2], *sizes)
        every = tuple(slice(None, None, d) for d in dilation)
        spread[slice(None), slice(None), *every] = kernel
    ends = [(most - size) // 2 for most, size in zip(reach, sizes, strict=True)]
    return f.pad(spread, [end for end in reversed(ends) for _ in (0, 1)])


_NO_STATISTICS = torch.empty(0)
