"""What the probes may read. Every part can be replaced, so that tests imitate other machines."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

SAMPLE_S = 0.5


@dataclass(frozen=True)
class Finding:
    """The result of one probe.

    Attributes:
        check: What was examined.
        status: ``ok``, ``warning`` (disturbs measurements), ``info``, or ``unknown`` (the system does not report it).
        text: What was found.
        fix: How to fix it; empty where nothing needs fixing.
    """

    check: str
    status: str
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Neighbour:
    """Another process.

    Attributes:
        pid: Process id.
        name: Process name.
        cores: Cores that it kept busy while it was watched.
    """

    pid: int
    name: str
    cores: float


def watch_neighbours(seconds: float = SAMPLE_S) -> list[Neighbour]:
    """Watch all other processes for a short time; the busiest come first."""
    import psutil

    def times() -> dict[int, tuple[str, float]]:
        """Return name and processor seconds of each process."""
        processes = {}
        for process in psutil.process_iter():
            try:
                used = process.cpu_times()
                processes[process.pid] = (process.name(), float(used.user + used.system))
            except (psutil.Error, OSError):
                continue
        return processes

    before, began = times(), time.perf_counter()
    time.sleep(seconds)
    after, elapsed_s = times(), time.perf_counter() - began
    own = os.getpid()
    rows = [
        Neighbour(pid, name, (used - before[pid][1]) / elapsed_s)
        for pid, (name, used) in after.items()
        if pid != own and pid in before
    ]
    return sorted(rows, key=lambda row: -row.cores)


def own_cores() -> tuple[int, ...]:
    """List the cores that this process may run on."""
    from profilers.cores import core_mask

    return tuple(core_mask())


def providers_here() -> list[str]:
    """List the execution providers of the installed ONNX Runtime."""
    from profilers import installed_providers

    return list(installed_providers())


def cuda_here() -> tuple[bool, str]:
    """Say whether a GPU can be measured through torch, and its name or why not."""
    from hwnas._devices._make import list_devices

    info = next(info for info in list_devices() if info.name.startswith("cuda"))
    return info.usable, info.description if info.usable else info.hint


@dataclass(frozen=True)
class Machine:
    """A machine to examine; by default this one.

    Attributes:
        root: Folder that holds ``/proc`` and ``/sys``.
        system: Name of the operating system.
        environment: Environment variables.
        cores: Cores that this process may run on.
        core_count: Number of cores of the machine.
        neighbours: Watches the other processes.
        installed: Says whether a package can be imported.
        providers: Lists the execution providers of ONNX Runtime.
        cuda: Says whether a GPU is usable, and which one or why not.
        work: The loop that is timed.
        loop_seconds: How long it is timed, in seconds.
    """

    root: Path = Path("/")
    system: str = field(default_factory=platform.system)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cores: tuple[int, ...] = field(default_factory=own_cores)
    core_count: int = field(default_factory=lambda: os.cpu_count() or 1)
    neighbours: Callable[[], list[Neighbour]] = watch_neighbours
    installed: Callable[[str], bool] = lambda name: find_spec(name) is not None
    providers: Callable[[], list[str]] = providers_here
    cuda: Callable[[], tuple[bool, str]] = cuda_here
    work: Callable[[], object] = lambda: sum(range(20_000))
    loop_seconds: float = 2.0

    def text(self, path: str) -> str | None:
        """Read a file below the root, without surrounding spaces; None where it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def texts(self, pattern: str) -> dict[str, str]:
        """Read all files below the root that match a pattern, by path."""
        paths = [str(path.relative_to(self.root)) for path in sorted(self.root.glob(pattern))]
        return {path: text for path in paths if (text := self.text(path)) is not None}

    def number(self, path: str) -> int | None:
        """Read an integer from a file; None where there is none."""
        try:
            return int(self.text(path) or "")
        except ValueError:
            return None
