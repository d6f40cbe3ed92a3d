"""`Workers`: evaluates a batch of architectures, and says what came of each, in the batch's order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from hwnas._workers._messages import EvaluationJob, Outcome, Reply
from profilers import TextProgress

MOST_ATTEMPTS = 3
"""A trial whose worker is lost so many times has failed."""


class Workers(ABC):
    """Evaluates batches. What it gives depends on the jobs and the evaluators alone, not on who evaluates where."""

    @abstractmethod
    def evaluate(self, jobs: Sequence[EvaluationJob]) -> Iterator[Outcome]:
        """Return the outcomes of a batch, one a job and in the jobs' order; those that come early are held back.

        An evaluation that loses its worker is repeated by another one; after `MOST_ATTEMPTS` losses it has failed.

        Raises:
            HwnasError: Workers cannot be had.
            HwnasError, LatencyTableError, ProfilerError, SearchError: An evaluator says why it cannot continue. Any
                other error is met `MOST_ERRORS` times, and the trial has then failed.
        """

    def make_ready(self, count: int) -> None:  # noqa: B027 (most start nothing on this machine)
        """Start what evaluates so many architectures on this machine, and wait until it uses the cores no more.

        Raises:
            HwnasError: Workers cannot be had.
        """

    @abstractmethod
    def close(self) -> None:
        """End the workers; evaluations that are under way are given up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Attempts:
    """How often each job of a batch lost its worker.

    Args:
        progress: Receives a line for each loss.
    """

    def __init__(self, progress: TextProgress) -> None:
        self._progress = progress
        self._lost: Counter[int] = Counter()

    def lost(self, job: EvaluationJob, how: str) -> Reply | None:
        """Note a loss.

        Args:
            job: What the worker was evaluating.
            how: It was lost.

        Returns:
            The job's failure; None where it is to be evaluated again.
        """
        self._lost[job.number] += 1
        if self._lost[job.number] < MOST_ATTEMPTS:
            self._progress(f"a worker was lost ({how}); trial {job.number} is evaluated again")
            return None
        self._progress(f"a worker was lost ({how}); trial {job.number} has failed")
        return Reply(Outcome(None, f"its worker was lost {MOST_ATTEMPTS} times, last: {how}", 0.0, "a lost worker"))


def in_order(jobs: Sequence[EvaluationJob], replies: Iterable[tuple[EvaluationJob, Reply]]) -> Iterator[Outcome]:
    """Yield the outcomes in the jobs' order, each once those before it are there; errors are raised in their turn."""
    early: dict[int, Reply] = {}
    turn = iter(jobs)
    job = next(turn, None)
    for done, reply in replies:
        early[done.number] = reply
        while job is not None and job.number in early:
            yield early.pop(job.number).take()
            job = next(turn, None)
