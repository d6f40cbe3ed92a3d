"""`read_onnx`: from an ONNX file to an op graph with weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from latency_tables import GraphError, Shape
from profilers._errors import ModelFileError, OperatorError
from profilers._read import _rules_dense, _rules_places, _rules_plain  # noqa: F401  (they register their rules)
from profilers._read._file import fed_inputs, load
from profilers._read._generic_nodes import write_generic
from profilers._read._infer import TensorType, infer
from profilers._read._limits import MAX_BYTES
from profilers._read._model import ReadModel
from profilers._read._translate import Translation

_EXAMPLE = 224
"""The size of an open axis in the example that an error gives."""


def read_onnx(
    source: Path | str | bytes,
    *,
    batch: int | None = None,
    shapes: Mapping[str, Shape] | None = None,
    max_bytes: int = MAX_BYTES,
    label: str = "",
) -> ReadModel:
    """Read an ONNX file, or its content, into an op graph with weights.

    Args:
        source: The file, or its content.
        batch: The batch size where the file leaves it open; 1 by default.
        shapes: Shapes without the batch axis of inputs whose axes the file leaves open, by name.
        max_bytes: Most bytes of the file with its external data, and of the constants computed from it.
        label: What errors call the file; its path by default.

    Raises:
        ModelFileError: The file cannot be read, is damaged or too large, or holds what an op graph cannot.
    """
    label = label or ("ONNX model" if isinstance(source, bytes) else str(source))
    try:
        file = load(source if isinstance(source, bytes) else Path(source), max_bytes)
        graph = file.model.graph
        inputs = _inputs(graph, batch, shapes or {})
        size = next(iter(inputs.values())).shape[0] if next(iter(inputs.values())).shape else 1
        translation = Translation(infer(graph, file.opset, inputs, file.initializers, max_bytes), size)
        network = translation.run(write_generic)
    except (ModelFileError, OperatorError, GraphError) as error:
        raise ModelFileError(f"{label}: {error}") from None
    except MemoryError:
        raise ModelFileError(f"{label}: there is not enough memory to read it") from None
    live = {node.name for node in network.nodes}
    weights = {name: value for name, value in translation.weights.items() if name.rpartition(".")[0] in live}
    return ReadModel(
        network,
        weights,
        tuple(entry for entry in translation.generic if entry[0] in live),
        tuple(inputs),
        tuple(output.name for output in graph.output),
        size,
        file.opset,
        file.sha256,
    )


def _inputs(graph: onnx.GraphProto, batch: int | None, shapes: Mapping[str, Shape]) -> dict[str, TensorType]:
    """Return the types of the inputs that are fed."""
    result = {info.name: _input_type(info, batch, shapes.get(info.name)) for info in fed_inputs(graph)}
    if not result:
        raise ModelFileError("the graph has no input")
    return result


def _input_type(info: onnx.ValueInfoProto, batch: int | None, shape: Shape | None) -> TensorType:
    tensor = info.type.tensor_type
    if info.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
        raise ModelFileError(f"the input {info.name!r} is not a tensor with a shape")
    stated = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else 0 for dim in tensor.shape.dim]
    if shape is not None:
        if len(shape) + 1 != len(stated) or any(n and n != m for n, m in zip(stated[1:], shape, strict=True)):
            raise ModelFileError(
                f"the input {info.name!r} has the shape {tuple(stated)}, got {tuple(shape)} without batch axis"
            )
        stated[1:] = shape
    if stated and not stated[0]:
        stated[0] = batch or 1
    if any(n == 0 for n in stated):
        raise ModelFileError(_open_text(info.name, stated))
    if batch is not None and stated and stated[0] != batch:
        raise ModelFileError(f"the file fixes the batch size at {stated[0]}, got {batch}")
    return TensorType(int(tensor.elem_type), tuple(stated))


def _open_text(name: str, stated: list[int]) -> str:
    """Return which axes of an input the file leaves open (0 in `stated`), and how to fix them."""
    axes = [str(axis) for axis, n in enumerate(stated) if n == 0]
    example = tuple(n or _EXAMPLE for n in stated)
    written = ",".join(map(str, example))
    return (
        f"input {name!r} has open sizes (ax{'e' if len(axes) > 1 else 'i'}s {', '.join(axes)}); fix them with python "
        f"-m onnxruntime.tools.make_dynamic_shape_fixed --input_name {name} --input_shape {written} FILE "
        f"FIXED, or in Python with read_onnx(FILE, shapes={{{name!r}: {example[1:]}}})"
    )
