"""Models with inputs of fixed shapes, in one spelling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx

from profilers._errors import UnsupportedGraphError
from profilers._explain._graph import names_read, require_inputs
from profilers._read._file import fed_inputs

_CONSTANT_IR = 4
"""From this version on, initialisers need not be inputs; those that are may be replaced by what is fed."""
_BATCH = ("n", "b", "bs")
"""Names of an axis that stand for the batch; so does every name that holds ``batch``."""


def lists_constants(model: onnx.ModelProto) -> bool:
    """Return whether initialisers are listed as inputs, so that the runtime may not count on their values.

    Files of IR version 3 must list them, which means nothing there.
    """
    return model.ir_version >= _CONSTANT_IR and len(fed_inputs(model.graph)) < len(model.graph.input)


def fix_shapes(
    model: onnx.ModelProto, given: Mapping[str, Sequence[int]], *, constants: bool = True
) -> onnx.ModelProto:
    """Return the model with inputs of fixed shape, which are not initialisers.

    An axis without a number becomes 1 where it is the batch: the first one, one of a name like ``batch``, and every
    other one of the same name.

    Args:
        model: The model; it stays as it is.
        given: Shapes of inputs by name, batch axis included.
        constants: Whether initialisers that are listed as inputs become constants; False leaves them listed.

    Raises:
        UnsupportedGraphError: An axis has no number and is not the batch, or a shape does not fit the model.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    inputs = fed_inputs(fixed.graph)
    require_inputs(given, {value.name for value in inputs})
    batch = {axis for value in inputs if value.name not in given for axis in _batch_names(value)}
    for value in inputs:
        if not value.type.HasField("tensor_type"):
            raise UnsupportedGraphError(f"input {value.name!r} is no tensor, which cannot be measured")
        _fix_input(value, given.get(value.name), batch)
    fed = {value.name for value in inputs}
    listed = () if constants else [value for value in fixed.graph.input if value.name not in fed]
    del fixed.graph.input[:]
    fixed.graph.input.extend([*inputs, *listed])
    if constants:
        _drop_unused(fixed.graph)
    fixed.ir_version = max(_CONSTANT_IR, fixed.ir_version)
    del fixed.graph.value_info[:]  # they may state shapes of another batch
    for value in fixed.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    return fixed


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove initialisers that nothing reads."""
    read = {name for node in graph.node for name in names_read(node)} | {value.name for value in graph.output}
    for number in reversed(range(len(graph.initializer))):
        if graph.initializer[number].name not in read:
            del graph.initializer[number]


def _batch_names(value: onnx.ValueInfoProto) -> Iterator[str]:
    """Yield the names of axes of an input that stand for the batch."""
    for place, axis in enumerate(value.type.tensor_type.shape.dim):
        name = axis.dim_param
        if name and (place == 0 or "batch" in name.lower() or name.lower() in _BATCH):
            yield name


def _fix_input(value: onnx.ValueInfoProto, given: Sequence[int] | None, batch: set[str]) -> None:
    axes = value.type.tensor_type.shape.dim
    if given is None and not value.type.tensor_type.HasField("shape"):
        raise UnsupportedGraphError(f"input {value.name!r} has no shape; give it: --shape {value.name}=SIZES")
    if given is not None:
        fits = len(axes) in (0, len(given)) and all(size > 0 for size in given)
        if not fits or any(axis.dim_value not in (0, size) for axis, size in zip(axes, given, strict=False)):
            stated = "x".join(str(axis.dim_value or axis.dim_param or "?") for axis in axes)
            raise UnsupportedGraphError(f"input {value.name!r} has shape {stated}, got {'x'.join(map(str, given))}")
        del axes[:]
        for size in given:
            axes.add().dim_value = size
        return
    for place, axis in enumerate(axes):
        if axis.dim_value > 0:
            continue
        if place == 0 or axis.dim_param in batch:
            axis.ClearField("dim_param")
            axis.dim_value = 1
            continue
        shape = ",".join(str(other.dim_value or (1 if i == 0 else "?")) for i, other in enumerate(axes))
        raise UnsupportedGraphError(
            f"axis {place} of input {value.name!r} has no size; give the whole shape: --shape {value.name}={shape}"
        )
