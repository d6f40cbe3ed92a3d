"""The sampling protocol: interleaved, shuffled rounds over any set of runnables, until their noise is low enough.

Needs neither ONNX nor torch, and keeps to Python 3.9, because remote devices run it too. Neighbours, frequency steps
and cache states come in bursts. A sequential measurement gives a whole burst to one runnable; interleaved rounds spread
it over all of them, and a low quantile leaves it out. The noise of a runnable is judged on samples that are converted
to one speed of the machine (`at_one_speed`).
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

REFERENCE_OP = "calibration"
"""The reference op's name among runnables. Sample journals and bundles on disk hold it, in its earlier spelling."""
_SECOND_PASS = " (again)"
"""Ends the names of the second pass; sample journals and bundles on disk hold it."""
TextProgress = Callable[[str], None]
"""Receives one progress line for people."""
RoundSink = Callable[[int, Mapping[str, float]], None]
"""Receives the number of a finished round and the seconds of each runnable."""


def second_pass_name(name: str) -> str:
    """Return the name in the second pass of a graph that is called `name` in the first."""
    return name + _SECOND_PASS


def first_pass_name(name: str) -> str:
    """Return the name in the first pass of a graph that is called `name` in either pass."""
    return name.removesuffix(_SECOND_PASS)


class Runnable(Protocol):
    """Something that can be timed."""

    def run(self, repeats: int) -> float:
        """Execute `repeats` times back to back; return the seconds of all of them together."""


class Group(Protocol):
    """Times many runnables in one request, for devices behind a network, where each request takes long.

    A runnable that belongs to a group holds it as its attribute ``group``.
    """

    def fastest(self, runnables: Sequence[Runnable], warmup_runs: int) -> list[float]:
        """Run each `warmup_runs` times untimed, then three times; return the seconds of the fastest of the three."""

    def time_round(self, runnables: Sequence[Runnable], repeats: Sequence[int], priming_runs: int) -> list[float]:
        """Time each in the order given, after `priming_runs` untimed runs; return the seconds of all its repeats."""

    def seconds_away(self) -> float:
        """Return the seconds so far in which the device could not be reached; they count towards no limit."""


def shared_group(runnables: Iterable[Runnable]) -> Group | None:
    """Return the group that all runnables belong to; None where there is none."""
    groups = {id(group): group for group in (getattr(runnable, "group", None) for runnable in runnables)}
    return next(iter(groups.values())) if len(groups) == 1 else None


