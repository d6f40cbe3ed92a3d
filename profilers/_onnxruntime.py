"""Measuring through ONNX Runtime: one session a graph, explicit threads, bound inputs and outputs."""

from __future__ import annotations

import time
from collections.abc import Collection
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from latency_tables import Op, OpGraph
from profilers._errors import DeviceUnavailableError, UnsupportedGraphError
from profilers._fingerprint import core_cache_bytes, cpu_environment, cpu_identity
from profilers._weights import random_weights

PROVIDER = "CPUExecutionProvider"


def make_session(model: bytes | str, *, threads: int) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU as this project measures and checks it.

    Args:
        model: serialised model, or a path.
        threads: threads inside an operator; ONNX Runtime's own default ignores container limits.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    return onnxruntime.InferenceSession(model, options, providers=[PROVIDER])


class BoundSession:
    """A session with its inputs and outputs bound to memory allocated once; it is a `Runnable`.

    Args:
        model: serialised model, or a path.
        threads: threads inside an operator.
        seed: of the inputs, drawn from N(0, 1): zeros and denormals would distort times.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the model.
    """

    def __init__(self, model: bytes | str, *, threads: int, seed: int = 0) -> None:
        import onnxruntime

        try:
            self._session = make_session(model, threads=threads)
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise UnsupportedGraphError(f"ONNX Runtime refuses the graph: {str(error).splitlines()[0]}") from None
        self._binding = self._session.io_binding()
        rng = np.random.default_rng(seed)
        self._kept: list[Any] = []
        for tensor in self._session.get_inputs():
            value = rng.standard_normal(tensor.shape, dtype=np.float32)
            self._kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(value))
            self._binding.bind_ortvalue_input(tensor.name, self._kept[-1])
        for tensor in self._session.get_outputs():
            value = np.zeros(tensor.shape, dtype=np.float32)
            self._kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(value))
            self._binding.bind_ortvalue_output(tensor.name, self._kept[-1])

    def run(self, repeats: int) -> float:
        """Infer `repeats` times; returns seconds in total."""
        run, binding = self._session.run_with_iobinding, self._binding
        start = time.perf_counter()
        for _ in range(repeats):
            run(binding)
        return time.perf_counter() - start


class OnnxRuntimeBackend:
    """ONNX Runtime's CPU provider.

    Args:
        threads: threads inside an operator.
        batch: images of one inference.
        image_channels: channels of the images.

    Raises:
        DeviceUnavailableError: ONNX Runtime is not installed.
    """

    protocol: ClassVar[str] = "onnxruntime-marginal-q10-v2"

    def __init__(self, *, threads: int = 1, batch: int = 1, image_channels: int = 3) -> None:
        self.threads, self.batch, self.image_channels = threads, batch, image_channels
        self.fast_cache_bytes = threads * core_cache_bytes()
        try:
            self._version = version("onnxruntime")
        except ModuleNotFoundError:
            raise DeviceUnavailableError(
                "device cpu needs ONNX Runtime, which is not installed: pip install onnxruntime"
            ) from None

    def identity(self) -> dict[str, object]:
        """Stable facts of processor, runtime and settings."""
        return {
            "device": "cpu",
            **cpu_identity(),
            "runtime": "onnxruntime",
            "runtime_version": self._version,
            "provider": PROVIDER,
            "optimization": "all",
            "spinning": True,
            "threads": self.threads,
            "batch": self.batch,
            "dtype": "float32",
            "protocol": self.protocol,
        }

    def environment(self) -> dict[str, object]:
        """Volatile facts of the machine."""
        return cpu_environment()

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = ()) -> BoundSession:
        """Lower `graph` to ONNX with random weights and open a session on it."""
        from profilers._onnx import build_onnx

        model = build_onnx(graph, random_weights(graph, seed, tied), batch=self.batch)
        return BoundSession(model.SerializeToString(), threads=self.threads, seed=seed)

    def load_file(self, path: str) -> BoundSession:
        """Open a session on an ONNX file that this project exported."""
        return BoundSession(path, threads=self.threads)
