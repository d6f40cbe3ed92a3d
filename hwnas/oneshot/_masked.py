"""Primitive ops on tensors whose channels are partly there: a mask waits until something mixes channels.

A mask multiplies each channel, and so does whatever works channel by channel: it can wait. A convolution that mixes
channels takes the mask of its input into its weight, so a width that is mixed costs a product of weights, not of maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas._errors import EvaluatorError
from hwnas.oneshot._patterns import Weights
from hwnas.oneshot._routes import Kernel, SummedLayer, fastest_route, summed_convolution
from hwnas.oneshot._variants import Step, Taps, is_depthwise
from hwnas.training._trim import cut_tensor
from latency_tables import Op
from profilers import Parameter, RunningNorm, ops, primitive_of, weight_name

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
        if is_depthwise(op):
            channels, mask = mask, None
        elif mask is not None and op.integer("groups") > 1:
            raise EvaluatorError(f"mixture: {step.node.name} divides channels whose number is a choice into groups")
        values = [inputs[0].value]
        if len(inputs) > 1:
            values.append(inputs[1].value if inputs[1].mask is channels else inputs[1].applied())
        if step.taps is not None:
            return Masked(self._summed(step, step.taps, values, mask), channels)
        parameters = self._parameters(step, op)
        parameters["weight"] = _reading(parameters["weight"], mask)
        return Masked(self._forward(op, values, parameters), channels)

    def _summed(self, step: Step, taps: Taps, values: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """Compute a convolution whose kernel is a sum, by the fastest route, and what follows in its op."""
        op, x = step.node.op, values[0]
        parameters, kernels = primitive_of(op).parameters(op), list[Kernel]()
        name = weight_name(step.node.name, "weight", parameters["weight"])
        for dilation, kernel, pattern in taps.dilations:
            wanted = replace(parameters["weight"], shape=(*parameters["weight"].shape[:2], *kernel))
            weight = cut_tensor(self._weight(name), wanted, name) * self._weights.expected(pattern).reshape(kernel)
            kernels.append(Kernel(dilation, _reading(weight, mask)))
        stride, windows = op.integers("stride", x.ndim - 2), tuple((k, d) for d, k, _ in taps.dilations)
        layer = SummedLayer(tuple(x.shape), op.output[0], windows, stride, op.integer("groups"))
        y = summed_convolution(x, kernels, stride=stride, groups=layer.groups, route=fastest_route(layer))
        rest = {own: self._tensor(step, own, parameter) for own, parameter in parameters.items() if own != "weight"}
        if op.word("norm") == "batch":
            y = self._norm(y, rest)
        elif "bias" in rest:
            y = y + rest["bias"].reshape(-1, *(1,) * (y.ndim - 2))
        for residual in values[1:]:
            y = y + residual
        act = ops.activation(op.output, op.word("act"))
        return y if op.word("act") == "none" else self._forward(act, [y], {})

    def _parameters(self, step: Step, op: Op) -> dict[str, Tensor]:
        """Return the weights of an op of the largest extents."""
        return {name: self._tensor(step, name, own) for name, own in primitive_of(op).parameters(op).items()}

    def _tensor(self, step: Step, name: str, parameter: Parameter) -> Tensor:
        if not parameter.trainable:
            return _NO_STATISTICS
        full = weight_name(step.node.name, name, parameter)
        return cut_tensor(self._weight(full), parameter, full)

    def _weight(self, name: str) -> Tensor:
        if name not in self._shared:
            raise EvaluatorError(f"mixture: the supernet has no weight {name}")
        return self._shared[name]

    def _forward(self, op: Op, inputs: Sequence[Tensor], parameters: Mapping[str, Tensor]) -> Tensor:
        return primitive_of(op).forward(op, inputs, parameters, self._norm)


def _reading(weight: Tensor, mask: Tensor | None) -> Tensor:
    """Return a convolution's weight ``(out, in, ...)`` with the mask of the channels that it reads."""
    return weight if mask is None else weight * mask.reshape(1, -1, *(1,) * (weight.ndim - 2))


_NO_STATISTICS = torch.empty(0)
