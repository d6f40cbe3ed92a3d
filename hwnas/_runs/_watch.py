"""What a search reports while it runs, and to whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas._runs._front import fixed_hypervolume
from hwnas._runs._journal import TrialRecord
from hwnas._runs._watched import WatchedSearch
from hwnas.tasks import Metric
from profilers import TextProgress
from search import Standing, Study


class Interrupted(KeyboardInterrupt):
    """The user stopped a search; the message says what is safe and how to continue."""


@dataclass(frozen=True)
class Status:
    """The state of a search.

    Attributes:
        done: Full evaluations so far.
        samples: Full evaluations in all.
        metric: What networks are good at.
        best: Its best value within the budget; None before there is one.
        hypervolume: Hypervolume of the trials within the budget above a fixed reference: it never falls; None where a
            score has no scale before the first batch is complete.
        per_minute: Evaluations a minute in this process; None before the first.
        left_s: Seconds until the last evaluation at that rate; None likewise.
        front: Whether the search is for a front; otherwise it is for the best network, and a line has no hypervolume.
    """

    done: int
    samples: int
    metric: Metric
    best: float | None
    hypervolume: float | None
    per_minute: float | None
    left_s: float | None
    front: bool = True

    @property
    def best_text(self) -> str:
        """The best value for people."""
        return "none yet" if self.best is None else self.metric.format(self.best)

    @property
    def found_text(self) -> str:
        """What was found so far: the best value, and for a front its hypervolume."""
        best = f"best {self.metric.text} {self.best_text}"
        if not self.front:
            return best
        return f"{best}, hypervolume {'none yet' if self.hypervolume is None else f'{self.hypervolume:.4f}'}"

    @property
    def line(self) -> str:
        """One line of text."""
        return f"{self.done} of {self.samples} samples: {self.found_text}"


def every(seconds: float, progress: TextProgress) -> Callable[[int, int, str], None]:
    """Pass on the last line and otherwise one line in so many seconds."""
    last = time.monotonic()

    def pass_on(done: int, total: int, text: str) -> None:
        """Pass on a line that is due."""
        nonlocal last
        if done >= total or time.monotonic() - last >= seconds:
            last = time.monotonic()
            progress(text)

    return pass_on


class Watcher:
    """Hears what happens; this one does nothing."""

    def line(self, text: str) -> None:
        """Receive a line of progress."""

    def begin(self, search: WatchedSearch) -> None:
        """Receive the search before its first evaluation, with the trials that an interrupted run already has."""

    def trial(self, record: TrialRecord, status: Callable[[], Status]) -> None:
        """Receive a finished, journalled trial; `status` computes the state of the search."""

    def end(self, finished: bool) -> None:
        """Receive the end of the search.

        Args:
            finished: Whether its networks are delivered; otherwise it was interrupted or failed.
        """

    def close(self) -> None:
        """End: nothing more will come."""


class Unbroken(Watcher):
    """Passes everything on; a log that cannot be written, on a full disk or a closed stream, ends no search.

    Args:
        watcher: Who hears of it.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def line(self, text: str) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):  # a closed file is a ValueError
            self._watcher.line(text)

    def begin(self, search: WatchedSearch) -> None:
        """Pass it on."""
        self._watcher.begin(search)

    def trial(self, record: TrialRecord, status: Callable[[], Status]) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._watcher.trial(record, status)

    def end(self, finished: bool) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._watcher.end(finished)

    def close(self) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._watcher.close()


class Lines(Watcher):
    """Plain lines: the remarks, and the status twenty times in a search; it is worked out where it is printed."""

    def __init__(self, progress: TextProgress) -> None:
        self._progress = progress
        self._done: int | None = None
        self._each = 1

    def line(self, text: str) -> None:
        """Pass it on."""
        self._progress(text)

    def trial(self, record: TrialRecord, status: Callable[[], Status]) -> None:
        """Print the status, at every twentieth of the samples."""
        if record.low_fidelity:
            return
        if self._done is None:
            first = status()
            self._done, self._each = first.done - 1, max(1, first.samples // 20)
        self._done += 1
        if self._done % self._each == 0:
            self._progress(status().line)


class Clock:
    """The state of a search, and its rate in this process. What a status costs does not depend on the trials before.

    Args:
        study: The search.
        samples: Full evaluations that there are to be.
        metric: The evaluator's metric.
        front: Whether the search is for a front.
        now: Returns seconds.
    """

    def __init__(
        self,
        study: Study,
        samples: int,
        metric: Metric,
        *,
        front: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study, self._samples, self._metric, self._front, self._now = study, samples, metric, front, now
        self._standing = Standing(study)
        self._before, self._began = self._standing.full, now()
        self._first: npt.NDArray[np.float64] | None = None

    def status(self) -> Status:
        """Return the state of the study."""
        standing = self._standing
        standing.update()
        done = standing.full
        rate = (done - self._before) / max(self._now() - self._began, 1e-9) if done > self._before else None
        return Status(
            done=done,
            samples=self._samples,
            metric=self._metric,
            best=standing.best,
            hypervolume=self._hypervolume(),
            per_minute=60 * rate if rate else None,
            left_s=max(0, self._samples - done) / rate if rate else None,
            front=self._front,
        )

    def _hypervolume(self) -> float | None:
        """Return the hypervolume on the scale of the first batch, from the front of the later trials."""
        objectives = self._study.problem.objectives
        if self._first is None:
            context = self._study.context()
            whole = len(context.told) > 0 and context.batches.max() > context.batches.min()
            if not whole:
                return fixed_hypervolume(objectives, context.told, context.batches)
            self._first = context.told[context.batches == context.batches.min()]
        values = np.concatenate([self._first, self._standing.front])
        return fixed_hypervolume(objectives, values, (np.arange(len(values)) >= len(self._first)).astype(np.int64))
