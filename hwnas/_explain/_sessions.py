"""Sessions of any model, bound to memory that is allocated once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from hwnas._common._text import printable
from hwnas._explain._inputs import ModelError
from profilers import ModelSession, UnsupportedGraphError

REST_S = 0.06
"""Seconds that threads of ONNX Runtime spin after an inference, and some more (2**20 pauses of the processor)."""


def open_session(
    model: bytes, inputs: Mapping[str, npt.NDArray[Any]], *, threads: int, name: str, own_threads: bool = False
) -> ModelSession:
    """Open a session of a model.

    Args:
        model: Serialised model with static inputs.
        inputs: Values of its inputs by name.
        threads: Threads inside an operator.
        name: What to call it in errors.
        own_threads: Whether it has threads of its own, not those of the process.

    Raises:
        ModelError: ONNX Runtime cannot execute the model.
        ProfilerError: This process already measures with another number of threads.
    """
    try:
        return ModelSession(model, inputs, threads=threads, own_threads=own_threads)
    except UnsupportedGraphError as error:
        raise ModelError(f"{printable(name)}: {printable(str(error))[:300]}") from None


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
