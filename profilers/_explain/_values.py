"""Values of the tensors of a model: inputs that it can be run with, and what one run computes from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from profilers._errors import UnsupportedGraphError, first_line
from profilers._explain._graph import require_inputs, with_outputs
from profilers._read._file import fed_inputs
from profilers._session import make_session

Array = npt.NDArray[Any]
MOST_KEPT_BYTES = 2**30
"""Bytes of values that are kept; beyond that, floating-point tensors are drawn anew from N(0, 1)."""
_TOGETHER = 64
"""Tensors that one run exposes."""


@dataclass(frozen=True)
class Drawn:
    """A tensor of floating-point numbers whose values are drawn anew where they are needed.

    Attributes:
        shape: Its shape.
        dtype: Its type.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


@dataclass(frozen=True)
class Texts:
    """A tensor of strings, which no session can be given.

    Attributes:
        shape: Its shape.
    """

    shape: tuple[int, ...]
    dtype = np.dtype(object)
    nbytes = 0


Values = dict[str, "Array | Drawn | Texts | None"]
"""Values of tensors by name; None for what is no tensor, such as a sequence."""


def array_of(value: Array | Drawn) -> Array:
    """Return a tensor's values."""
    if isinstance(value, Drawn):
        return np.random.default_rng(0).standard_normal(value.shape).astype(value.dtype)
    return value


def draw_inputs(model: onnx.ModelProto, given: Mapping[str, float], seed: int = 0) -> dict[str, Array]:
    """Return values for the inputs of a model of fixed shapes: floats from N(0, 1), ones for everything else.

    Zeros and denormals would distort times. Ones are valid token ids, masks, lengths and switches.

    Args:
        model: The model.
        given: Numbers to fill inputs with, by name.
        seed: Seeds the numbers that are drawn.

    Raises:
        UnsupportedGraphError: An input has a type without numbers, or `given` names no input.
    """
    rng = np.random.default_rng(seed)
    values: dict[str, Array] = {}
    for value in fed_inputs(model.graph):
        tensor = value.type.tensor_type
        try:
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        except KeyError:
            raise UnsupportedGraphError(f"input {value.name!r} has no type that ONNX knows") from None
        shape = tuple(axis.dim_value for axis in tensor.shape.dim)
        if dtype == np.dtype(object):
            raise UnsupportedGraphError(f"input {value.name!r} holds no numbers, which cannot be measured")
        if dtype.kind not in "fiub":
            raise UnsupportedGraphError(
                f"input {value.name!r} holds {dtype.name}; hwnas can feed floats of 16-64 bits, integers and booleans"
            )
        if value.name in given:
            values[value.name] = np.full(shape, given[value.name]).astype(dtype)
        elif dtype.kind == "f":
            values[value.name] = rng.standard_normal(shape).astype(dtype)
        else:
            values[value.name] = np.ones(shape, dtype)
    require_inputs(given, values)
    return values


def run_exposed(
    model: onnx.ModelProto, inputs: Mapping[str, Array], names: Sequence[str], *, optimise: bool, threads: int
) -> Values:
    """Run a model with some of its tensors exposed.

    Args:
        model: The model.
        inputs: Values of its inputs.
        names: The tensors to return.
        optimise: Whether ONNX Runtime may optimise the model; False for one that it has optimised before.
        threads: Threads inside an operator.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot run the model with these inputs.
    """
    values: Values = {}
    kept = 0
    for start in range(0, len(names), _TOGETHER):
        part = names[start : start + _TOGETHER]
        try:
            content = with_outputs(model, part).SerializeToString()
            session = make_session(
                content, threads=threads, level=None if optimise else "ORT_DISABLE_ALL", measuring=True
            )
            results = session.run(list(part), dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise UnsupportedGraphError(f"ONNX Runtime cannot run the model: {first_line(error)}") from None
        for name, result in zip(part, results, strict=True):
            if not isinstance(result, np.ndarray):
                values[name] = None
            elif result.dtype.kind not in "fiub":
                values[name] = Texts(result.shape)
            elif kept + result.nbytes > MOST_KEPT_BYTES and result.dtype.kind == "f":
                values[name] = Drawn(result.shape, result.dtype)
            else:
                values[name] = result
                kept += result.nbytes
    return values
