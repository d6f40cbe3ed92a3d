"""Trials measured on the device: each batch in one session, beside the table's reference networks.

Latency does not depend on the weights. So a batch is measured before its networks are evaluated, and never beside that
on one device; a device that is reached through ssh measures while this machine evaluates.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial

from hwnas._pipeline._batch import BatchTimes, Measuring, TrialTime
from hwnas._pipeline._known import rounded
from hwnas._pipeline._load import NotRunnableError, load_and_run
from hwnas._pipeline._measured_lines import table_line
from hwnas._pipeline._measuring_cost import MeasuringCost, choose_sampling
from hwnas._pipeline._memory import free_memory, ran_out
from hwnas._pipeline._setup import SearchSetup
from hwnas._tables._references import machine_of, speed_text
from hwnas.spaces import Architecture
from profilers import (
    NetworkTime,
    Runnable,
    Speed,
    SshBackend,
    TextProgress,
    executed_graph,
    fusion_of,
)

_MOVED = math.log(1.05)
"""A change of the machine's speed by this factor (its logarithm) is worth another line."""
_NO_MEMORY = "the device cannot run the network: it has too little free memory, also with no other network loaded"


class TrialMeasuring:
    """Measures the batches of a search.

    Args:
        setup: The search; its timer keeps the references loaded.
        say: Receives lines for people.
    """

    def __init__(self, setup: SearchSetup, say: TextProgress) -> None:
        self._setup, self._say = setup, say
        self._statistic = setup.latency_statistic
        self._announced: float | None = None
        self._batch: Measuring | None = None
        self.elsewhere = isinstance(setup.backend, SshBackend)
        """Whether the networks run on another machine than this one."""
        self.cost = MeasuringCost()

    def begin(self, networks: Mapping[int, Architecture], expected_ms: Mapping[int, float]) -> Measuring:
        """Measure a batch: at once on this machine, in the background on another one.

        Args:
            networks: Architectures by the numbers of their trials.
            expected_ms: Their expected latencies.
        """
        began = time.monotonic()
        _ = self._setup.timer  # loads the references, once: here, and not in the thread that measures
        self.cost.waited_s += time.monotonic() - began
        measure = partial(self._measure, networks, expected_ms)
        self._batch = Measuring(measure, self.cost, background=self.elsewhere)
        return self._batch

    def close(self) -> None:
        """End a measurement that nobody waits for any more."""
        if self._batch is not None:
            self._batch.close()

    def _measure(
        self, networks: Mapping[int, Architecture], expected_ms: Mapping[int, float], go_on: Callable[[], None]
    ) -> BatchTimes:
        """Measure a batch; networks for which memory runs out are measured again, alone.

        Raises:
            ProfilerError: The device cannot be reached.
            GivenUpError: Nobody waits for it any more.
        """
        began, batch = self._now(), BatchTimes()
        allowance_s = self.cost.allowance_s(len(networks))
        for number in self._together(networks, expected_ms, allowance_s, batch, go_on):
            free_memory()
            alone_s = allowance_s / len(networks)
            if self._together({number: networks[number]}, expected_ms, alone_s, batch, go_on):
                batch.failed[number] = _NO_MEMORY
                free_memory()
        self.cost.add(len(networks), self._now() - began)
        return batch

    def _together(
        self,
        networks: Mapping[int, Architecture],
        expected_ms: Mapping[int, float],
        allowance_s: float,
        batch: BatchTimes,
        go_on: Callable[[], None],
    ) -> list[int]:
        """Measure networks in one session beside the references.

        Returns:
            Numbers of the trials for whose networks memory ran out.
        """
        began, timer = self._now(), self._setup.timer
        runnables, too_large = self._loaded(networks, batch, go_on)
        if not runnables:
            return too_large
        slowness = self._announced or 1.0
        always_ms = [*(expected_ms[int(name)] for name in runnables), timer.references.reference_op_ms or 0.0]
        network_s = [ms * slowness / 1e3 for ms in always_ms]
        reference_s = [reference.then_ms * slowness / 1e3 for reference in timer.references.networks]
        sampling = choose_sampling(network_s, reference_s, allowance_s - (self._now() - began))
        try:
            session = timer.measure(
                runnables,
                sampling.settings,
                seed=min(networks),
                most_references=sampling.references,
                on_round=lambda number, seconds: go_on(),
            )
        except Exception as error:
            if not ran_out(error):
                raise
            return sorted([*too_large, *map(int, runnables)])
        batch.times |= {int(name): self._trial_time(t, session.speed) for name, t in session.times.items()}
        self._announce(session.speed)
        return too_large

    def _now(self) -> float:
        """Return the clock's seconds, less those in which the device could not be reached."""
        backend = self._setup.backend
        return time.monotonic() - (backend.device.seconds_away() if isinstance(backend, SshBackend) else 0.0)

    def _loaded(
        self, networks: Mapping[int, Architecture], batch: BatchTimes, go_on: Callable[[], None]
    ) -> tuple[dict[str, Runnable], list[int]]:
        """Load the networks.

        Returns:
            The networks that can be run, by the numbers of their trials as text, and the numbers of the trials for
            whose networks memory ran out, also after it was freed.
        """
        runnables: dict[str, Runnable] = {}
        too_large: list[int] = []
        for number, arch in networks.items():
            go_on()
            loaded = self._load(number, arch)
            if loaded is None:
                free_memory()
                loaded = self._load(number, arch)
            if loaded is None:
                too_large.append(number)
            elif isinstance(loaded, str):
                batch.failed[number] = loaded
            else:
                runnables[str(number)] = loaded
        return runnables, too_large

    def _load(self, number: int, arch: Architecture) -> Runnable | str | None:
        """Load a network with random weights and run it once; return why it cannot be run, None where memory ran out.

        Raises:
            ProfilerError: The device cannot be reached.
        """
        backend, space = self._setup.backend, self._setup.space
        assert backend is not None
        try:
            return load_and_run(
                lambda: backend.load(executed_graph(space.graph(arch), fusion_of(backend)), seed=number)
            )
        except NotRunnableError as refused:
            return None if ran_out(refused.error) else f"the device cannot run the network: {refused}"

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
