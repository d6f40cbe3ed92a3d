"""The border between float32 and int8 ops, as a node of op graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from latency_tables import Op, Shape
from profilers._operators._base import BatchNorm, Emitter, FloatArray, Primitive, single_input

if TYPE_CHECKING:
    import torch

FLOAT, INT8 = "float32", "int8"
"""Element types of ops in networks of mixed precision."""


class Convert(Primitive):
    """Passes a tensor from float32 to int8 ops, or back; the op's dtype is that of the result.

    In a float network it does nothing. In the quantised file it is what the runtime executes where the precision
    changes: QuantizeLinear or DequantizeLinear, with changes of layout. `quantize_model` writes these nodes.
    """

    kind = "convert"

    def infer(self, op: Op) -> Shape:
        """Return the shape of the input."""
        return single_input(op)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write nothing: the float file has no conversions."""
        return inputs[0]

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Return the input."""
        return inputs[0]


def convert_op(shape: Shape, dtype: str) -> Op:
    """Make the op that converts a tensor to a dtype, `INT8` or `FLOAT`."""
    return Op(Convert.kind, (shape,), shape, dtype=dtype)


def read_dtype(op: Op) -> str:
    """Return the dtype of the tensors that an op reads."""
    if op.kind != Convert.kind:
        return op.dtype
    return INT8 if op.dtype == FLOAT else FLOAT
