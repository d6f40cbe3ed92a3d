"""Trials measured on the device: each batch in one session, beside the table's reference networks.

Latency does not depend on the weights. So a batch is measured before its networks are evaluated, and never beside that
on one device; a device that is reached through ssh measures while this machine evaluates.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hwnas._common._foreign import LEAVES, error_line
from hwnas._costs._cost import LATENCY
from hwnas._errors import HwnasError
from hwnas._pipeline._known import rounded
from hwnas._pipeline._measuring_cost import MeasuringCost, choose_sampling
from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._journal import TrialRecord
from hwnas._tables._references import machine_of, percent_text, speed_text
from hwnas.spaces import Architecture
from profilers import (
    NetworkTime,
    ProfilerError,
    Runnable,
    Speed,
    SshBackend,
    TextProgress,
    UnsupportedGraphError,
    executed_graph,
    fusion_of,
)

_MOVED = math.log(1.05)
"""A change of the machine's speed by this factor (its logarithm) is worth another line."""


@dataclass(frozen=True)
class TrialTime:
    """The measured latency of a trial.

    Attributes:
        told_ms: What the search is told: the chosen statistic at the table's speed.
        facts: What the journal holds of it (`TrialRecord.measurements`).
    """

    told_ms: float
    facts: Mapping[str, float]


@dataclass
class BatchTimes:
    """What came of measuring a batch.

    Attributes:
        times: Times by the number of the trial.
        failed: Why a network could not be measured, by the number of its trial.
    """

    times: dict[int, TrialTime] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


class TrialMeasuring:
    """Measures the batches of a search.

    Args:
        setup: The search; its timer keeps the references loaded.
        say: Receives lines for people.
    """

    def __init__(self, setup: SearchSetup, say: TextProgress) -> None:
        self._setup, self._say = setup, say
        self._statistic = setup.latency_statistic
        self._elsewhere = isinstance(setup.backend, SshBackend)
        self._announced: float | None = None
        self.cost = MeasuringCost()

    def begin(self, networks: Mapping[int, Architecture], expected_ms: Mapping[int, float]) -> Measuring:
        """Measure a batch: at once on this machine, in the background on another one.

        Args:
            networks: Architectures by the numbers of their trials.
            expected_ms: Their expected latencies.
        """
        return Measuring(self, networks, expected_ms, background=self._elsewhere)

    def measure(self, networks: Mapping[int, Architecture], expected_ms: Mapping[int, float]) -> BatchTimes:
        """Measure a batch in one session beside the references.

        Raises:
            ProfilerError: The device cannot be reached.
        """
        began, allowance_s = self._now(), self.cost.allowance_s(len(networks))
        timer, batch = self._setup.timer, BatchTimes()
        runnables = self._loaded(networks, batch)
        if runnables:
            slowness = self._announced or 1.0
            expected_s = [expected_ms[int(name)] * slowness / 1e3 for name in runnables]
            expected_s += [reference.then_ms * slowness / 1e3 for reference in timer.references.networks]
            sampling = choose_sampling(expected_s, allowance_s - (self._now() - began))
            session = timer.measure(runnables, sampling, seed=min(networks))
            batch.times = {int(name): self._trial_time(t, session.speed) for name, t in session.times.items()}
            self._announce(session.speed)
        self.cost.add(len(networks), self._now() - began)
        return batch

    def _now(self) -> float:
        """Return the clock's seconds, less those in which the device could not be reached."""
        backend = self._setup.backend
        return time.monotonic() - (backend.device.seconds_away() if isinstance(backend, SshBackend) else 0.0)

    def _loaded(self, networks: Mapping[int, Architecture], batch: BatchTimes) -> dict[str, Runnable]:
        """Load the networks with random weights, and run each once, so that it is known which one cannot be run."""
        backend, space = self._setup.backend, self._setup.space
        assert backend is not None
        runnables: dict[str, Runnable] = {}
        for number, arch in networks.items():
            try:
                graph = executed_graph(space.graph(arch), fusion_of(backend))
                runnable = backend.load(graph, seed=number)
                runnable.run(1)
            except UnsupportedGraphError as error:
                batch.failed[number] = f"the device cannot run the network: {error}"
            except (ProfilerError, HwnasError):
                raise
            except (Exception, *LEAVES) as error:  # a runtime, or a back end of a plug-in, may raise anything
                batch.failed[number] = f"the device cannot run the network: {error_line(error)}"
            else:
                runnables[str(number)] = runnable
        return runnables

    def _trial_time(self, network: NetworkTime, speed: Speed) -> TrialTime:
        facts = {name: rounded(ms) for name, ms in network.raw.items()}
        facts |= {f"at_table_speed_{name}": rounded(ms) for name, ms in network.at_table_speed.items()}
        facts["half_width"] = rounded(network.half_widths[self._statistic])
        if speed.slowness is not None:
            facts["slowness"] = rounded(speed.slowness)
            facts["slowness_half_width"] = rounded(speed.half_width)
        facts["samples"] = network.samples
        return TrialTime(facts[f"at_table_speed_{self._statistic}"], facts)

    def _announce(self, speed: Speed) -> None:
        """Report the machine's speed at first, and where it has moved."""
        if speed.slowness is None:
            return
        if self._announced is None or abs(math.log(speed.slowness / self._announced)) > _MOVED:
            self._announced = speed.slowness
            who = machine_of(self._setup.run.settings.device)
            self._say(speed_text(speed.slowness, speed.half_width, who))

    def report(self) -> None:
        """Report at the end of a search what measuring cost, and what the trials showed about the table."""
        cost = self.cost.line()
        if cost is None:
            return
        self._say(cost)
        if (line := table_line(self._setup, self._setup.journal.records, self._statistic)) is not None:
            self._say(line)


