"""Probes of the processor: its clock, its cores, and what else uses them."""

from __future__ import annotations

from collections import Counter

from hwnas._common._text import first_of
from hwnas._devices._doctor._machine import Finding, Machine

_CPU = "sys/devices/system/cpu"
_BUSY_CORES = 0.1
_GOOD_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource")


def governor(machine: Machine) -> list[Finding]:
    """Check what sets the clock frequency."""
    governors = Counter(machine.texts(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor").values())
    if not governors:
        return [
            Finding("frequency governor", "unknown", "the system does not report it; the host or the firmware decides")
        ]
    slow = sorted(name for name in governors if name != "performance")
    if not slow:
        return [Finding("frequency governor", "ok", "performance")]
    text = ", ".join(f"{name} on {governors[name]} cores" for name in slow)
    fix = "sudo cpupower frequency-set -g performance"
    return [Finding("frequency governor", "warning", f"{text}: the clock follows the load", fix)]


def turbo(machine: Machine) -> list[Finding]:
    """Check whether the clock may rise above its base frequency."""
    for path, off in ((f"{_CPU}/intel_pstate/no_turbo", "1"), (f"{_CPU}/cpufreq/boost", "0")):
        value = machine.text(path)
        if value == off:
            return [Finding("turbo", "ok", "off")]
        if value is not None:
            fix = f"echo {off} | sudo tee /{path}"
            return [
                Finding("turbo", "warning", "on: the clock depends on temperature and on the load of other cores", fix)
            ]
    return [Finding("turbo", "unknown", "the system does not report it")]


def neighbours(machine: Machine) -> list[Finding]:
    """Look for other busy processes."""
    busy = [process for process in machine.neighbours() if process.cores >= _BUSY_CORES]
    if not busy:
        return [Finding("neighbours", "ok", "no other process is busy")]
    listed = first_of([f"{each.name} ({each.pid}) {each.cores:.0%} of a core" for each in busy], 3)
    return [Finding("neighbours", "warning", listed, "stop these processes or wait for them before you measure")]


def quota(machine: Machine) -> list[Finding]:
    """Compare the CPU quota of this process's control groups with the cores that it sees."""
    from profilers.cores import cgroup_cores, cgroup_folders

    where = machine.root / "sys/fs/cgroup", machine.root / "proc/self/cgroup"
    cores = cgroup_cores(*where)
    throttled = 0
    for folder in cgroup_folders(*where):
        for line in (machine.text(str(folder.relative_to(machine.root) / "cpu.stat")) or "").splitlines():
            name, _, value = line.partition(" ")
            throttled = max(throttled, int(value) if name == "nr_throttled" and value.isdigit() else 0)
    findings = []
    if cores is not None and cores < len(machine.cores):
        text = f"the container's quota is {cores} cores, but it sees {len(machine.cores)}: more threads are throttled"
        findings.append(Finding("CPU quota", "warning", text, f"measure with --threads {cores} or fewer"))
    if throttled:
        text = f"the container was throttled {throttled} times"
        findings.append(
            Finding("CPU quota", "warning", text, "give the container a larger quota, or pin it to cores instead")
        )
    return findings or [Finding("CPU quota", "ok", "none" if cores is None else f"{cores} cores")]


def affinity(machine: Machine) -> list[Finding]:
    """Check which cores this process may run on."""
    cores = ",".join(map(str, machine.cores))
    if len(machine.cores) < machine.core_count:
        text = (
            f"this process may run on cores {cores} of {machine.core_count}; tables are valid only for the same cores"
        )
        return [Finding("affinity", "info", text, "start every measurement on the same cores (taskset -c)")]
    return [Finding("affinity", "ok", f"all {machine.core_count} cores")]


def siblings(machine: Machine) -> list[Finding]:
    """Look for usable cores that are hyper-threads of one physical core."""
    pairs = set()
    for core in machine.cores:
        text = machine.text(f"{_CPU}/cpu{core}/topology/thread_siblings_list")
        together = sorted(set(_listed(text or "")) & set(machine.cores))
        if len(together) > 1:
            pairs.add(tuple(together))
    if not pairs:
        return [Finding("hyper-threads", "ok", "no two usable cores share a physical core")]
    listed = "; ".join(" and ".join(map(str, pair)) for pair in sorted(pairs)[:4])
    keep = ",".join(map(str, sorted(set(machine.cores) - {core for pair in pairs for core in pair[1:]})))
    text = f"cores {listed}{' ...' if len(pairs) > 4 else ''} share a physical core"
    return [Finding("hyper-threads", "warning", text, f"start hwnas with taskset -c {keep}")]


def clock_source(machine: Machine) -> list[Finding]:
    """Check the kernel's clock source."""
    name = machine.text("sys/devices/system/clocksource/clocksource0/current_clocksource")
    if name is None:
        return [Finding("clock source", "unknown", "the system does not report it")]
    if name in _GOOD_CLOCKS:
        return [Finding("clock source", "ok", name)]
    fix = "boot with clocksource=tsc tsc=reliable if the processor has a constant time-stamp counter"
    return [Finding("clock source", "warning", f"{name}: reading it takes microseconds", fix)]


def virtual_machine(machine: Machine) -> list[Finding]:
    """Check for a hypervisor, and how much processor time it withheld."""
    flags = (machine.text("proc/cpuinfo") or "").split()
    if "hypervisor" not in flags:
        status = "ok" if flags else "unknown"
        return [Finding("virtual machine", status, "none found" if flags else "the system does not report it")]
    times = next(iter((machine.text("proc/stat") or "").splitlines()), "").split()[1:]
    numbers = [int(value) for value in times if value.isdigit()]
    total = sum(numbers[:8])
    stolen = numbers[7] / total if len(numbers) >= 8 and total else 0.0
    text = f"yes; steal time {stolen:.1%} of the processor time since boot"
    fix = "measure on a physical machine or a dedicated host; check the noise floor that `hwnas profile` prints"
    return [Finding("virtual machine", "warning", text, fix)]


def _listed(text: str) -> list[int]:
    """Read ``0,4-6`` as numbers; text that cannot be read gives none."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.strip().isdigit() and (not last or last.strip().isdigit()):
            numbers += range(int(first), int(last or first) + 1)
    return numbers
