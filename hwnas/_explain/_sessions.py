"""Sessions of any model, bound to memory that is allocated once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hwnas._common._text import printable
from hwnas._explain._files import ModelError
from hwnas._explain._inputs import dtype_of, made_value
from profilers import ProfilerError, make_session

REST_S = 0.06
"""Seconds that threads of ONNX Runtime spin after an inference, and some more (2**20 pauses of the processor)."""


class ModelSession:
    """A session of a model with inputs of numbers; it is a `profilers.Runnable`.

    Args:
        model: Serialised model with static inputs.
        threads: Threads inside an operator.
        name: What to call it in errors.
        seed: Seeds the inputs.
        own_threads: Whether it has threads of its own, not those of the process.

    Raises:
        ModelError: ONNX Runtime cannot execute the model, or an input cannot be made.
        ProfilerError: This process already measures with another number of threads.
    """

    def __init__(self, model: bytes, *, threads: int, name: str, seed: int = 0, own_threads: bool = False) -> None:
        try:
            self._session = make_session(model, threads=threads, measuring=True, own_threads=own_threads)
            self._binding = self._session.io_binding()
            self._kept = [*self._bound_inputs(np.random.default_rng(seed)), *self._bound_outputs()]
            self._session.run_with_iobinding(self._binding)
        except (ModelError, ProfilerError):
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{printable(name)}: ONNX Runtime cannot execute it: {printable(reason)[:300]}") from None

    def _bound_inputs(self, rng: np.random.Generator) -> list[Any]:
        """Bind every input to a value; return what must stay alive."""
        kept = []
        for tensor in self._session.get_inputs():
            value = np.ascontiguousarray(made_value(tensor.type, [int(axis) for axis in tensor.shape], rng))
            self._binding.bind_cpu_input(tensor.name, value)
            kept.append(value)
        return kept

    def _bound_outputs(self) -> list[Any]:
        """Bind every output of a known shape to memory; ONNX Runtime allocates the others."""
        kept = []
        for tensor in self._session.get_outputs():
            dtype, shape = dtype_of(tensor.type), tensor.shape
            if dtype is None or not all(isinstance(axis, int) for axis in shape):
                self._binding.bind_output(tensor.name)
                continue
            value = np.zeros(shape, dtype=dtype)
            self._binding.bind_output(tensor.name, "cpu", 0, dtype, shape, value.ctypes.data)
            kept.append(value)
        return kept

    def run(self, repeats: int) -> float:
        """Infer `repeats` times; return the seconds of all together."""
        run, binding = self._session.run_with_iobinding, self._binding
        start = time.perf_counter()
        for _ in range(repeats):
            run(binding)
        return time.perf_counter() - start


class Turns:
    """Sessions with threads of their own take turns: one begins when the threads of the last one have gone to sleep.

    Args:
        rest: Sleeps so many seconds.
    """

    def __init__(self, rest: Callable[[float], None] = time.sleep) -> None:
        self._rest, self._last = rest, ("", 1)

    def taking(self, runnable: Any, pool: str, threads: int) -> _Turn:
        """Return the runnable so that it waits for its turn.

        Args:
            runnable: A session.
            pool: Name of its threads; sessions that share them need not wait for each other.
            threads: How many there are.
        """
        return _Turn(self, runnable, (pool, threads))

    def begin(self, pool: tuple[str, int]) -> None:
        """Wait where other threads may still spin."""
        if self._last[0] != pool[0] and self._last[1] > 1:
            self._rest(REST_S)
        self._last = pool


class _Turn:
    """A runnable that waits for its turn."""

    def __init__(self, turns: Turns, runnable: Any, pool: tuple[str, int]) -> None:
        self._turns, self._runnable, self._pool = turns, runnable, pool

    def run(self, repeats: int) -> float:
        """Wait for the turn, then infer `repeats` times; return the seconds of the inferences."""
        self._turns.begin(self._pool)
        seconds: float = self._runnable.run(repeats)
        return seconds
