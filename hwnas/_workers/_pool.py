"""Local worker processes; one that dies is replaced."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from hwnas._errors import HwnasError
from hwnas._workers._base import Attempts, Workers, in_order
from hwnas._workers._kit import PortableEvaluators
from hwnas._workers._messages import EvaluationJob, Outcome, Reply
from hwnas._workers._process import READY, work
from profilers import TextProgress
from profilers.cores import unpinned

_MOST_FALSE_STARTS = 3
"""So many workers in a row that die before they are ready end the search."""
_PATIENCE_S = 5.0
"""What a worker has to leave in before it is killed."""


class LocalWorkers(Workers):
    """Processes of this machine, no more than a batch has use for; the first batch starts them.

    Args:
        portable: What they evaluate with.
        count: How many there are at most.
        progress: Receives a line for each worker that is lost.
        timeout_s: Seconds after which an evaluation has failed and its worker is killed; None for no limit.
    """

    def __init__(
        self, portable: PortableEvaluators, count: int, progress: TextProgress, *, timeout_s: float | None = None
    ) -> None:
        self._portable, self._count, self._progress, self._timeout_s = portable, count, progress, timeout_s
        self._packed: bytes | None = None
        self._processes: list[_WorkerProcess] = []
        self._false_starts = 0

    def evaluate(self, jobs: Sequence[EvaluationJob]) -> Iterator[Outcome]:
        """Return the outcomes of a batch."""
        return in_order(jobs, self._replies(jobs))

    def make_ready(self, count: int) -> None:
        """Start the workers that so many evaluations have use for, and wait until all have loaded what they need."""
        self._fill(min(self._count, count))
        while starting := [worker for worker in self._processes if not worker.ready]:
            spoke = wait([worker.connection for worker in starting])
            for worker in [worker for worker in starting if worker.connection in spoke]:
                message = self._hear(worker)
                if isinstance(message, Reply):
                    message.take()  # a worker that cannot make ready says why
            self._fill(min(self._count, count))

    def _replies(self, jobs: Sequence[EvaluationJob]) -> Iterator[tuple[EvaluationJob, Reply]]:
        """Yield the jobs' replies as they come."""
        attempts, waiting, left = Attempts(self._progress), deque(jobs), len(jobs)
        while left:
            self._fill(min(self._count, left))
            for worker in self._processes:
                if waiting and worker.idle:
                    worker.give(waiting.popleft())
            spoke = wait([worker.connection for worker in self._processes], self._patience_s())
            for late, reply in self._overdue(spoke):
                left -= 1
                yield late, reply
            for worker in [worker for worker in self._processes if worker.connection in spoke]:
                job, message = worker.job, self._hear(worker)
                if isinstance(message, _Gone) and job is not None:
                    message = attempts.lost(job, message.how)
                    if message is None:
                        waiting.appendleft(job)
                if isinstance(message, Reply) and job is not None:
                    left -= 1
                    yield job, message
                elif isinstance(message, Reply):
                    message.take()  # a worker that cannot make ready says why

    def _patience_s(self) -> float | None:
        """Return seconds until an evaluation takes too long."""
        if self._timeout_s is None:
            return None
        begun = [worker.began for worker in self._processes if worker.job is not None]
        return max(0.0, min(begun) + self._timeout_s - time.monotonic()) if begun else None

    def _overdue(self, spoke: Sequence[object]) -> list[tuple[EvaluationJob, Reply]]:
        """Kill the workers whose evaluations take too long, unless they have just spoken."""
        replies: list[tuple[EvaluationJob, Reply]] = []
        if self._timeout_s is None:
            return replies
        for worker in list(self._processes):
            job = worker.job
            if job is None or worker.connection in spoke or time.monotonic() - worker.began < self._timeout_s:
                continue
            worker.process.kill()
            worker.end(_PATIENCE_S)
            self._processes.remove(worker)
            why = f"took longer than the {self._timeout_s:g} s of --evaluation-timeout"
            replies.append((job, Reply(Outcome(None, why, self._timeout_s, "timeout"))))
        return replies

    def _hear(self, worker: _WorkerProcess) -> object:
        """Return what a worker says; one that is gone is let go.

        Raises:
            HwnasError: Too many in a row died before they were ready.
        """
        message = worker.message()
        if isinstance(message, _Gone):
            self._processes.remove(worker)
            self._false_starts = 0 if worker.ready else self._false_starts + 1
            if self._false_starts >= _MOST_FALSE_STARTS:
                how = message.how
                raise HwnasError(
                    f"worker processes fail to start ({how}); see their output for the reason, or use --workers 1"
                )
        elif message == READY:
            self._false_starts = 0
        return message

    def _fill(self, wanted: int) -> None:
        """Start workers up to a number."""
        if self._packed is None:
            self._packed = self._portable.pack()
        while len(self._processes) < wanted:
            self._processes.append(_WorkerProcess(self._packed))

    def close(self) -> None:
        """End the processes."""
        processes, self._processes = self._processes, []
        for worker in processes:
            if worker.process.pid is not None:
                worker.process.terminate()
        deadline = time.monotonic() + _PATIENCE_S
        for worker in processes:
            worker.end(max(0.0, deadline - time.monotonic()))


class _Gone:
    """In place of a message: the worker died.

    Attributes:
        how: For people.
    """

    def __init__(self, code: int | None) -> None:
        self.how = f"exit code {code}"
        if code is not None and code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            self.how = f"killed by {name}" + (", out of memory?" if name == "SIGKILL" else "")


class _WorkerProcess:
    """One worker process.

    Attributes:
        process: Itself.
        connection: To it; at its end once the worker is gone.
        job: What it evaluates now.
        ready: Whether it has said so.
    """

    def __init__(self, packed: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self.job: EvaluationJob | None = None
        self.began = 0.0
        self.ready = False
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=work, args=(theirs, packed), daemon=True)
        with suppress(BrokenPipeError), _interrupts_held_back(), unpinned():
            self.process.start()  # one that dies in between is noticed when it is heard
        theirs.close()

    @property
    def idle(self) -> bool:
        """Whether it takes a job."""
        return self.ready and self.job is None

    def give(self, job: EvaluationJob) -> None:
        """Let it evaluate a job; one that is gone already is noticed when its message is read."""
        self.job, self.began = job, time.monotonic()
        with suppress(OSError):
            self.connection.send(job)

    def message(self) -> object:
        """Return what it says; `_Gone` where it says nothing any more."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.end(_PATIENCE_S)
            return _Gone(self.process.exitcode)
        self.ready, self.job = True, None
        return message

    def end(self, patience_s: float) -> None:
        """Wait until it has left; kill it where it does not."""
        if self.process.pid is not None:
            self.process.join(patience_s)
            if self.process.exitcode is None:
                self.process.kill()
                self.process.join()
        self.connection.close()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Keep Ctrl-C from processes started within this; the search receives it a moment later."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # or starting the first process would start it, which lets interrupts through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
