"""Experiments of many jobs: each job has one file of results, and can be killed and started again.

A job is a frozen dataclass with a ``name``. Jobs of one phase need nothing of each other, so they can run at the same
time; those that measure run alone.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from _progress import say

from latency_tables import write_atomic

_PARENT_CHECK_S, _CLOCK_S = 1.0, 20.0
"""Seconds between two looks at whether the parent lives, and between two notes of the time spent."""


class JobLike(Protocol):
    """One unit of work: a dataclass with a name."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """Name of its file."""


J = TypeVar("J", bound=JobLike)


class Results:
    """The files of finished jobs.

    Args:
        folder: Where they are; made with the first result.
        settings: What all of them depend on.
        option: The option that chooses the folder, for errors.
        growing: Names of settings that are mappings and may gain entries.

    Raises:
        SystemExit: The folder holds results with other settings.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], option: str = "--out", growing: Sequence[str] = ()
    ) -> None:
        self.folder, self._file = folder, folder / "settings.json"
        self._settings = now = json.loads(json.dumps(settings))
        if self._file.exists():
            before = json.loads(self._file.read_text(encoding="utf-8"))
            for name in growing:
                held, given = before.get(name, {}), now[name]
                before[name], now[name] = {**given, **held}, {**held, **given}
            wrong = [name for name in now if before.get(name) != now[name]]
            if wrong:
                name = wrong[0]
                held = f"{folder} holds results with {name} {before.get(name)!r}, not {now[name]!r}"
                raise SystemExit(f"{held}; choose another {option}")

    def place(self, job: JobLike) -> Path:
        """Return the folder for a job's own files."""
        return self.folder / job.name

    def get(self, job: JobLike) -> dict[str, Any] | None:
        """Return a job's result; None where it is not finished."""
        file = self.folder / f"{job.name}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def need(self, job: JobLike) -> dict[str, Any]:
        """Return the result of a job that must be finished."""
        result = self.get(job)
        if result is None:
            raise SystemExit(f"{job.name} must be done first; run it, or leave --only out")
        return result

    def forget(self, job: JobLike) -> None:
        """Remove a job's result, so that it is done again."""
        (self.folder / f"{job.name}.json").unlink(missing_ok=True)

    def put(self, job: JobLike, result: Mapping[str, Any]) -> None:
        """Keep a job's result, and the settings with it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self._file, json.dumps(self._settings, indent=1) + "\n")
        write_atomic(self.folder / f"{job.name}.json", json.dumps({"job": asdict(job), **result}, indent=1) + "\n")


Do = Callable[[Any], Mapping[str, Any]]
"""Does a job and returns its result."""


def do_job(results: Results, do: Do, job: JobLike) -> None:
    """Do a job and keep its result, with the seconds since its last start and the core-seconds of all starts."""
    say(f"{job.name}: begins")
    began = time.perf_counter()
    with spent_core_seconds(results.place(job) / "core-seconds.json") as core_seconds:
        result = do(job)
        seconds = round(time.perf_counter() - began, 1)
        results.put(job, {**result, "seconds": seconds, "core_seconds": round(core_seconds(), 1)})
    say(f"{job.name}: done in {seconds:.0f} s")


@contextlib.contextmanager
def spent_core_seconds(file: Path) -> Iterator[Callable[[], float]]:
    """Count the core-seconds of this process; a file keeps those of earlier starts.

    Args:
        file: Written every few seconds, so that a kill loses little.
    """
    before = float(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else 0.0
    began, ended = time.process_time(), threading.Event()

    def spent() -> float:
        """Return the core-seconds of all starts."""
        return before + time.process_time() - began

    def note() -> None:
        """Write the core-seconds down."""
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(spent()))

    def keep_notes() -> None:
        """Write them down again and again."""
        while not ended.wait(_CLOCK_S):
            note()

    thread = threading.Thread(target=keep_notes, daemon=True)
    thread.start()
    try:
        yield spent
    finally:
        ended.set()
        thread.join()
        note()


@dataclass(frozen=True)
class Phase(Generic[J]):
    """Jobs that need nothing of each other.

    Attributes:
        jobs: The jobs, in the order in which they begin.
        alone: Whether nothing else may run beside any of them, since they measure.
    """

    jobs: Sequence[J]
    alone: bool = False


def named(jobs: Sequence[J], texts: Sequence[str]) -> list[J]:
    """Return the jobs whose name contains one of the texts; all jobs where there is no text.

    A ``$`` stands for the end of a name.
    """
    return [job for job in jobs if not texts or any(text in f"{job.name}$" for text in texts)]


def do_phases(results: Results, do: Do, phases: Sequence[Phase[Any]], workers: int) -> None:
    """Do the unfinished jobs of all phases, one phase after the other.

    Args:
        results: Their files.
        do: Does a job; with several workers, in a process of its own.
        phases: What there is to do.
        workers: Jobs at the same time.

    Raises:
        SystemExit: Jobs failed; what needs them was not begun.
    """
    for phase in phases:
        todo = [job for job in phase.jobs if results.get(job) is None]
        if workers == 1:
            for job in todo:
                do_job(results, do, job)
        else:
            do_at_once(results, do, todo, 1 if phase.alone else workers)
            failed = [job.name for job in todo if results.get(job) is None]
            if failed:
                raise SystemExit(f"these jobs failed: {', '.join(failed)}; see above, and start again")


def do_at_once(results: Results, do: Do, jobs: Sequence[JobLike], workers: int) -> None:
    """Do jobs in processes that share the data; a job that fails does not stop the others."""
    waiting, running = list(jobs), set[Any]()
    context = multiprocessing.get_context("fork")
    while waiting or running:
        while waiting and len(running) < workers:
            process = context.Process(target=_tried, args=(results, do, waiting.pop(0), os.getpid()))
            process.start()
            running.add(process)
        multiprocessing.connection.wait([process.sentinel for process in running])
        running = {process for process in running if process.is_alive()}


def _tried(results: Results, do: Do, job: JobLike, parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        do_job(results, do, job)
    except SystemExit as error:
        say(f"{job.name}: {error}")
        raise SystemExit(1) from None
    except BaseException:
        say(f"{job.name}: failed\n{traceback.format_exc()}")
        raise SystemExit(1) from None


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: a job of a killed experiment must not write beside a new one."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)


def tell_plan(results: Results, jobs: Sequence[JobLike], minutes: Callable[[Any], float]) -> float:
    """Print the jobs, about how many minutes each takes, and which are done; return the minutes that are left."""
    left = 0.0
    for job in jobs:
        done, about = results.get(job) is not None, minutes(job)
        left += 0.0 if done else about
        print(f"{'done' if done else f'{about:6.1f} min'}  {job.name}")
    return left
