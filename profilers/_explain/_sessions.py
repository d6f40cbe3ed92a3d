"""Sessions on parts of an executed graph, which share constants and tensors: hundreds of them fit into memory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from profilers._errors import DeviceUnavailableError, UnsupportedGraphError
from profilers._explain._graph import ExecutedGraph
from profilers._explain._values import Array, Drawn, Values, array_of
from profilers._session import make_session, runtime

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
            assert value is not None  # a window never ends at what cannot be bound
            self._tensors[name] = _ort_value(array_of(value))
        return self._tensors[name]

    def add(self, name: str, value: Array) -> None:
        """Add a tensor that is none of the graph's."""
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
        return self._values.get(name) is not None

    def value(self, name: str) -> Array | Drawn | None:
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


class PartSession:
    """A session on a model whose inputs are bound to tensors of a `Store`; it is a `Runnable`.

    Args:
        model: The model.
        tensors: `OrtValue` of its inputs by name.
        constants: `OrtValue` of its shared initialisers by name.
        threads: Threads inside an operator.
        optimise: Whether ONNX Runtime may optimise the model.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the model.
    """

    def __init__(
        self,
        model: bytes,
        tensors: Mapping[str, Any],
        constants: Mapping[str, Any],
        *,
        threads: int,
        optimise: bool = False,
    ) -> None:
        try:
            self._session = make_session(
                model,
                threads=threads,
                measuring=True,
                level=None if optimise else "ORT_DISABLE_ALL",
                constants=constants,
            )
            self._binding = self._session.io_binding()
            self._kept = dict(tensors)
            for value in self._session.get_inputs():
                self._binding.bind_ortvalue_input(value.name, self._kept[value.name])
            self._bind_outputs([value.name for value in self._session.get_outputs()])
            self._session.run_with_iobinding(self._binding)
        except DeviceUnavailableError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            reason = str(error).splitlines()[0]
            raise UnsupportedGraphError(f"ONNX Runtime cannot execute a part of the model: {reason}") from None

    def _bind_outputs(self, names: Sequence[str]) -> None:
        """Run once with outputs that ONNX Runtime allocates, then bind what it allocated."""
        for name in names:
            self._binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(self._binding)
        for name, value in zip(names, self._binding.get_outputs(), strict=True):
            self._kept[f"output {name}"] = value
            if value.is_tensor():
                self._binding.bind_ortvalue_output(name, value)

    def run(self, repeats: int) -> float:
        """Infer `repeats` times; return the seconds of all together."""
        run, binding = self._session.run_with_iobinding, self._binding
        start = time.perf_counter()
        for _ in range(repeats):
            run(binding)
        return time.perf_counter() - start
