"""Cores that this process can use: the affinity mask and the quotas of its control groups.

This module also runs on devices that are measured from elsewhere: it keeps to Python 3.9 and the standard library.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

PINNING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Environment variables that let OpenMP pin threads to cores."""
_OPENMP = re.compile(r"/\S*lib(?:gomp|iomp5|omp)\S*\.so\S*")
_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def _mask() -> frozenset[int]:
    """Cores that the calling thread may run on now."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


_FIRST = _mask()
"""Cores when this module was loaded, which is before torch unless somebody else loaded torch."""


def core_mask() -> list[int]:
    """Cores this process may run on, whether or not OpenMP has pinned the calling thread to one of them.

    Where the environment asks OpenMP to pin threads (``OMP_PROC_BIND`` and the like), loading torch pins the thread
    that loads it. The cores are then those from before, and those that OpenMP itself has to share out.
    """
    now = _mask()
    library = _openmp() if pinning() else None
    if library is None:
        return sorted(now)
    return sorted(now | _FIRST | _places(library))


def release_cores() -> None:
    """Let the calling thread, and threads and processes that it will make, run on all cores of `core_mask` again."""
    mask = core_mask()
    if hasattr(os, "sched_setaffinity") and set(mask) != _mask():
        with suppress(OSError):  # the system took cores away meanwhile
            os.sched_setaffinity(0, mask)


def pinning(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment variables that ask OpenMP to pin threads."""
    found = {name: environment.get(name, "").strip() for name in PINNING}
    off = ("", "false", "disabled", "none")
    if found["OMP_PROC_BIND"].lower() == "false":
        return {}
    return {name: value for name, value in found.items() if value.lower() not in off}


@contextmanager
def unpinned() -> Iterator[None]:
    """Processes that are started within this run on all cores, and their OpenMP pins nothing.

    Each would otherwise pin its first thread to the first core, so that all of them would share that one.
    """
    release_cores()
    before = os.environ.get("OMP_PROC_BIND")
    if pinning():
        os.environ["OMP_PROC_BIND"] = "false"
    try:
        yield
    finally:
        if before is not None:
            os.environ["OMP_PROC_BIND"] = before
        else:
            os.environ.pop("OMP_PROC_BIND", None)


def usable_cores() -> int:
    """Cores that threads can really use: the smaller of the affinity mask and the control groups' CPU quota."""
    return max(1, min(len(core_mask()), cgroup_cores() or len(core_mask())))


def cgroup_cores(root: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int | None:
    """The CPU quota in whole cores: the least on the way from the process's own group to the root; None without one.

    Args:
        root: where control groups are mounted (version 2, version 1 or both).
        membership: which groups the process is in.
    """
    quotas = [quota for folder in cgroup_folders(root, membership) if (quota := _quota(folder)) is not None]
    return max(1, math.floor(min(quotas))) if quotas else None


def cgroup_folders(root: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> list[Path]:
    """Folders of the groups that limit the process's CPU time, the process's own first, then its ancestors."""
    own = {"": "/", "cpu": "/"}
    for line in _text(membership).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            own[""] = path
        elif "cpu" in controllers.split(","):
            own["cpu"] = path
    mounts = [(root, ""), (root / "unified", ""), (root / "cpu", "cpu"), (root / "cpu,cpuacct", "cpu")]
    found: dict[Path, None] = {}
    for mount, version in mounts:
        if mount.is_dir():
            found.update(dict.fromkeys(_chain(mount, own[version])))
    return list(found)


def _chain(mount: Path, path: str) -> list[Path]:
    """The folder of a group and those above it, up to the mount.

    A container sees its own group, or one above it, as the mount: the beginning of its path is not there then. The
    longest part of the path that is there counts.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    best = [mount]
    for start in range(len(parts)):
        folders = [mount]
        for part in parts[start:]:
            if not (folders[0] / part).is_dir():
                break
            folders.insert(0, folders[0] / part)
        if len(folders) > len(best):
            best = folders
    return best


def _quota(folder: Path) -> float | None:
    """Cores that one group may use; None where it has no limit or says nothing that can be read."""
    limit = _text(folder / "cpu.max").split()
    if len(limit) != 2:
        limit = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) < 2**63 for word in limit):
        return None
    return int(limit[0]) / int(limit[1])


def _openmp() -> str | None:
    """The OpenMP library that this process has loaded."""
    found = _OPENMP.search(_text(Path("/proc/self/maps")))
    return found.group() if found else None


def _places(library: str) -> set[int]:
    """Cores that a loaded OpenMP shares out (``omp_get_place_proc_ids``, OpenMP 4.5)."""
    found: set[int] = set()
    with suppress(OSError, AttributeError):
        openmp = ctypes.CDLL(library)
        for place in range(openmp.omp_get_num_places()):
            cores = (ctypes.c_int * max(0, openmp.omp_get_place_num_procs(place)))()
            openmp.omp_get_place_proc_ids(place, cores)
            found.update(core for core in cores if core >= 0)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
