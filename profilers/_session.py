"""One session of ONNX Runtime: explicit threads, bound inputs and outputs.

This module also runs on remote devices: it keeps to Python 3.9 and numpy, and needs no op graphs.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from profilers._errors import DeviceUnavailableError, EnergyUnavailableError, UnsupportedGraphError, first_line
from profilers.cores import release_cores

PROVIDER = "CPUExecutionProvider"
_POOL: list[int] = []
"""Size of the thread pool of this process, once there is one."""
_SWEEP_MODEL = bytes.fromhex(
    "08083a550a1e0a017812017922095265647563654d61782a0b0a04617865734001a00107120673747265616d"
    "5a150a017812100a0e0801120a0a0312016e0a0312016b62140a0179120f0a0d080112090a0312016e0a02080142040a001011"
)
"""An ONNX file (opset 17) that computes the maximum of each row of a matrix. Devices need no package to build it."""
_SWEEP_ROW = 1024


def runtime() -> Any:
    """Import ONNX Runtime with its telemetry off, so that nothing about models and machines is sent anywhere.

    Every use of ONNX Runtime goes through this function. The environment variable is read when the library is loaded;
    the function takes effect after that. Old versions have neither.

    Raises:
        ModuleNotFoundError: ONNX Runtime is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    disable = getattr(onnxruntime, "disable_telemetry_events", None)
    if disable is not None:
        disable()
    return onnxruntime


def runtime_version() -> str:
    """Return the version of the installed ONNX Runtime, whichever of its packages that is.

    Raises:
        ModuleNotFoundError: ONNX Runtime is not installed.
        DeviceUnavailableError: It does not state its version.
    """
    stated = getattr(runtime(), "__version__", None)  # onnxruntime-gpu and others have package names of their own
    if not isinstance(stated, str):
        raise DeviceUnavailableError(
            "the installed ONNX Runtime does not state its version; install the package onnxruntime"
        )
    return stated


def session_options(*, threads: int, provider: str = PROVIDER, spinning: bool = True) -> dict[str, Any]:
    """Return the options of the sessions that are measured, as plain values for JSON; `make_session` applies them.

    Args:
        threads: Threads inside an operator.
        provider: Full name of the execution provider.
        spinning: Whether the session's threads spin for a while after an inference.

    Returns:
        Values by ONNX Runtime's own names; enumerations by the names of their members.
    """
    return {
        "intra_op_num_threads": threads,
        "inter_op_num_threads": 1,
        "execution_mode": "ORT_SEQUENTIAL",
        "graph_optimization_level": "ORT_ENABLE_ALL",
        "allow_spinning": spinning,
        "provider": provider,
    }


def make_session(
    model: bytes | str,
    *,
    threads: int,
    provider: str = PROVIDER,
    measuring: bool = False,
    spinning: bool = True,
    optimised: Path | None = None,
    level: str | None = None,
    own_threads: bool = False,
    constants: Mapping[str, Any] | None = None,
    profile: Path | None = None,
) -> Any:
    """Make an `onnxruntime.InferenceSession` as this project measures and checks networks.

    Args:
        model: Serialised model, or a path.
        threads: Threads inside an operator; ONNX Runtime's own default ignores container limits.
        provider: Execution provider; a node that it cannot execute is an error, never silently left to the CPU.
        measuring: Whether it will be timed; several threads then come from one pool of the process.
        spinning: Whether the session's own threads spin for a while after an inference.
        optimised: File to write the optimised graph to; None for none.
        level: Member of ONNX Runtime's ``GraphOptimizationLevel``; None for the one that is measured.
        own_threads: Whether the session has threads of its own even where it is timed. They still spin when the next
            session runs, so whoever times such sessions in turn must let them rest in between.
        constants: `OrtValue` of initialisers by name, whose numbers stand outside of the model: sessions share them.
        profile: Beginning of the path of the profiler's file; None for no profiler.

    Raises:
        DeviceUnavailableError: This process already measures with another number of threads.
    """
    onnxruntime = runtime()
    release_cores()  # threads that the session makes run where this one may
    options = onnxruntime.SessionOptions()
    stated = session_options(threads=threads, provider=provider, spinning=spinning)
    _set_threads(options, stated, measuring, own_threads)
    options.execution_mode = getattr(onnxruntime.ExecutionMode, stated["execution_mode"])
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, level or stated["graph_optimization_level"]
    )
    if constants:
        options.add_external_initializers(list(constants), list(constants.values()))
    options.log_severity_level = 4
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    if provider != PROVIDER:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return onnxruntime.InferenceSession(model, options, providers=[provider])


