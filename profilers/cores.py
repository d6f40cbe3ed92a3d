"""The cores that this process can use: its affinity mask and the quotas of its control groups.

This module also runs on remote devices, and is imported before anything else: it keeps to Python 3.9 and the standard
library.
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
"""Environment variables that make OpenMP pin threads to cores."""
_OPENMP = re.compile(r"/\S*lib(?:gomp|iomp5|omp)\S*\.so\S*")
_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def _mask() -> frozenset[int]:
    """Return the cores that the calling thread may run on now."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


_FIRST = _mask()
"""The cores when this module was imported: before torch, unless other code imported torch earlier."""


def core_mask() -> list[int]:
    """Return the cores that this process may run on, even where OpenMP has pinned the calling thread to one of them.

    Where the environment asks OpenMP to pin threads (``OMP_PROC_BIND`` and the like), importing torch pins the thread
    that imports it. The cores are then those from before the import, and those that OpenMP distributes.
    """
    now = _mask()
    library = _openmp() if pinning() else None
    if library is None:
        return sorted(now)
    return sorted(now | _FIRST | _places(library))


def release_cores() -> None:
    """Let the calling thread, and threads and processes that it starts from now on, run on all cores of `core_mask`."""
    mask = core_mask()
    if hasattr(os, "sched_setaffinity") and set(mask) != _mask():
        with suppress(OSError):  # the system took cores away in the meantime
            os.sched_setaffinity(0, mask)


def pinning(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables that ask OpenMP to pin threads, with their values."""
    values = {name: environment.get(name, "").strip() for name in PINNING}
    off = ("", "false", "disabled", "none")
    if values["OMP_PROC_BIND"].lower() == "false":
        return {}
    return {name: value for name, value in values.items() if value.lower() not in off}


@contextmanager
def unpinned() -> Iterator[None]:
    """Let processes that are started within this context run on all cores; their OpenMP pins no threads.

    Each process would otherwise pin its first thread to the first core, and all would share that core.
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
    """Return the number of usable cores: the smaller of the affinity mask and the control groups' CPU quota."""
    return max(1, min(len(core_mask()), cgroup_cores() or len(core_mask())))


def cgroup_cores(root: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int | None:
    """Return the CPU quota in whole cores: the smallest from the process's own group up to the root; None without one.

    Args:
        root: Folder that control groups are mounted in (version 2, version 1 or both).
        membership: File that names the groups of the process.
    """
    quotas = [quota for folder in cgroup_folders(root, membership) if (quota := _quota(folder)) is not None]
    return max(1, math.floor(min(quotas))) if quotas else None


def cgroup_folders(root: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> list[Path]:
    """Return the folders of the groups that limit the process's CPU time, its own group first, then the ancestors."""
    own = {"": "/", "cpu": "/"}
    for line in _text(membership).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            own[""] = path
        elif "cpu" in controllers.split(","):
            own["cpu"] = path
    mounts = [(root, ""), (root / "unified", ""), (root / "cpu", "cpu"), (root / "cpu,cpuacct", "cpu")]
    folders: dict[Path, None] = {}
    for mount, version in mounts:
        if mount.is_dir():
            folders.update(dict.fromkeys(_chain(mount, own[version])))
    return list(folders)


def _chain(mount: Path, path: str) -> list[Path]:
    """Return the folder of a group and those above it, up to the mount.

    In a container, the mount may be the container's own group or one above it, and the path begins with folders that do
    not exist there. The longest stretch of the path that exists is taken.
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
    """Return the cores that one group may use; None where it has no limit, or none that can be read."""
    limit = _text(folder / "cpu.max").split()
    if len(limit) != 2:
        limit = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) < 2**63 for word in limit):
        return None
    return int(limit[0]) / int(limit[1])


def _openmp() -> str | None:
    """Return the path of the OpenMP library that this process has loaded; None without one."""
    match = _OPENMP.search(_text(Path("/proc/self/maps")))
    return match.group() if match else None


def _places(library: str) -> set[int]:
    """Return the cores that a loaded OpenMP distributes (``omp_get_place_proc_ids``, OpenMP 4.5)."""
    places: set[int] = set()
    with suppress(OSError, AttributeError):
        openmp = ctypes.CDLL(library)
        for place in range(openmp.omp_get_num_places()):
            cores = (ctypes.c_int * max(0, openmp.omp_get_place_num_procs(place)))()
            openmp.omp_get_place_proc_ids(place, cores)
            places.update(core for core in cores if core >= 0)
    return places


def _text(path: Path) -> str:
    """Return the text of a file; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
