"""Cores that a process can use: masks that OpenMP narrows, quotas of nested control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from profilers import cores
from profilers.cores import cgroup_cores, core_mask, pinning, usable_cores

ROOT = Path(__file__).resolve().parents[2]
needs_two_cores = pytest.mark.skipif(len(core_mask()) < 2, reason="one core: nothing can be narrowed")

SHOW = (
    "from hwnas._devices._make import make_backend\n"
    "from profilers import BoundSession, usable_cores\n"
    "from profilers._session import _SWEEP_MODEL, make_session\n"
    "print(make_backend('cpu').identity()['core_mask'], usable_cores())\n"
    "make_session(_SWEEP_MODEL, threads=1, measuring=True)\n"
    "import os; print(sorted(os.sched_getaffinity(0)))\n"
)


def shown(code, **environment):
    given = {name: value for name, value in os.environ.items() if name not in cores.PINNING}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**given, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


@needs_two_cores
@pytest.mark.parametrize("first", ["", "import hwnas, torch\n", "import torch, hwnas\n"])
def test_threads_that_openmp_pins_change_no_identity_and_no_measurement(first):
    """`profile` needs no torch, `search` loads it: both must see the same cores."""
    pinned = shown(first + SHOW, OMP_PROC_BIND="true")
    assert pinned == shown(SHOW)
    assert pinned[1] == str(core_mask())


@needs_two_cores
def test_pinned_cores_are_seen_where_the_package_is_loaded_late():
    code = "import torch, os; before = os.sched_getaffinity(0); from profilers.cores import core_mask\n"
    assert shown(code + "print(len(before), core_mask())", OMP_PROC_BIND="close") == [f"1 {core_mask()}"]


@needs_two_cores
def test_a_mask_that_the_user_narrows_counts():
    code = "import os, hwnas; core = min(os.sched_getaffinity(0)); os.sched_setaffinity(0, {core})\n" + SHOW
    first = str(core_mask()[:1])
    assert shown(code) == [f"{first} 1", first]


def test_processes_start_on_all_cores_and_the_environment_stays(monkeypatch):
    monkeypatch.setenv("OMP_PROC_BIND", "spread")
    with cores.unpinned():
        assert not pinning()
    assert pinning() == {"OMP_PROC_BIND": "spread"}
    monkeypatch.delenv("OMP_PROC_BIND")
    with cores.unpinned():
        assert "OMP_PROC_BIND" not in os.environ
    assert "OMP_PROC_BIND" not in os.environ


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, []),
        ({"OMP_PROC_BIND": "FALSE", "OMP_PLACES": "cores"}, []),
        ({"OMP_PROC_BIND": " true "}, ["OMP_PROC_BIND"]),
        ({"OMP_PLACES": "{0}"}, ["OMP_PLACES"]),
        ({"KMP_AFFINITY": "disabled"}, []),
    ],
)
def test_what_pins_threads(given, found):
    assert list(pinning(given)) == found


V1 = "4:memory:/x\n3:cpu,cpuacct:/a/b\n"


@pytest.mark.parametrize(
    ("files", "membership", "cores"),
    [
        ({"a/b/cpu.max": "200000 100000", "cpu.max": "max 100000"}, "0::/a/b\n", 2),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, "0::/a/b\n", 3),
        ({"a/b/cpu.max": "400000 100000", "a/cpu.max": "100000 100000"}, "0::/a/b\n", 1),
        ({"a/c/cpu.max": "100000 100000", "a/cpu.max": "300000 100000"}, "0::/a/b\n", 3),
        ({"unified/a/cpu.max": "200000 100000"}, "0::/a/b\n", 2),
        ({"cpu,cpuacct/a/cpu.cfs_quota_us": "200000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"}, V1, 2),
        ({"cpu/a/b/cpu.cfs_quota_us": "-1", "cpu/a/b/cpu.cfs_period_us": "100000"}, V1, None),
        # a container whose mount begins at /docker/id
        ({"inner/cpu.max": "200000 100000", "cpu.max": "300000 100000"}, "0::/docker/id/inner\n", 2),
        ({"cpu.max": "300000 100000"}, "0::/docker/id\n", 3),
        ({"cpu.max": "300000 100000"}, "0::/../../other\n", 3),
        ({"a/cpu.max": "damaged", "cpu.max": "300000 100000"}, "0::/a\n", 3),
        ({"a/cpu.max": "100000 0", "cpu.max": "1e5 100000"}, "0::/a\n", None),
        ({"a/cpu.max": "200000 100000"}, "nonsense\n::\n\x00\n", None),
        ({"cpu.max": f"{10**400} 1"}, "0::/\n", None),
    ],
)
def test_the_least_quota_on_the_way_to_the_root_counts(tmp_path, files, membership, cores):
    for name, text in files.items():
        (tmp_path / "cg" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cg" / name).write_text(text + "\n")
    (tmp_path / "membership").write_text(membership)
    assert cgroup_cores(tmp_path / "cg", tmp_path / "membership") == cores


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert cgroup_cores(tmp_path / "none", tmp_path / "neither") is None
    assert 1 <= usable_cores() <= len(core_mask())
