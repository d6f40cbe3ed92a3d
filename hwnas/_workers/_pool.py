"""Local worker processes, started anew where one dies."""

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
from hwnas._runs._watch import Progress
from hwnas._workers._base import Attempts, Workers, in_order
from hwnas._workers._kit import Kit
from hwnas._workers._messages import Job, Outcome, Reply
from hwnas._workers._process import READY, work
from profilers._cores import unpinned

_MOST_FALSE_STARTS = 3
"""So many workers in a row that die before they are ready end the search."""
_PATIENCE_S = 5.0
"""What a worker has to leave in before it is killed."""


class LocalWorkers(Workers):
    """Processes of this machine, no more than a batch has use for; the first batch starts them.

    Args:
        kit: what they evaluate with.
        count: how many there are at most.
        progress: receives a line for each worker that is lost.
        timeout_s: seconds after which an evaluation has failed and its worker is killed; None for no limit.
    """

    def __init__(self, kit: Kit, count: int, progress: Progress, *, timeout_s: float | None = None) -> None:
        self._kit, self._count, self._progress, self._timeout_s = kit, count, progress, timeout_s
        self._packed: bytes | None = None
        self._hands: list[_Hand] = []
        self._false_starts = 0

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """The outcomes of a batch."""
        return in_order(jobs, self._replies(jobs))

    def _replies(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Reply]]:
        """The jobs' replies as they come."""
        attempts, waiting, left = Attempts(self._progress), deque(jobs), len(jobs)
        while left:
            self._fill(min(self._count, left))
            for hand in self._hands:
                if waiting and hand.idle:
                    hand.give(waiting.popleft())
            spoke = wait([hand.connection for hand in self._hands], self._patience_s())
            for late, reply in self._overdue(spoke):
                left -= 1
                yield late, reply
            for hand in [hand for hand in self._hands if hand.connection in spoke]:
                job, message = hand.job, self._hear(hand)
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
        """Seconds until an evaluation takes too long."""
        if self._timeout_s is None:
            return None
        begun = [hand.began for hand in self._hands if hand.job is not None]
        return max(0.0, min(begun) + self._timeout_s - time.monotonic()) if begun else None

    def _overdue(self, spoke: Sequence[object]) -> list[tuple[Job, Reply]]:
        """Kill the workers whose evaluations take too long, unless they have just spoken."""
        found: list[tuple[Job, Reply]] = []
        if self._timeout_s is None:
            return found
        for hand in list(self._hands):
            job = hand.job
            if job is None or hand.connection in spoke or time.monotonic() - hand.began < self._timeout_s:
                continue
            hand.process.kill()
            hand.end(_PATIENCE_S)
            self._hands.remove(hand)
            why = f"took longer than the {self._timeout_s:g} s of --evaluation-timeout"
            found.append((job, Reply(Outcome(None, why, self._timeout_s, "timeout"))))
        return found

    def _hear(self, hand: _Hand) -> object:
        """What a worker says; one that is gone is let go.

        Raises:
            HwnasError: too many in a row died before they were ready.
        """
        message = hand.message()
        if isinstance(message, _Gone):
            self._hands.remove(hand)
            self._false_starts = 0 if hand.ready else self._false_starts + 1
            if self._false_starts >= _MOST_FALSE_STARTS:
                how = message.how
                raise HwnasError(f"no worker can be started ({how}); what it printed says why, or take --workers 1")
        elif message == READY:
            self._false_starts = 0
        return message

    def _fill(self, wanted: int) -> None:
        """Start workers up to a number."""
        if self._packed is None:
            self._packed = self._kit.pack()
        while len(self._hands) < wanted:
            self._hands.append(_Hand(self._packed))

    def close(self) -> None:
        """End the processes."""
        hands, self._hands = self._hands, []
        for hand in hands:
            if hand.process.pid is not None:
                hand.process.terminate()
        deadline = time.monotonic() + _PATIENCE_S
        for hand in hands:
            hand.end(max(0.0, deadline - time.monotonic()))


class _Gone:
    """In place of a message: the worker died.

    Attributes:
        how: for people.
    """

    def __init__(self, code: int | None) -> None:
        self.how = f"exit code {code}"
        if code is not None and code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            self.how = f"killed by {name}" + (", out of memory?" if name == "SIGKILL" else "")


class _Hand:
    """One worker process.

    Attributes:
        process: itself.
        connection: to it; at its end once the worker is gone.
        job: what it evaluates now.
        ready: whether it has said so.
    """

    def __init__(self, packed: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self.job: Job | None = None
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

    def give(self, job: Job) -> None:
        """Let it evaluate a job; one that is gone already is noticed when its message is read."""
        self.job, self.began = job, time.monotonic()
        with suppress(OSError):
            self.connection.send(job)

    def message(self) -> object:
        """What it says; `_Gone` where it says nothing any more."""
        try:
            found = self.connection.recv()
        except (EOFError, OSError):
            self.end(_PATIENCE_S)
            return _Gone(self.process.exitcode)
        self.ready, self.job = True, None
        return found

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
    """A process that is started within this never hears Ctrl-C; the search hears it a moment later."""
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
