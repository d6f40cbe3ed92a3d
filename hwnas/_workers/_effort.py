"""Idle cores, threads to train with, and durations estimated from the first steps."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from profilers.cores import core_mask, usable_cores

TORCH = ("supernet", "train", "synflow", "naswot", "gradnorm")
"""Evaluators of ours that compute with torch."""
_SAMPLE_S = 0.3
_SLACK = 0.25
"""A core that is idle but for this share counts as idle."""
_WORTH_S = 20.0
"""Shorter work is not announced."""
_FIRST_STEPS, _FIRST_S = 8, 2.0
_FIRST_TRIALS = 3
Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Load:
    """What the cores of this process do.

    Attributes:
        cores: Cores that threads can use.
        idle: Idle share of these, in cores.
    """

    cores: int
    idle: float

    @property
    def threads(self) -> int:
        """Threads that find a core each, at least one: two that share one wait for each other at every step."""
        return max(1, min(self.cores, int(self.idle + _SLACK)))

    @property
    def line(self) -> str:
        """What is chosen, and why."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        busy = self.cores - self.idle
        if self.threads == self.cores:
            idle = "the core is" if self.cores == 1 else f"all {self.cores} cores are"
            return f"training with {threads}: {idle} idle"
        work = f"other work keeps {busy:.1f} of {self.cores} cores busy"
        return f"training with {threads}: {work} (change with --evaluation-threads)"


def measure_load(seconds: float = _SAMPLE_S) -> Load:
    """Watch the cores of this process for a moment in which it sleeps itself."""
    before = _idle_and_total()
    time.sleep(seconds)
    after = _idle_and_total()
    shares = [
        min(1.0, max(0.0, (idle - was_idle) / (total - was)))
        for (was_idle, was), (idle, total) in zip(before, after, strict=False)
        if total > was
    ]
    cores = usable_cores()
    idle = statistics.fmean(shares) * len(core_mask()) if shares else float(cores)
    return Load(cores, min(float(cores), idle))


def _idle_and_total() -> list[tuple[float, float]]:
    """Return seconds idle and in all since boot, of each core of the mask; none where the system does not say."""
    import psutil

    try:
        times = psutil.cpu_times(percpu=True)
    except (OSError, RuntimeError, NotImplementedError):
        return []
    mask = set(core_mask())
    return [
        (float(core.idle + getattr(core, "iowait", 0.0)), float(sum(core[:8])))  # the other fields are parts of these
        for number, core in enumerate(times)
        if number in mask
    ]


def choose_threads(evaluator: str, device: str, say: Callable[[str], None]) -> int | None:
    """Choose threads to train and evaluate with, and say why; None leaves them to torch.

    ``OMP_NUM_THREADS`` is the user's own choice, which torch follows; evaluators of plug-ins may not use torch.
    """
    if os.environ.get("OMP_NUM_THREADS") or evaluator not in TORCH or device.startswith("cuda"):
        return None
    load = measure_load()
    say(load.line)
    return load.threads


def written_range(seconds: Sequence[float], left: int) -> str:
    """Write how long `left` steps take where earlier ones took `seconds`: the mean, and a range from quick to slow."""
    ordered = sorted(seconds)
    middle = statistics.fmean(ordered)
    low = min(0.9 * middle, ordered[len(ordered) // 4])
    high = max(1.25 * middle, ordered[min(len(ordered) - 1, round(0.9 * (len(ordered) - 1)))])
    return f"about {_written(middle * left)} ({_written(low * left)} to {_written(high * left)})"


def announced(
    report: Report, say: Callable[[str], None], what: str, now: Callable[[], float] = time.monotonic
) -> Report:
    """Wrap a receiver of progress so that it says once, after the first steps, how long the rest takes.

    Args:
        report: Receives everything; its lines continue to say what is left.
        say: Receives the estimate.
        what: Is being done.
        now: Returns seconds.
    """
    taken_s: list[float] = []
    last: list[float] = []
    announced_before: list[bool] = []

    def receive(done: int, total: int, text: str) -> None:
        """Receive a step."""
        moment = now()
        if last:
            taken_s.append(moment - last[0])
        last[:] = [moment]
        if not announced_before and len(taken_s) >= _FIRST_STEPS and sum(taken_s) >= _FIRST_S:
            announced_before.append(True)
            steady = taken_s[1:]  # the first one warms up
            if statistics.fmean(steady) * (total - done) >= _WORTH_S:
                left = written_range(steady, total - done)
                say(f"{what} takes {left} more, estimated from its first {len(taken_s) + 1} steps")
        report(done, total, text)

    return receive


class SampleTimes:
    """Says after the first evaluations, and once more at a tenth of them, how long the others take.

    Args:
        done: Evaluations before this process began.
        samples: Evaluations in all.
        say: Receives the lines.
        now: Returns seconds.
    """

    def __init__(
        self, done: int, samples: int, say: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._samples, self._say, self._now = samples, say, now
        self._last, self._taken_s = now(), list[float]()
        self._due = {_FIRST_TRIALS, max(_FIRST_TRIALS, (samples - done) // 10)}

    def finished(self, done: int) -> None:
        """Count a finished evaluation: `done` in all."""
        moment = self._now()
        self._taken_s.append(moment - self._last)
        self._last = moment
        left = self._samples - done
        if len(self._taken_s) in self._due and statistics.fmean(self._taken_s) * left >= _WORTH_S:
            by = f"estimated from the {len(self._taken_s)} so far"
            self._say(f"the remaining {left} samples take {written_range(self._taken_s, left)}, {by}")


def _written(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h"
