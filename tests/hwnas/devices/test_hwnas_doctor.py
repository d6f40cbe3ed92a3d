"""`hwnas doctor` on machines that are imitated by trees of files, and on this one."""

import json

import pytest

from hwnas._cli import main
from hwnas._devices._doctor import Machine, examine
from hwnas._devices._doctor import _processor as processor
from hwnas._devices._doctor import _surroundings as surroundings
from hwnas._devices._doctor._machine import Neighbour, watch_neighbours

CPU = "sys/devices/system/cpu"
CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"


def machine(tmp_path, files=None, **facts):
    for name, text in (files or {}).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    given = {"system": "Linux", "environment": {}, "cores": (0, 1, 2, 3), "core_count": 4, "neighbours": list}
    given |= {"installed": lambda name: True, "providers": lambda: ["CPUExecutionProvider"]}
    given |= {"cuda": lambda: (False, "no GPU"), "work": lambda: None, "loop_seconds": 0.01}
    return Machine(root=tmp_path, **{**given, **facts})


def one(probe, *arguments, **facts):
    (finding,) = probe(machine(*arguments, **facts))
    return finding


CASES = [
    (processor.governor, {}, "unknown", "the system does not report it", ""),
    (processor.governor, {f"{CPU}/cpu0/cpufreq/scaling_governor": "performance"}, "ok", "performance", ""),
    (
        processor.governor,
        {f"{CPU}/cpu{i}/cpufreq/scaling_governor": "powersave" for i in range(3)},
        "warning",
        "powersave on 3 cores",
        "cpupower frequency-set -g performance",
    ),
    (processor.turbo, {}, "unknown", "does not report it", ""),
    (processor.turbo, {f"{CPU}/intel_pstate/no_turbo": "1"}, "ok", "off", ""),
    (processor.turbo, {f"{CPU}/intel_pstate/no_turbo": "0"}, "warning", "on", "echo 1 | sudo tee /sys/"),
    (processor.turbo, {f"{CPU}/cpufreq/boost": "1"}, "warning", "on", "echo 0 | sudo tee /sys/"),
    (processor.quota, {}, "ok", "none", ""),
    (processor.quota, {"sys/fs/cgroup/cpu.max": "max 100000"}, "ok", "none", ""),
    (processor.quota, {"sys/fs/cgroup/cpu.max": "400000 100000"}, "ok", "4 cores", ""),
    (processor.quota, {"sys/fs/cgroup/cpu.max": "200000 100000"}, "warning", "quota is 2 cores", "--threads 2"),
    (
        processor.quota,
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
        "warning",
        "quota is 1 cores",
        "--threads 1",
    ),
    (processor.quota, {"sys/fs/cgroup/cpu.max": "damaged"}, "ok", "none", ""),
    (
        processor.quota,
        {"sys/fs/cgroup/cpu.stat": "nr_periods 9\nnr_throttled 7"},
        "warning",
        "throttled 7 times",
        "quota",
    ),
    (
        processor.quota,
        {"sys/fs/cgroup/a/b/cpu.max": "200000 100000", "proc/self/cgroup": "0::/a/b"},
        "warning",
        "quota is 2 cores",
        "--threads 2",
    ),
    (
        processor.quota,
        {"sys/fs/cgroup/a/cpu.stat": "nr_throttled 5", "proc/self/cgroup": "0::/a/b"},
        "warning",
        "throttled 5 times",
        "quota",
    ),
    (processor.siblings, {}, "ok", "no two usable cores", ""),
    (
        processor.siblings,
        {f"{CPU}/cpu{i}/topology/thread_siblings_list": f"{i % 2},{i % 2 + 2}" for i in range(4)},
        "warning",
        "cores 0 and 2; 1 and 3 share a physical core",
        "taskset -c 0,1",
    ),
    (
        processor.siblings,
        {f"{CPU}/cpu0/topology/thread_siblings_list": "0-1"},
        "warning",
        "0 and 1",
        "taskset -c 0,2,3",
    ),
    (processor.siblings, {f"{CPU}/cpu0/topology/thread_siblings_list": "0,8"}, "ok", "no two", ""),
    (processor.clock_source, {}, "unknown", "", ""),
    (processor.clock_source, {CLOCK: "tsc"}, "ok", "tsc", ""),
    (processor.clock_source, {CLOCK: "hpet"}, "warning", "hpet: reading it takes microseconds", "clocksource=tsc"),
    (processor.virtual_machine, {}, "unknown", "does not report it", ""),
    (processor.virtual_machine, {"proc/cpuinfo": "flags : fpu avx2"}, "ok", "none found", ""),
    (
        processor.virtual_machine,
        {"proc/cpuinfo": "flags : fpu hypervisor", "proc/stat": "cpu  40 0 40 10 0 0 0 10 0 0"},
        "warning",
        "steal time 10.0%",
        "physical machine",
    ),
    (surroundings.memory, {}, "unknown", "", ""),
    (
        surroundings.memory,
        {"proc/meminfo": "MemTotal: 1000000 kB\nMemAvailable: 500000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB"},
        "ok",
        "0.5 GiB",
        "",
    ),
    (
        surroundings.memory,
        {"proc/meminfo": "MemTotal: 1000000 kB\nMemAvailable: 500000 kB\nSwapTotal: 900000 kB\nSwapFree: 388000 kB"},
        "warning",
        "500 MiB are swapped out",
        "swapoff",
    ),
    (
        surroundings.memory,
        {"proc/meminfo": "MemTotal: 100 kB\nMemAvailable: 1 kB"},
        "warning",
        "0 MiB of memory",
        "close",
    ),
    (surroundings.power, {}, "unknown", "not report a temperature", ""),
    (surroundings.power, {"sys/class/thermal/thermal_zone0/temp": "45000"}, "ok", "45 degrees", ""),
    (surroundings.power, {"sys/class/thermal/thermal_zone1/temp": "91000"}, "warning", "91 degrees", "cool"),
    (surroundings.power, {f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3"}, "warning", "3 times", "cool"),
    (
        surroundings.power,
        {"sys/class/power_supply/BAT0/type": "Battery", "sys/class/power_supply/BAT0/status": "Discharging"},
        "warning",
        "battery",
        "plug it in",
    ),
    (
        surroundings.power,
        {"sys/class/power_supply/BAT0/type": "Battery", "sys/class/power_supply/BAT0/status": "Full"},
        "unknown",
        "not report a temperature",
        "",
    ),
    (
        surroundings.cuda,
        {"proc/driver/nvidia/version": "550"},
        "warning",
        "an NVIDIA driver is installed",
        "CUDA build",
    ),
    (surroundings.cuda, {}, "info", "none: no GPU", ""),
]


@pytest.mark.parametrize(("probe", "files", "status", "text", "fix"), CASES)
def test_what_files_tell(tmp_path, probe, files, status, text, fix):
    found = one(probe, tmp_path, files)
    assert (found.status, text in found.text, fix in found.fix) == (status, True, True), found
    assert (status == "warning") <= bool(found.fix)
    assert "\n" not in found.text + found.fix


def test_what_facts_tell(tmp_path):
    busy = [Neighbour(7, "train", 1.5), Neighbour(8, "idle", 0.01)]
    found = one(processor.neighbours, tmp_path, neighbours=lambda: busy)
    assert (found.status, found.text) == ("warning", "train (7) 150% of a core")
    assert one(processor.neighbours, tmp_path, neighbours=lambda: busy[1:]).status == "ok"
    assert one(processor.affinity, tmp_path, cores=(0, 2)).text.startswith("this process may run on cores 0,2 of 4")
    assert one(processor.affinity, tmp_path).status == "ok"
    assert one(surroundings.thread_limits, tmp_path).status == "ok"
    assert one(surroundings.thread_limits, tmp_path, environment={"OMP_NUM_THREADS": "1"}).status == "info"
    wide = one(surroundings.thread_limits, tmp_path, environment={"OMP_NUM_THREADS": "9"})
    assert one(surroundings.thread_pinning, tmp_path).status == "ok"
    pinned = one(surroundings.thread_pinning, tmp_path, environment={"OMP_PROC_BIND": "true"})
    assert (pinned.status, pinned.fix) == ("info", "unset OMP_PROC_BIND if training is slow beside other work")
    assert (wide.status, wide.fix) == ("warning", "unset OMP_NUM_THREADS")
    gone = one(surroundings.packages, tmp_path, installed=lambda name: name != "torch")
    assert (gone.status, gone.text) == ("warning", "torch cannot be imported")
    assert one(surroundings.packages, tmp_path, installed=lambda name: name != "optuna").fix == "install hwnas[compare]"
    assert one(surroundings.providers, tmp_path).text == "providers: cpu"
    assert one(surroundings.providers, tmp_path, providers=list).status == "warning"
    assert one(surroundings.cuda, tmp_path, cuda=lambda: (True, "H100")).status == "ok"

    def broken():
        raise ImportError("no library")

    assert one(surroundings.providers, tmp_path, providers=broken).text == "cannot be imported: no library"
    assert one(surroundings.cuda, tmp_path, cuda=broken).status == "info"
    assert "runs of a fixed loop" in one(surroundings.repeatability, tmp_path).text


def test_other_systems_say_what_they_do_not_tell(tmp_path):
    found = examine(machine(tmp_path, system="Darwin"))
    assert found[0].text.startswith("Darwin does not report governor")
    assert {finding.check for finding in found} >= {"neighbours", "repeatability", "packages"}


def test_an_empty_tree_is_no_crash_and_every_check_appears_once(tmp_path):
    checks = [finding.check for finding in examine(machine(tmp_path))]
    assert len(checks) == len(set(checks)) == 16


def test_neighbours_are_watched_without_harm():
    found = watch_neighbours(0.05)
    assert all(one.cores >= 0 for one in found)
    assert found == sorted(found, key=lambda one: -one.cores)


def test_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("hwnas._api._machine.examine", lambda: examine(machine(tmp_path, {CLOCK: "hpet"})))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 of 16 findings disturb measurements"
    assert any(line.startswith("warning  clock source: hpet: ") and " -> " in line for line in lines)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"check", "status", "text", "fix"} == set(found[0])
