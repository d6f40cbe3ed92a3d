"""Models of static shapes, which can be measured."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING

from hwnas._common._text import printable
from hwnas._errors import HwnasError

if TYPE_CHECKING:
    import onnx


class ModelError(HwnasError, ValueError):
    """An ONNX model that cannot be measured."""


def with_one_sample(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a copy whose dynamic batch axes are 1.

    The first axis of an input counts as its batch axis; axes of the same symbol are batch axes, too.

    Args:
        model: The model.
        name: What to call it in errors.

    Raises:
        ModelError: Another axis of an input is dynamic.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    weights = {tensor.name for tensor in copy.graph.initializer}
    inputs = [info for info in copy.graph.input if info.name not in weights]  # older files list initialisers, too
    firsts = [dims[0] for info in inputs if (dims := info.type.tensor_type.shape.dim)]
    batch = {dim.dim_param for dim in firsts if dim.dim_param}
    every = [dim for info in (*inputs, *copy.graph.output) for dim in info.type.tensor_type.shape.dim]
    for dim in (*firsts, *(dim for dim in every if dim.dim_param in batch)):
        if dim.dim_value <= 0:
            dim.dim_value = 1
    for info in inputs:
        _require_static(info, name)
    del copy.graph.value_info[:]  # may still hold the symbols
    return copy


def _require_static(info: onnx.ValueInfoProto, name: str) -> None:
    dims = info.type.tensor_type.shape.dim
    dynamic = [dim.dim_param or str(i) for i, dim in enumerate(dims) if dim.dim_value <= 0]
    if dynamic or not info.type.tensor_type.HasField("shape"):
        letters = dict(zip((i for i, dim in enumerate(dims) if dim.dim_value <= 0), _letters(dynamic), strict=True))
        shape = ",".join(letters.get(i, str(dim.dim_value)) for i, dim in enumerate(dims)) or "N,..."
        put = " and ".join(letters.values()) or "N,..."
        fixed = PurePath(name).with_name(f"{PurePath(name).stem}_fixed.onnx") if PurePath(name).name else "fixed.onnx"
        raise ModelError(
            f"{printable(name)}: input {printable(info.name)} has open sizes (axes "
            f"{printable(', '.join(dynamic)) or 'unknown'}); choose them: python -m onnxruntime.tools."
            f"make_dynamic_shape_fixed --input_name {shlex.quote(printable(info.name))} --input_shape {shape} "
            f"{shlex.quote(printable(name))} {shlex.quote(printable(str(fixed)))} (put numbers for {put})"
        )


def _letters(axes: list[str]) -> list[str]:
    """Return what stands for each open axis in a shape: its name in capitals, else ``S`` and its number."""
    named = [axis.upper() if axis.isascii() and axis.isidentifier() else f"S{i}" for i, axis in enumerate(axes, 1)]
    return named if len(set(named)) == len(named) else [f"S{i}" for i in range(1, len(axes) + 1)]
