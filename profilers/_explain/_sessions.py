"""Constants and tensors that the sessions on parts of a graph share: hundreds of sessions fit into memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from profilers._explain._graph import ExecutedGraph
from profilers._explain._values import Array, Drawn, Texts, Values, array_of
from profilers._session import runtime

SHARED_BYTES = 4096
"""Constants from this size on are shared by sessions; smaller ones stand in every model."""


class Store:
    """The constants and tensors of one graph as `OrtValue`, each held once for all sessions.

    Sessions write their outputs into the same memory: a tensor's value is the same in every part of the graph.

    Args:
        graph: The graph.
        values: Values of its tensors.
    """

    def __init__(self, graph: ExecutedGraph, values: Values) -> None:
        self._graph, self._values = graph, values
        self._tensors: dict[str, Any] = {}
        self._constants: dict[str, Any] = {}

    def tensor(self, name: str) -> Any:
        """Return a tensor."""
        if name not in self._tensors:
            value = self._values[name]
            assert isinstance(value, (np.ndarray, Drawn))  # a window never ends at what cannot be bound
            self._tensors[name] = _ort_value(array_of(value))
        return self._tensors[name]

    def add(self, name: str, value: Array) -> None:
        """Add a tensor that is none of the graph's."""
        self._values[name] = value
        self._tensors[name] = _ort_value(value)

    def constant(self, name: str) -> Any | None:
        """Return a constant; None where it is too small to be shared."""
        if name not in self._constants:
            array = numpy_helper.to_array(self._graph.constants[name])
            shared = array.nbytes >= SHARED_BYTES and array.dtype.kind in "fiub"
            self._constants[name] = _ort_value(array) if shared else None
        return self._constants[name]

    def bindable(self, name: str) -> bool:
        """Whether a session can be given this tensor."""
        value = self._values.get(name)
        return value is not None and not isinstance(value, Texts)

    def value(self, name: str) -> Array | Drawn | Texts | None:
        """Return what is known of a tensor's value."""
        return self._values.get(name)


def _ort_value(array: Array) -> Any:
    return runtime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array).reshape(array.shape))


def without_numbers(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Return an initialiser whose numbers stand elsewhere."""
    bare = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    bare.data_location = onnx.TensorProto.EXTERNAL
    bare.external_data.add(key="location", value="shared")
    return bare
