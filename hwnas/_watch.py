"""What a search tells while it runs, and whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hwnas._front import fixed_hypervolume
from hwnas._runs import written_value
from search import Study

Progress = Callable[[str], None]


class Interrupted(KeyboardInterrupt):
    """The user stopped a search; the message says what is safe and how to go on."""


@dataclass(frozen=True)
class Status:
    """Where a search stands.

    Attributes:
        done: full evaluations so far.
        samples: how many there are to be.
        measure: what is maximised.
        best: its best value within the budget; None before there is one.
        hypervolume: of the trials within the budget, beyond a fixed reference: it never falls; None where a score has
            no scale before the first batch is complete.
        per_minute: evaluations a minute in this process; None before the first.
        left_s: seconds until the last evaluation at that rate; None likewise.
    """

    done: int
    samples: int
    measure: str
    best: float | None
    hypervolume: float | None
    per_minute: float | None
    left_s: float | None

    @property
    def best_text(self) -> str:
        """The best value for people."""
        return "none yet" if self.best is None else written_value(self.measure, self.best)

    @property
    def line(self) -> str:
        """One line for people."""
        return (
            f"{self.done} of {self.samples} samples: best {self.measure} {self.best_text}, "
            f"hypervolume {self.hypervolume_text}"
        )

    @property
    def hypervolume_text(self) -> str:
        """The hypervolume for people."""
        return "not yet" if self.hypervolume is None else f"{self.hypervolume:.4f}"


def every(seconds: float, progress: Progress) -> Callable[[int, int, str], None]:
    """Pass on the last line and otherwise one line in so many seconds."""
    last = time.monotonic()

    def pass_on(done: int, total: int, text: str) -> None:
        nonlocal last
        if done >= total or time.monotonic() - last >= seconds:
            last = time.monotonic()
            progress(text)

    return pass_on


class Watcher:
    """Hears what happens; this one does nothing."""

    def line(self, text: str) -> None:
        """A remark for people."""

    def trial(self, record: Mapping[str, Any], status: Callable[[], Status]) -> None:
        """A trial is finished and journalled; `status` works out where the search stands."""

    def close(self) -> None:
        """Nothing more will come."""


class Lines(Watcher):
    """Plain lines: the remarks, and the status twenty times in a search."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def line(self, text: str) -> None:
        """Pass it on."""
        self._progress(text)

    def trial(self, record: Mapping[str, Any], status: Callable[[], Status]) -> None:
        """The status, at every twentieth of the samples."""
        if record.get("cheap"):
            return
        now = status()
        if now.done % max(1, now.samples // 20) == 0:
            self._progress(now.line)


class Clock:
    """The rate of a search in this process.

    Args:
        done: full evaluations before it.
        now: tells seconds.
    """

    def __init__(self, done: int, now: Callable[[], float] = time.monotonic) -> None:
        self._before, self._now, self._began = done, now, now()

    def status(self, study: Study, samples: int) -> Status:
        """Where the study stands."""
        done = sum(not trial.cheap for trial in study.trials)
        context = study.context()
        rate = (done - self._before) / max(self._now() - self._began, 1e-9) if done > self._before else None
        return Status(
            done=done,
            samples=samples,
            measure=study.problem.objectives[0].name,
            best=float(context.values[:, 0].max()) if context.successful else None,
            hypervolume=fixed_hypervolume(study.problem.objectives, context.values, context.batches),
            per_minute=60 * rate if rate else None,
            left_s=max(0, samples - done) / rate if rate else None,
        )