def _set_threads(options: Any, stated: dict[str, Any], measuring: bool, own_threads: bool) -> None:
    """Give a session its own threads, or the pool of the process once there is one.

    If each session had a pool, the threads of the session that ran last would still spin while the next one is
    measured, and take its cores. The pool can be made once in a process, and then serves all sessions.

    Raises:
        DeviceUnavailableError: This process already measures with another number of threads.
    """
    threads, measuring = stated["intra_op_num_threads"], measuring and not own_threads
    if measuring and threads > 1 and not _POOL:
        _make_pool(threads)
    if measuring and _POOL and threads not in _POOL:
        raise DeviceUnavailableError(
            f"this process already measures with {_POOL[0]} threads; use another process to measure with {threads}"
        )
    if _POOL and not own_threads:
        options.use_per_session_threads = False
        return
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = stated["inter_op_num_threads"]
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(stated["allow_spinning"])))


def _make_pool(threads: int) -> None:
    """Make the thread pool of the process, where this ONNX Runtime has one."""
    onnxruntime = runtime()
    if not hasattr(onnxruntime, "set_global_thread_pool_sizes"):
        return  # an old version: each session has its own threads
    try:
        onnxruntime.set_global_thread_pool_sizes(threads, 1)
    except Exception:  # other code has made it; ONNX Runtime's exceptions have no common base class
        return
    _POOL.append(threads)


def _unsupported(error: Exception) -> UnsupportedGraphError:
    """Return the error for a model that ONNX Runtime refused, with the first line of its reason."""
    return UnsupportedGraphError(f"ONNX Runtime cannot execute the graph: {first_line(error)}")


