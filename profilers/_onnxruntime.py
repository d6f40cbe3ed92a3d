"""Measuring through ONNX Runtime: one session a graph, explicit threads, bound inputs and outputs."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latency_tables import Op, OpGraph
from profilers._energy import RaplCounter
from profilers._errors import DeviceUnavailableError, EnergyUnavailableError, UnsupportedGraphError
from profilers._fingerprint import core_cache_bytes, cpu_environment, cpu_identity
from profilers._operators._base import FloatArray
from profilers._weights import random_weights

PROVIDER = "CPUExecutionProvider"
_POOL: list[int] = []
"""Size of the process-wide thread pool, once it is made."""


def make_session(
    model: bytes | str,
    *,
    threads: int,
    provider: str = PROVIDER,
    measuring: bool = False,
    optimised: Path | None = None,
) -> Any:
    """An `onnxruntime.InferenceSession` as this project measures and checks it.

    Args:
        model: serialised model, or a path.
        threads: threads inside an operator; ONNX Runtime's own default ignores container limits.
        provider: execution provider; a node that it cannot run is an error, never silently left to the CPU.
        measuring: whether times will be taken; several threads then come from one pool for the whole process.
        optimised: file to write the graph to that is executed; None to write none.

    Raises:
        DeviceUnavailableError: this process already measures with another number of threads.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    _set_threads(options, threads, measuring)
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    if provider != PROVIDER:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return onnxruntime.InferenceSession(model, options, providers=[provider])


def _set_threads(options: Any, threads: int, measuring: bool) -> None:
    """Give a session its threads: its own, or the process-wide pool once there is one.

    With a pool for each session, the threads of the session that ran last still spin, waiting for work, while the next
    one is measured, and take its cores. The pool can be made once in a process, and then serves all its sessions.

    Raises:
        DeviceUnavailableError: this process already measures with another number of threads.
    """
    if measuring and threads > 1 and not _POOL:
        _make_pool(threads)
    if measuring and _POOL and threads not in _POOL:
        raise DeviceUnavailableError(
            f"this process measures with {_POOL[0]} threads already; measure with {threads} in another process"
        )
    if _POOL:
        options.use_per_session_threads = False
        return
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")


def _make_pool(threads: int) -> None:
    import onnxruntime

    if not hasattr(onnxruntime, "set_global_thread_pool_sizes"):
        return  # an old version: each session has its own
    try:
        onnxruntime.set_global_thread_pool_sizes(threads, 1)
    except Exception:  # made by somebody else; ONNX Runtime's exceptions have no common base of their own
        return
    _POOL.append(threads)


class BoundSession:
    """A session with its inputs and outputs bound to memory allocated once; it is a `Runnable`.

    Args:
        model: serialised model, or a path.
        threads: threads inside an operator.
        seed: of the inputs, drawn from N(0, 1): zeros and denormals would distort times.
        provider: execution provider.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the model.
    """

    def __init__(self, model: bytes | str, *, threads: int, seed: int = 0, provider: str = PROVIDER) -> None:
        import onnxruntime

        try:
            self._session = make_session(model, threads=threads, provider=provider, measuring=True)
        except DeviceUnavailableError:
            raise
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
    """ONNX Runtime with one execution provider.

    Args:
        threads: threads inside an operator.
        batch: images of one inference.
        image_channels: channels of the images.
        provider: execution provider, by its full name or without ``ExecutionProvider``, in any case.
        precision: ``"fp32"``, or ``"int8"`` for statically quantised (QDQ) networks.

    Raises:
        DeviceUnavailableError: ONNX Runtime is not installed, or its build lacks the provider.
    """

    protocol: ClassVar[str] = "onnxruntime-marginal-q10-v2"

    def __init__(
        self,
        *,
        threads: int = 1,
        batch: int = 1,
        image_channels: int = 3,
        provider: str = PROVIDER,
        precision: str = "fp32",
    ) -> None:
        self.threads, self.batch, self.image_channels = threads, batch, image_channels
        self.precision = precision
        self.provider = find_provider(provider)
        self.element_bytes = 1 if precision == "int8" else 4
        self.fast_cache_bytes = threads * core_cache_bytes() if self.provider == PROVIDER else 0
        self._version = version("onnxruntime")

    def identity(self) -> dict[str, object]:
        """Stable facts of processor, runtime and settings."""
        return {
            "device": "cpu",
            **cpu_identity(),
            "runtime": "onnxruntime",
            "runtime_version": self._version,
            "provider": self.provider,
            "optimization": "all",
            "spinning": True,
            "threads": self.threads,
            "batch": self.batch,
            "dtype": "float32" if self.precision == "fp32" else self.precision,
            "protocol": self.protocol,
        }

    def environment(self) -> dict[str, object]:
        """Volatile facts of the machine."""
        return cpu_environment()

    def energy_counter(self) -> RaplCounter:
        """The processor's packages; what another provider's device takes is not known."""
        if self.provider != PROVIDER:
            raise EnergyUnavailableError(f"energy is unavailable: no counter is known for {self.provider}")
        return RaplCounter()

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """What the arena of the CPU provider holds, by its log; other providers have allocators of their own."""
        if self.provider != PROVIDER:
            return [None] * len(models)
        from profilers._arena import arena_bytes

        return arena_bytes(models)

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """Differences between the executed nodes and the fused ops, fp32 on the CPU provider only.

        Other providers fuse by rules of their own. int8 graphs hold conversions that belong to no op; a row's price
        contains those that its block was measured with, so there is nothing to count.
        """
        if self.provider != PROVIDER or self.precision != "fp32":
            return []
        from profilers._fusion import fusion_notes

        return fusion_notes(networks)

    def warnings(self) -> list[str]:
        """Nothing is watched beside the calibration op."""
        return []

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = ()) -> BoundSession:
        """Lower `graph` to ONNX with random weights, quantise it where asked, and open a session on it."""
        from profilers._onnx import build_onnx

        model = build_onnx(graph, random_weights(graph, seed, tied), batch=self.batch)
        if self.precision == "int8":
            from profilers._quantize import quantize_model

            model = quantize_model(model)
        return BoundSession(model.SerializeToString(), threads=self.threads, seed=seed, provider=self.provider)

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> BoundSession:
        """Open a session on the exported file: what is measured is what ships."""
        return BoundSession(path, threads=self.threads, provider=self.provider)


def installed_providers() -> list[str]:
    """Full names of the execution providers that the installed ONNX Runtime has.

    Raises:
        DeviceUnavailableError: it is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise DeviceUnavailableError(
            "device cpu needs ONNX Runtime, which is not installed: pip install onnxruntime"
        ) from None
    return list(onnxruntime.get_available_providers())


def find_provider(name: str) -> str:
    """The full name of an execution provider of the installed ONNX Runtime.

    Raises:
        DeviceUnavailableError: it is not installed, or has no such provider.
    """
    known = installed_providers()
    for full in known:
        if name.lower() in (full.lower(), full.removesuffix("ExecutionProvider").lower()):
            return full
    names = ", ".join(full.removesuffix("ExecutionProvider").lower() for full in known)
    raise DeviceUnavailableError(
        f"the installed ONNX Runtime has no execution provider {name!r}; it has {names}: install a build that has it"
    )