@dataclass(frozen=True)
class SamplingSettings:
    """When sampling stops, and how long one sample is.

    Attributes:
        min_rounds: Rounds before anything may stop.
        max_rounds: Most rounds.
        max_seconds: No round begins after this many seconds, once every runnable has had its `min_rounds`.
        target: Relative 90 % half-width of q10 at which a runnable has converged.
        inner_seconds: Seconds of one sample; a runnable is repeated until its sample is about this long.
        check_every: Rounds between two checks of the noise.
        warmup_runs: Untimed runs of each runnable before the first round.
        priming_runs: Untimed runs before each sample. The other runnables of a round have filled the caches with
            their weights: the first run after them takes 1.6 times as long as the fifth, the second 1.2 times. This
            holds for networks of milliseconds as much as for those of microseconds.
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
        """Return the settings as numbers for JSON."""
        return asdict(self)


def stop_reason(samples: SampleSet, rounds: int, settings: SamplingSettings) -> StopReason | None:
    """Return the rule that ends the sampling of a runnable at the check after round `rounds`; None for none.

    ``converged``: the noise is at or below the target. ``settled``: it is above, but the last four estimates agree
    within a tenth of their mean, so that more rounds would not help. ``cap``: no rounds are left (or, in `Timer`, no
    time). (The rules of NVIDIA's nvbench.)
    """
    if samples.widths and rounds >= settings.min_rounds:
        recent = samples.widths[-4:]
        if recent[-1] <= settings.target:
            return "converged"
        if len(recent) == 4 and max(recent) - min(recent) <= 0.1 * sum(recent) / 4:
            return "settled"
    return "cap" if rounds >= settings.max_rounds else None


class Timer:
    """Times runnables in interleaved rounds.

    Where the samples of the reference op show that many rounds were disturbed, the same number of rounds is added.

    Args:
        runnables: What to time, by name. The reference op, in either pass, is timed in every round.
        settings: When to stop.
        seed: Seeds the order inside the rounds and the bootstrap.
        history: Samples of an earlier, interrupted sampling, by name.
        on_round: Called after each round, before the next one starts; the place to write a journal.
        noise_weights: Factors on the noise of runnables before it is compared with the target, by name: 2 asks for half
            the noise. Names that are left out have the factor 1.
        first_moment: Smallest number that the next sample may get.
        clock: Returns seconds since a fixed moment.

    Attributes:
        samples: All samples by name.
        repeated: Rounds that were added because something else used the machine.
    """

    def __init__(
        self,
        runnables: Mapping[str, Runnable],
        settings: SamplingSettings,
        *,
        seed: int = 0,
        history: Mapping[str, SampleSet] | None = None,
        on_round: RoundSink | None = None,
        noise_weights: Mapping[str, float] | None = None,
        first_moment: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runnables = dict(runnables)
        self._settings = settings
        self._seed = seed
        self._on_round = on_round
        self._noise_weights = dict(noise_weights or {})
        self._clock = clock
        self._group = shared_group(self._runnables.values())
        self._reference_ops = [name for name in self._runnables if first_pass_name(name) == REFERENCE_OP]
        self.samples: dict[str, SampleSet] = dict(history or {})
        self.repeated = 0
        self._resumed = any(self.samples[name].seconds for name in self._runnables if name in self.samples)
        last_moments = [samples.moments[-1] for samples in self.samples.values() if samples.moments]
        self._moment = max([first_moment, *(moment + 1 for moment in last_moments)])

    def choose_repeats(self) -> dict[str, int]:
        """Warm up every runnable; return how often each is repeated in a sample (earlier choices stay)."""
        runnables, warmup_runs = list(self._runnables.values()), self._settings.warmup_runs
        if self._settings.inner_seconds == 0:  # single executions: nothing to choose
            if self._group is not None:
                self._group.time_round(runnables, [1] * len(runnables), max(0, warmup_runs - 1))
            for name, runnable in self._runnables.items():
                if self._group is None:
                    runnable.run(warmup_runs)
                self._choose(name, 1.0)
        elif self._group is not None:
            fastest = self._group.fastest(runnables, warmup_runs)
            for name, seconds in zip(self._runnables, fastest):  # noqa: B905 (devices run it with Python 3.9)
                self._choose(name, seconds)
        else:
            for name, runnable in self._runnables.items():
                runnable.run(warmup_runs)
                if name not in self.samples:
                    self._choose(name, min(runnable.run(1) for _ in range(3)))
        return {name: self.samples[name].repeats for name in self._runnables}

    def _choose(self, name: str, fastest: float) -> None:
        """Choose the repeats of a runnable whose fastest run took `fastest` seconds."""
        if name not in self.samples:
            self.samples[name] = SampleSet(max(1, math.ceil(self._settings.inner_seconds / max(fastest, 1e-9))))

    def run(self, progress: Callable[[int, int, int], None] | None = None) -> dict[str, SampleSet]:
        """Sample until every runnable has stopped.

        Args:
            progress: Called after each round with (round, most rounds, runnables that continue).

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
            self._check_noise(number, active)
            if number >= self._settings.min_rounds and self._now() - began > self._settings.max_seconds:
                self._stop_at_cap(self._runnables)
            if progress is not None:
                progress(number, self._settings.max_rounds, len(self._active()))
        self._add_rounds(number)
        self._stop_at_cap(self._reference_ops)  # every other runnable has stopped
        return self.samples

    def _add_rounds(self, number: int) -> None:
        """Add as many rounds over everything as were disturbed, where those were many; at most half of `max_rounds`.

        A runnable that had stopped may have stopped in a disturbed stretch, so it takes part, too. A resumed sampling
        adds none: its samples do not say which rounds were added ones.
        """
        most, began = self._settings.max_rounds // 2, self._now()
        if self._resumed or not self._reference_ops or len(self._runnables) == len(self._reference_ops):
            return
        reference = self.samples[self._reference_ops[0]]
        if disturbed(reference).mean() < MANY_DISTURBED:
            return
        while self.repeated < min(most, int(disturbed(reference).sum())):
            if self._now() - began > self._settings.max_seconds / 2:
                return
            self._round(number, list(self._runnables))
            number += 1
            self.repeated += 1

    def _active(self) -> list[str]:
        """Return what the next round times; the reference ops alone are no reason for a round."""
        active = [name for name in self._runnables if self.samples[name].stop is None]
        if active:
            active += [name for name in self._reference_ops if name not in active]
        return [] if active == self._reference_ops and len(self._runnables) > 1 else active

    def _round(self, number: int, active: list[str]) -> None:
        """Time the active runnables once, in a random order."""
        order = np.random.default_rng((self._seed, number)).permutation(len(active))
        round_seconds = self._time([active[int(index)] for index in order])
        for name, seconds in round_seconds.items():
            self.samples[name].add(seconds, self._moment)
            self._moment += 1
        if self._on_round is not None:
            self._on_round(number, round_seconds)

    def _time(self, names: Sequence[str]) -> dict[str, float]:
        """Return the seconds of one execution of each, measured in this order."""
        repeats, priming = [self.samples[name].repeats for name in names], self._settings.priming_runs
        if self._group is not None:
            totals = self._group.time_round([self._runnables[name] for name in names], repeats, priming)
            return {name: totals[i] / repeats[i] for i, name in enumerate(names)}
        seconds: dict[str, float] = {}
        for i, name in enumerate(names):
            self._runnables[name].run(priming)  # bring its weights back into the caches
            seconds[name] = self._runnables[name].run(repeats[i]) / repeats[i]
        return seconds

    def _now(self) -> float:
        """Return the clock's seconds, less those in which the device could not be reached."""
        return self._clock() - (self._group.seconds_away() if self._group is not None else 0.0)

    def _stop_at_cap(self, names: Iterable[str]) -> None:
        """Stop those of the runnables that have not stopped."""
        for name in names:
            self.samples[name].stop = self.samples[name].stop or "cap"

    def _replay(self) -> int:
        """Repeat the noise checks of an earlier, interrupted sampling; return the number of its rounds."""
        rounds = max((len(self.samples[name].seconds) for name in self._runnables), default=0)
        for number in range(1, rounds + 1):
            self._check_noise(number, [name for name in self._active() if len(self.samples[name].seconds) >= number])
        return rounds

    def _check_noise(self, number: int, active: list[str]) -> None:
        """Estimate the noise of active runnables where a check is due, and stop those to which a rule applies."""
        if number % self._settings.check_every and number < self._settings.max_rounds:
            return
        rng = np.random.default_rng((self._seed, number, 1))
        converted = at_one_speed({name: self.samples[name].until(number) for name in self._runnables}).samples
        for name in active:
            samples = self.samples[name]
            width = relative_half_width(converted[name].seconds, rng)
            samples.widths.append(self._noise_weights.get(name, 1.0) * width)
            samples.stop = samples.stop or stop_reason(samples, number, self._settings)