class Measuring:
    """A batch that is measured, or being measured.

    Args:
        measuring: Measures it.
        networks: Architectures by the numbers of their trials.
        expected_ms: Their expected latencies.
        background: Whether to measure in a thread of its own.
    """

    def __init__(
        self,
        measuring: TrialMeasuring,
        networks: Mapping[int, Architecture],
        expected_ms: Mapping[int, float],
        *,
        background: bool,
    ) -> None:
        self._measuring, self._networks, self._expected_ms = measuring, networks, expected_ms
        self._batch: BatchTimes | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._run, name="measuring trials", daemon=True)
            self._thread.start()
        else:
            self.result()

    @property
    def failed(self) -> Mapping[int, str]:
        """Why networks could not be measured, by the numbers of their trials, as far as that is known by now."""
        return {} if self._batch is None else self._batch.failed

    def result(self) -> BatchTimes:
        """Return what came of it; wait for that where necessary.

        Raises:
            ProfilerError: The device cannot be reached.
        """
        if self._batch is None:
            began = time.monotonic()
            if self._thread is None:
                self._run()
            else:
                self._thread.join()
            self._measuring.cost.waited_s += time.monotonic() - began
        if self._error is not None:
            raise self._error
        assert self._batch is not None
        return self._batch

    def _run(self) -> None:
        try:
            self._batch = self._measuring.measure(self._networks, self._expected_ms)
        except BaseException as error:  # raised again by `result`, in the search's thread
            self._error = error


def table_line(setup: SearchSetup, records: list[TrialRecord], statistic: str) -> str | None:
    """Return what measured trials say about the table's predictions, for people; None without such trials.

    Predictions are compared with q10 at the table's speed. Estimates that earlier trials had corrected are compared
    with the statistic that they are estimates of.
    """
    measured = [r for r in records if LATENCY.key in r.measurements]
    if not measured:
        return None
    predictions = setup.costs.space_costs.latency_ms(np.array([record.codes for record in measured], dtype=np.int64))
    prediction_errors, corrected_errors = [], []
    functions = setup.problem.estimated
    raw = functions[LATENCY.key](np.array([record.codes for record in measured], dtype=np.int64))
    for record, predicted, uncorrected in zip(measured, predictions.tolist(), raw.tolist(), strict=True):
        facts, estimate = record.measurements[LATENCY.key], record.estimates.get(LATENCY.key)
        prediction_errors.append(abs(predicted / facts["at_table_speed_q10"] - 1))
        if estimate is not None and not math.isclose(estimate, uncorrected, rel_tol=1e-4):
            corrected_errors.append(abs(estimate / facts[f"at_table_speed_{statistic}"] - 1))
    error = percent_text(float(np.median(prediction_errors)))
    text = f"measured trials: predictions of the table were off by {error} in the median"
    if not corrected_errors:
        return text
    return f"{text}, estimates corrected by earlier trials by {percent_text(float(np.median(corrected_errors)))}"