class TimedSession:
    """A session with bound inputs and outputs, that can be timed; it is a `Runnable`.

    Args:
        session: The session.
        sweep: Called, untimed, before each inference; None for inferences back to back.
    """

    def __init__(self, session: Any, sweep: CacheSweep | None = None) -> None:
        self._session, self._sweep = session, sweep
        self._binding = session.io_binding()
        self._kept: dict[str, Any] = {}

    def _bind(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Bind `OrtValue` to names, and keep them alive."""
        for name, value in inputs.items():
            self._binding.bind_ortvalue_input(name, value)
            self._kept[f"input {name}"] = value
        for name, value in outputs.items():
            self._binding.bind_ortvalue_output(name, value)
            self._kept[f"output {name}"] = value

    def run(self, repeats: int) -> float:
        """Infer `repeats` times; return the seconds of all together."""
        run, binding = self._session.run_with_iobinding, self._binding
        if self._sweep is not None:
            return self._run_cold(repeats, self._sweep)
        start = time.perf_counter()
        for _ in range(repeats):
            run(binding)
        return time.perf_counter() - start

    def _run_cold(self, repeats: int, sweep: CacheSweep) -> float:
        """Infer `repeats` times, each after a sweep; return the seconds without the sweeps."""
        run, binding, seconds = self._session.run_with_iobinding, self._binding, 0.0
        for _ in range(repeats):
            sweep()
            start = time.perf_counter()
            run(binding)
            seconds += time.perf_counter() - start
        return seconds


class BoundSession(TimedSession):
    """A session whose inputs and outputs are bound to memory that is allocated once; it is a `Runnable`.

    Args:
        model: Serialised model, or a path.
        threads: Threads inside an operator.
        seed: Seeds the inputs, drawn from N(0, 1): zeros and denormals would distort times.
        provider: Execution provider.
        sweep_bytes: Bytes of other memory that are read, untimed, before each inference, which removes what the last
            one left in the caches. 0 for inferences back to back.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the model.
    """

    def __init__(
        self, model: bytes | str, *, threads: int, seed: int = 0, provider: str = PROVIDER, sweep_bytes: int = 0
    ) -> None:
        try:
            sweep = _cache_sweep(threads, sweep_bytes) if sweep_bytes else None
            super().__init__(make_session(model, threads=threads, provider=provider, measuring=True), sweep)
        except DeviceUnavailableError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise _unsupported(error) from None
        rng, made = np.random.default_rng(seed), runtime().OrtValue.ortvalue_from_numpy
        for tensor in self._session.get_inputs():
            self._bind({tensor.name: made(rng.standard_normal(tensor.shape, dtype=np.float32))}, {})
        for tensor in self._session.get_outputs():
            self._bind({}, {tensor.name: made(np.zeros(tensor.shape, dtype=np.float32))})


class CacheSweep:
    """Reads memory until the caches hold nothing else, on as many threads as are measured: each has its own caches.

    Where the process has a thread pool, these are the same threads. An ONNX Runtime without such a pool gives the sweep
    its own threads, which must not spin while the next inference is timed.

    Args:
        threads: Threads of the sessions that are measured.
        size: Bytes to read, divided among the threads.
    """

    def __init__(self, threads: int, size: int) -> None:
        onnxruntime = runtime()
        self._session = make_session(_SWEEP_MODEL, threads=threads, measuring=True, spinning=False)
        numbers = np.ones((math.ceil(size / (4 * _SWEEP_ROW)), _SWEEP_ROW), dtype=np.float32)
        self._kept = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in (numbers, numbers[:, :1].copy())]
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input("x", self._kept[0])
        self._binding.bind_ortvalue_output("y", self._kept[1])

    def __call__(self) -> None:
        """Read all of it once."""
        self._session.run_with_iobinding(self._binding)


_cache_sweep = lru_cache(maxsize=8)(CacheSweep)
"""Makes a `CacheSweep`; sessions with the same arguments share one."""


class ModelSession(TimedSession):
    """A session on any model whose inputs are given, bound to memory that is allocated once; it is a `Runnable`.

    Args:
        model: Serialised model.
        inputs: Values of its inputs by name, as arrays or `OrtValue`; others are ignored.
        threads: Threads inside an operator.
        constants: `OrtValue` of initialisers by name, whose numbers stand outside of the model.
        level: Member of ONNX Runtime's ``GraphOptimizationLevel``; None for the one that is measured.
        own_threads: Whether it has threads of its own, not those of the process.
        profile: Beginning of the path of the profiler's file; None for no profiler.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the model.
        DeviceUnavailableError: This process already measures with another number of threads.
    """

    def __init__(
        self,
        model: bytes,
        inputs: Mapping[str, Any],
        *,
        threads: int,
        constants: Mapping[str, Any] | None = None,
        level: str | None = None,
        own_threads: bool = False,
        profile: Path | None = None,
    ) -> None:
        try:
            options: dict[str, Any] = {"level": level, "own_threads": own_threads, "constants": constants}
            super().__init__(make_session(model, threads=threads, measuring=True, profile=profile, **options))
            for tensor in self._session.get_inputs():
                value = inputs[tensor.name]
                if isinstance(value, np.ndarray):
                    value = runtime().OrtValue.ortvalue_from_numpy(value)
                self._bind({tensor.name: value}, {})
            outputs = self._session.get_outputs()
            self._open = [output.name for output in outputs if not all(isinstance(n, int) for n in output.shape or ())]
            self._bind_outputs([output.name for output in outputs])
            self._allocate(self._open)
            self._session.run_with_iobinding(self._binding)
        except DeviceUnavailableError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise _unsupported(error) from None

    def run(self, repeats: int) -> float:
        """Infer `repeats` times; return the seconds of all together.

        Outputs whose shape the file leaves open may have another one each time, so they are allocated for each run.

        Raises:
            UnsupportedGraphError: ONNX Runtime cannot execute the model with what it draws this time.
        """
        try:
            if not self._open:
                return super().run(repeats)
            seconds = 0.0
            for _ in range(repeats):
                self._allocate(self._open)
                seconds += super().run(1)
            return seconds
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise _unsupported(error) from None

    def end_profiling(self) -> str:
        """Stop the profiler; return the path of its file."""
        path: str = self._session.end_profiling()
        return path

    def _bind_outputs(self, names: Sequence[str]) -> None:
        """Run once with outputs that ONNX Runtime allocates, then bind those whose shape is always the same."""
        self._allocate(names)
        self._session.run_with_iobinding(self._binding)
        for name, value in zip(names, self._binding.get_outputs()):  # noqa: B905 (devices run it with Python 3.9)
            if name not in self._open and value.is_tensor():
                self._kept[f"output {name}"] = value
                self._binding.bind_ortvalue_output(name, value)

    def _allocate(self, names: Sequence[str]) -> None:
        """Let ONNX Runtime allocate outputs in the next run."""
        for name in names:
            self._binding.bind_output(name, "cpu")


def optimised_model(model: bytes | str, *, level: str | None = None) -> bytes:
    """Return the ONNX file of the graph that the CPU provider executes after its optimisations.

    Args:
        model: Serialised model, or a path.
        level: Member of ONNX Runtime's ``GraphOptimizationLevel``; None for the one that is measured.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        try:
            make_session(model, threads=1, optimised=path, level=level)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise _unsupported(error) from None
        return path.read_bytes()


def installed_providers() -> list[str]:
    """Return the full names of the installed ONNX Runtime's execution providers.

    Raises:
        DeviceUnavailableError: ONNX Runtime is not installed.
    """
    try:
        onnxruntime = runtime()
    except ModuleNotFoundError:
        raise DeviceUnavailableError(
            "device cpu needs ONNX Runtime, which is not installed; run: pip install onnxruntime"
        ) from None
    return list(onnxruntime.get_available_providers())


def find_provider(name: str, known: Sequence[str]) -> str:
    """Return the full name of an execution provider.

    Args:
        name: Its name, with or without ``ExecutionProvider``, in any case.
        known: Full names of the providers of the device's ONNX Runtime.

    Raises:
        DeviceUnavailableError: There is no such provider.
    """
    for full in known:
        if name.lower() in (full.lower(), full.removesuffix("ExecutionProvider").lower()):
            return full
    names = ", ".join(full.removesuffix("ExecutionProvider").lower() for full in known)
    raise DeviceUnavailableError(
        f"the installed ONNX Runtime has no execution provider {name!r}; choose one of {names} or install another build"
    )


def full_provider_name(name: str | None) -> str:
    """Return the full name of an execution provider that may not be installed here; None stands for the CPU provider.

    Args:
        name: Its name, with or without ``ExecutionProvider``, in any case; unknown ones are returned as they are.
    """
    if name is None:
        return PROVIDER
    try:
        return find_provider(name, runtime().get_all_providers())
    except DeviceUnavailableError:
        return name


def require_counter(provider: str) -> None:
    """Refuse providers other than the CPU provider: no energy counter of their devices is known.

    Raises:
        EnergyUnavailableError: The provider is not the CPU provider.
    """
    if provider != PROVIDER:
        raise EnergyUnavailableError(f"energy is unavailable: no counter is known for {provider}")
