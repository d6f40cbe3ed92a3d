"""Operators without weights that move what a tensor holds: concatenation, slices, upsampling, axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from latency_tables import Op, Shape
from profilers._errors import OperatorError
from profilers._operators._base import BatchNorm, Emitter, FloatArray, Primitive, axis_sizes, single_input

if TYPE_CHECKING:
    import torch


class Concat(Primitive):
    """Puts tensors side by side along the channels; their other axes must agree."""

    kind = "concat"

    def infer(self, op: Op) -> Shape:
        """Compute ``(sum of channels, *axes)``; raise `OperatorError` where other axes differ."""
        if len(op.inputs) < 2 or len({shape[1:] for shape in op.inputs}) != 1:
            raise OperatorError(f"op {op.key}: concat needs two or more inputs that differ only in their channels")
        return (sum(shape[0] for shape in op.inputs), *op.inputs[0][1:])

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Concat along axis 1."""
        return emit.node("Concat", inputs, axis=1)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Concatenate the inputs along axis 1."""
        import torch

        return torch.cat(list(inputs), 1)


class Slice(Primitive):
    """Some of the channels (or features): ``channels`` of them, from number ``start``, counted from 0."""

    kind = "slice"

    def infer(self, op: Op) -> Shape:
        """Compute ``(channels, *axes)``; raise `OperatorError` where the slice exceeds the input."""
        shape, start, channels = single_input(op), op.integer("start"), op.integer("channels")
        if start < 0 or channels < 1 or start + channels > shape[0]:
            raise OperatorError(f"op {op.key}: the slice must be within the {shape[0]} channels of the input")
        return (channels, *shape[1:])

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Slice along axis 1."""
        start = op.integer("start")
        ends = (("starts", start), ("ends", start + op.integer("channels")), ("axes", 1))
        return emit.node("Slice", [inputs[0], *(emit.integers(name, [value]) for name, value in ends)])

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Narrow the input along axis 1."""
        return inputs[0].narrow(1, op.integer("start"), op.integer("channels"))


class Shift(Primitive):
    """Moves some channels by one step along the first axis behind the channels (time): the temporal shift.

    The first ``channels`` channels take the values of the next step, the next ``channels`` those of the step before,
    zeros at the ends; the others stay (Lin et al. 2019, arXiv 1811.08383, section 3.2, bidirectional).
    """

    kind = "shift"

    def infer(self, op: Op) -> Shape:
        """Return the shape of the input; raise `OperatorError` where there are too few channels or steps."""
        shape, moved = single_input(op), op.integer("channels")
        steps = axis_sizes(op, shape)[0]
        if moved < 1 or 2 * moved >= shape[0] or steps < 2:
            raise OperatorError(
                f"op {op.key}: shift needs 2 steps or more, and channels from 1 to below half of the input's {shape[0]}"
            )
        return shape

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Slice and Pad for both moved parts, Slice for the rest, and Concat."""
        moved, (channels, steps, *others) = op.integer("channels"), op.inputs[0]

        def part(name: str, starts: tuple[int, int], ends: tuple[int, int], pads: tuple[int, int] | None) -> str:
            """Cut channels and steps out of the input; put zeros before and after the steps."""
            limits = (("starts", starts), ("ends", ends), ("axes", (1, 2)))
            cut = emit.node("Slice", [inputs[0], *(emit.integers(f"{name}_{key}", list(v)) for key, v in limits)])
            if pads is None:
                return cut
            rest = [0] * len(others)
            return emit.node("Pad", [cut, emit.integers(f"{name}_pads", [0, 0, pads[0], *rest, 0, 0, pads[1], *rest])])

        parts = [
            part("next", (0, 1), (moved, steps), (0, 1)),
            part("last", (moved, 0), (2 * moved, steps - 1), (1, 0)),
            part("same", (2 * moved, 0), (channels, steps), None),
        ]
        return emit.node("Concat", parts, axis=1)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Move the channels."""
        import torch

        x, moved = inputs[0], op.integer("channels")
        y = torch.zeros_like(x)
        y[:, :moved, :-1] = x[:, :moved, 1:]
        y[:, moved : 2 * moved, 1:] = x[:, moved : 2 * moved, :-1]
        y[:, 2 * moved :] = x[:, 2 * moved :]
        return y


class Upsample(Primitive):
    """Nearest-neighbour upsampling of feature maps: every element is repeated.

    Attribute of the op: ``factor`` (an integer, or one for each axis).
    """

    kind = "upsample"

    def infer(self, op: Op) -> Shape:
        """Compute ``(channels, n * factor, ...)``; raise `OperatorError` for factors below 1 or all equal to 1."""
        sizes = axis_sizes(op, single_input(op))
        factors = op.integers("factor", len(sizes))
        if min(factors) < 1 or max(factors) == 1:
            raise OperatorError(f"op {op.key}: every factor must be 1 or more, and at least one 2 or more")
        return (op.inputs[0][0], *(n * factor for n, factor in zip(sizes, factors, strict=True)))

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Resize with nearest neighbours."""
        factors = op.integers("factor", len(op.output) - 1)
        scales = emit.constant("scales", np.array([1, 1, *factors], dtype=np.float32))
        return emit.node(
            "Resize",
            [inputs[0], "", scales],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Repeat every element `factor` times along each axis."""
        y = inputs[0]
        for axis, factor in enumerate(op.integers("factor", len(op.output) - 1), start=2):
            y = y if factor == 1 else y.repeat_interleave(factor, axis)
        return y


class Reshape(Primitive):
    """Arranges the elements of each sample in another shape, in their order; the output states it."""

    kind = "reshape"
    in_place = True

    def infer(self, op: Op) -> Shape:
        """Return the stated output; raise `OperatorError` where it holds another number of elements."""
        if math.prod(single_input(op)) != math.prod(op.output):
            raise OperatorError(f"op {op.key}: reshape must keep the number of elements")
        return op.output

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Flatten where the result has one axis, otherwise Reshape; both keep the batch axis."""
        if len(op.output) == 1:
            return emit.node("Flatten", inputs, axis=1)
        return emit.node("Reshape", [inputs[0], emit.integers("shape", [0, *op.output])])

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Arrange the elements."""
        return inputs[0].reshape(-1, *op.output)


class Transpose(Primitive):
    """Reorders the axes of each sample: axis i of the result is axis ``axes[i]`` of the input, counted from 0."""

    kind = "transpose"

    def infer(self, op: Op) -> Shape:
        """Compute the reordered shape; raise `OperatorError` where `axes` is not a permutation."""
        shape, axes = single_input(op), op.integers("axes", len(op.inputs[0]))
        if sorted(axes) != list(range(len(shape))):
            raise OperatorError(f"op {op.key}: axes must name each of the {len(shape)} axes once, counted from 0")
        return tuple(shape[axis] for axis in axes)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write Transpose."""
        return emit.node("Transpose", inputs, perm=self._with_batch(op))

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Reorder the axes."""
        return inputs[0].permute(self._with_batch(op))

    def _with_batch(self, op: Op) -> list[int]:
        return [0, *(axis + 1 for axis in op.integers("axes", len(op.inputs[0])))]
