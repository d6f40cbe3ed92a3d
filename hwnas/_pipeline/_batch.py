"""A batch that is measured, or being measured by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hwnas._pipeline._measuring_cost import MeasuringCost
from profilers import Z90

_PATIENCE_S = 10.0
"""Seconds in which a measurement that is given up has to end: that of a round, or of one request to the device."""


@dataclass(frozen=True)
class TrialTime:
    """The measured latency of a trial.

    Attributes:
        told_ms: What the search is told: the chosen statistic at the table's speed.
        facts: What the journal holds of it (`TrialRecord.measurements`).
    """

    told_ms: float
    facts: Mapping[str, float]

    @property
    def deviation_ms(self) -> float | None:
        """The standard deviation of the told value's error; None where it is unknown."""
        half_width = self.facts.get("half_width")
        return None if half_width is None else half_width / Z90


@dataclass
class BatchTimes:
    """What came of measuring a batch.

    Attributes:
        times: Times by the number of the trial.
        failed: Why a network could not be measured, by the number of its trial.
    """

    times: dict[int, TrialTime] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


class GivenUpError(Exception):
    """Nobody waits for the measurement any more."""


class Measuring:
    """A batch that is measured, or being measured.

    Args:
        measure: Measures it; calls its argument between two steps, which raises `GivenUpError` where it is to end.
        cost: Counts the seconds in which the search waits.
        background: Whether to measure in a thread of its own; otherwise it is done once this object is made.
    """

    def __init__(
        self, measure: Callable[[Callable[[], None]], BatchTimes], cost: MeasuringCost, *, background: bool
    ) -> None:
        self._measure, self._cost = measure, cost
        self._batch: BatchTimes | None = None
        self._error: BaseException | None = None
        self._given_up = threading.Event()
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._run, name="measuring trials", daemon=True)
            self._thread.start()
        else:
            self.result()

    @property
    def done(self) -> bool:
        """Whether `result` returns at once."""
        return self._thread is None or not self._thread.is_alive()

    @property
    def refused(self) -> Mapping[int, str]:
        """Why networks need no evaluation, by the numbers of their trials.

        Empty for a batch in the background: what is evaluated must not depend on which of both is quicker.
        """
        return self.result().failed if self._thread is None else {}

    def result(self) -> BatchTimes:
        """Return what came of it; wait for that where necessary.

        Raises:
            ProfilerError: The device cannot be reached.
        """
        if self._batch is None and self._error is None:
            began = time.monotonic()
            if self._thread is None:
                self._run()
            else:
                self._thread.join()
            self._cost.waited_s += time.monotonic() - began
        if self._error is not None:
            raise self._error
        assert self._batch is not None
        return self._batch

    def close(self) -> None:
        """Give up what is not measured yet, and wait until the thread has left the device, for some seconds at most."""
        self._given_up.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        try:
            self._batch = self._measure(self._go_on)
        except BaseException as error:  # raised again by `result`, in the search's thread
            self._error = error

    def _go_on(self) -> None:
        """End the measurement where it is given up."""
        if self._given_up.is_set():
            raise GivenUpError
