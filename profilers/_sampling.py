"""The sampling protocol: interleaved, shuffled rounds over any set of runnables, until the noise allows to stop.

Needs neither ONNX nor torch, and keeps to Python 3.9: devices that are measured from elsewhere run it too. Neighbours,
frequency steps and cache states come in bursts; a sequential measurement gives all of a burst to one runnable,
interleaved rounds spread it over all, and a low quantile leaves it out. How noisy a runnable is, is judged on samples
at one speed of the machine (`at_one_speed`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from profilers._samples import MANY_DISTURBED, SampleSet, StopReason, disturbed, relative_half_width
from profilers._speed import at_one_speed

CALIBRATION = "calibration"
"""Name of the runnable whose drift is watched and reported."""
_AGAIN = " (again)"


def again(name: str) -> str:
    """What a session of the graph `name` is called in a second pass."""
    return name + _AGAIN


def same_graph(name: str) -> str:
    """The graph that a runnable of either pass executes."""
    return name.removesuffix(_AGAIN)


class Runnable(Protocol):
    """Something that can be timed."""

    def run(self, repeats: int) -> float:
        """Execute `repeats` times back to back; returns the seconds that all of them took."""


class Group(Protocol):
    """Times many runnables in one go, where every word to them takes long: those of a device reached over a network.

    A runnable that belongs to one holds it as its attribute ``group``.
    """

    def fastest(self, runnables: Sequence[Runnable], warmup_runs: int) -> list[float]:
        """Run each `warmup_runs` times untimed, then three times; returns the seconds of the fastest of the three."""

    def time_round(self, runnables: Sequence[Runnable], repeats: Sequence[int], priming_runs: int) -> list[float]:
        """Time each in the order given, `priming_runs` untimed runs before; returns the seconds of all its repeats."""

    def seconds_away(self) -> float:
        """Seconds so far in which the device could not be reached: they count towards no limit."""


def shared_group(runnables: Iterable[Runnable]) -> Group | None:
    """The group that all of them belong to; None where there is none."""
    groups = {id(group): group for group in (getattr(runnable, "group", None) for runnable in runnables)}
    return next(iter(groups.values())) if len(groups) == 1 else None


@dataclass(frozen=True)
class SamplingSettings:
    """When to stop, and how long one sample is.

    Attributes:
        min_rounds: rounds before anything may stop.
        max_rounds: the cap.
        max_seconds: no round begins after so long, once everything has had its `min_rounds`.
        target: relative 90 % half-width of q10 at which a runnable has converged.
        inner_seconds: a sample repeats its runnable until it is about this long.
        check_every: rounds between two looks at the noise.
        warmup_runs: untimed runs of each runnable before the first round.
        priming_runs: untimed runs before each sample. The other runnables of a round have filled the caches with
            their weights: the first run behind them takes 1.6 times as long as the fifth, the second 1.2 times, and
            that of a network of milliseconds no less than that of one of microseconds.
    """

    min_rounds: int = 11
    max_rounds: int = 45
    max_seconds: float = 70.0
    target: float = 0.01
    inner_seconds: float = 300e-6
    check_every: int = 5
    warmup_runs: int = 1
    priming_runs: int = 4

    def as_dict(self) -> dict[str, float]:
        """The settings as JSON-able numbers."""
        return asdict(self)


RoundSink = Callable[[int, Mapping[str, float]], None]


def stop_reason(samples: SampleSet, rounds: int, settings: SamplingSettings) -> StopReason | None:
    """Which rule, if any, ends the sampling of one runnable after the look behind its round number `rounds`.

    ``converged``: the noise is below the target. ``settled``: above the target, but the last four estimates of the
    noise agree within a tenth of their mean, so that more rounds would not help. ``cap``: out of rounds
    (or, in `Sampler`, of time). (The rules of NVIDIA's nvbench.)
    """
    if samples.widths and rounds >= settings.min_rounds:
        recent = samples.widths[-4:]
        if recent[-1] <= settings.target:
            return "converged"
        if len(recent) == 4 and max(recent) - min(recent) <= 0.1 * sum(recent) / 4:
            return "settled"
    return "cap" if rounds >= settings.max_rounds else None


class Sampler:
    """Runs the rounds. Where many were disturbed, as the runnable `CALIBRATION` tells, as many more follow.

    Args:
        runnables: what to time, by name; that of the graph `CALIBRATION`, in either pass, is sampled in every round.
        settings: when to stop.
        seed: of the order inside the rounds and of the bootstrap.
        history: rounds of an earlier, interrupted sampling (`SampleSet` by name).
        on_round: called after each round with its number and the seconds of each runnable, before the next one
            starts: where a journal is written.
        care: how many times smaller the noise of a runnable must be than the target (1 where it is not named).
        first_moment: number of the first sample that is taken from now on, at least.
        clock: seconds since any moment.

    Attributes:
        samples: all of them by name.
        repeated: rounds that were measured again since something else used the machine.
    """

    def __init__(
        self,
        runnables: Mapping[str, Runnable],
        settings: SamplingSettings,
        *,
        seed: int = 0,
        history: Mapping[str, SampleSet] | None = None,
        on_round: RoundSink | None = None,
        care: Mapping[str, float] | None = None,
        first_moment: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runnables = dict(runnables)
        self._settings = settings
        self._seed = seed
        self._on_round = on_round
        self._care = dict(care or {})
        self._clock = clock
        self._group = shared_group(self._runnables.values())
        self._watched = [name for name in self._runnables if same_graph(name) == CALIBRATION]
        self.samples: dict[str, SampleSet] = dict(history or {})
        self.repeated = 0
        self._resumed = any(self.samples[name].seconds for name in self._runnables if name in self.samples)
        self._moment = max([first_moment, *(one.moments[-1] + 1 for one in self.samples.values() if one.moments)])

    def choose_repeats(self) -> dict[str, int]:
        """Warm every runnable up; returns how often each is repeated in a sample (earlier choices stay)."""
        if self._group is not None:
            runnables = list(self._runnables.values())
            fastest = self._group.fastest(runnables, self._settings.warmup_runs)
            for name, seconds in zip(self._runnables, fastest):  # noqa: B905 (devices run it with Python 3.9)
                self._choose(name, seconds)
        else:
            for name, runnable in self._runnables.items():
                runnable.run(self._settings.warmup_runs)
                if name not in self.samples:
                    self._choose(name, min(runnable.run(1) for _ in range(3)))
        return {name: self.samples[name].repeats for name in self._runnables}

    def _choose(self, name: str, fastest: float) -> None:
        if name not in self.samples:
            self.samples[name] = SampleSet(max(1, math.ceil(self._settings.inner_seconds / max(fastest, 1e-9))))

    def run(self, progress: Callable[[int, int, int], None] | None = None) -> dict[str, SampleSet]:
        """Sample until every runnable has stopped.

        Args:
            progress: called after each round with (round, cap, runnables still active).

        Returns:
            All samples by name.
        """
        if not all(name in self.samples for name in self._runnables):
            self.choose_repeats()
        number = self._replay()
        began = self._now()
        while active := self._active():
            self._round(number, active)
            number += 1
            self._look(number, active)
            if number >= self._settings.min_rounds and self._now() - began > self._settings.max_seconds:
                self._out_of_time(self._runnables)
            if progress is not None:
                progress(number, self._settings.max_rounds, len(self._active()))
        self._measure_again(number)
        self._out_of_time(self._watched)  # nothing is left that they would be watched for
        return self.samples

    def _measure_again(self, number: int) -> None:
        """As many rounds over everything as were disturbed, where those were many; half a sampling at most.

        Whatever had stopped by then may have stopped in a disturbed stretch: it takes part, too. A sampling that was
        interrupted does without: its samples do not say which rounds were repeated ones.
        """
        most, began = self._settings.max_rounds // 2, self._now()
        if self._resumed or not self._watched or len(self._runnables) == len(self._watched):
            return
        if disturbed(self.samples[self._watched[0]]).mean() < MANY_DISTURBED:
            return
        while self.repeated < min(most, int(disturbed(self.samples[self._watched[0]]).sum())):
            if self._now() - began > self._settings.max_seconds / 2:
                return
            self._round(number, list(self._runnables))
            number += 1
            self.repeated += 1

    def _active(self) -> list[str]:
        active = [name for name in self._runnables if self.samples[name].stop is None]
        if active:
            active += [name for name in self._watched if name not in active]
        return [] if active == self._watched and len(self._runnables) > 1 else active

    def _round(self, number: int, active: list[str]) -> None:
        order = np.random.default_rng((self._seed, number)).permutation(len(active))
        taken = self._time([active[int(index)] for index in order])
        for name, seconds in taken.items():
            self.samples[name].add(seconds, self._moment)
            self._moment += 1
        if self._on_round is not None:
            self._on_round(number, taken)

    def _time(self, names: Sequence[str]) -> dict[str, float]:
        """Seconds of one execution of each, measured in this order."""
        repeats, priming = [self.samples[name].repeats for name in names], self._settings.priming_runs
        taken: dict[str, float] = {}
        if self._group is not None:
            seconds = self._group.time_round([self._runnables[name] for name in names], repeats, priming)
            return {name: seconds[i] / repeats[i] for i, name in enumerate(names)}
        for i, name in enumerate(names):
            self._runnables[name].run(priming)  # bring its weights back into the caches
            taken[name] = self._runnables[name].run(repeats[i]) / repeats[i]
        return taken

    def _now(self) -> float:
        """The clock, less the time in which nothing could be measured."""
        return self._clock() - (self._group.seconds_away() if self._group is not None else 0.0)

    def _out_of_time(self, names: Iterable[str]) -> None:
        for name in names:
            self.samples[name].stop = self.samples[name].stop or "cap"

    def _replay(self) -> int:
        """Take the looks of an earlier, interrupted sampling again; returns the number of its rounds."""
        rounds = max((len(self.samples[name].seconds) for name in self._runnables), default=0)
        for number in range(1, rounds + 1):
            self._look(number, [name for name in self._active() if len(self.samples[name].seconds) >= number])
        return rounds

    def _look(self, number: int, active: list[str]) -> None:
        """After round `number`, judge the noise of the active runnables, if it is time to."""
        if number % self._settings.check_every and number < self._settings.max_rounds:
            return
        rng = np.random.default_rng((self._seed, number, 1))
        steady = at_one_speed({name: self.samples[name].until(number) for name in self._runnables}).samples
        for name in active:
            samples = self.samples[name]
            width = relative_half_width(steady[name].seconds, rng)
            samples.widths.append(self._care.get(name, 1.0) * width)
            samples.stop = samples.stop or stop_reason(samples, number, self._settings)
