"""Probes of memory, power, heat, software and the GPU."""

from __future__ import annotations

import statistics
import time

from hwnas._devices._doctor._machine import Finding, Machine

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_NEEDED = ("onnx", "onnxruntime", "torch", "botorch", "sklearn", "scipy", "cmaes", "moocore", "PIL", "psutil")
_OPTIONAL = {
    "matplotlib": ("report", "reports have no pictures"),
    "optuna": ("compare", "strategies tpe and optuna-nsga2 are not available"),
    "pymoo": ("compare", "strategies nsga2, nsga3 and moead are not available"),
}
_SWAPPED_KIB = 64 * 1024
_HOT_C = 85.0
_STEADY = 0.02


def thread_limits(machine: Machine) -> list[Finding]:
    """Look for environment variables that limit threads."""
    limits = {name: machine.environment[name] for name in _THREADS if name in machine.environment}
    if not limits:
        return [Finding("thread limits", "ok", "no environment variable limits threads")]
    listed = ", ".join(f"{name}={value}" for name, value in limits.items())
    wide = [name for name, value in limits.items() if value.isdigit() and int(value) > len(machine.cores)]
    if wide:
        text = f"{listed}: more than the {len(machine.cores)} usable cores, so threads wait for each other"
        return [Finding("thread limits", "warning", text, f"unset {' '.join(wide)}")]
    text = f"{listed}: training obeys it; measurements use --threads alone"
    return [Finding("thread limits", "info", text, f"unset {' '.join(limits)} to train on all cores")]


def thread_pinning(machine: Machine) -> list[Finding]:
    """Look for environment variables that make OpenMP pin threads to cores."""
    from profilers.cores import pinning

    variables = pinning(machine.environment)
    if not variables:
        return [Finding("thread pinning", "ok", "no environment variable pins threads")]
    listed = ", ".join(f"{name}={value}" for name, value in variables.items())
    text = f"{listed}: OpenMP pins training threads to cores; measurements and workers use all cores"
    fix = f"unset {' '.join(variables)} if training is slow beside other work"
    return [Finding("thread pinning", "info", text, fix)]


def memory(machine: Machine) -> list[Finding]:
    """Check free memory and swap."""
    pairs = [line.partition(":") for line in (machine.text("proc/meminfo") or "").splitlines()]
    kib = {name: int(rest.split()[0]) for name, _, rest in pairs if rest.split() and rest.split()[0].isdigit()}
    if "MemTotal" not in kib:
        return [Finding("swap", "unknown", "the system does not report it")]
    swapped, free = kib.get("SwapTotal", 0) - kib.get("SwapFree", 0), kib.get("MemAvailable", kib["MemTotal"])
    if swapped > _SWAPPED_KIB or free < 0.1 * kib["MemTotal"]:
        text = f"{swapped / 1024:.0f} MiB are swapped out, {free / 1024:.0f} MiB of memory are free"
        return [
            Finding(
                "swap", "warning", text, "close programs that use much memory, then sudo swapoff -a && sudo swapon -a"
            )
        ]
    return [Finding("swap", "ok", f"{free / 2**20:.1f} GiB of memory are free")]


def power(machine: Machine) -> list[Finding]:
    """Check battery and temperature."""
    findings = []
    for path, kind in machine.texts("sys/class/power_supply/*/type").items():
        if kind == "Battery" and machine.text(path.replace("/type", "/status")) == "Discharging":
            findings.append(Finding("battery", "warning", "the machine runs on battery", "plug it in"))
    zones = machine.texts("sys/class/thermal/thermal_zone*/temp").values()
    degrees = max((int(value) / 1000 for value in zones if value.lstrip("-").isdigit()), default=None)
    if degrees is not None and degrees >= _HOT_C:
        fix = "let it cool down, clean its fans"
        findings.append(Finding("heat", "warning", f"{degrees:.0f} degrees Celsius", fix))
    counts = machine.texts("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count").values()
    throttled = sum(int(value) for value in counts if value.isdigit())
    if throttled:
        text = f"the processor slowed down {throttled} times since boot because it was hot"
        findings.append(Finding("heat", "warning", text, "improve the cooling, or turn turbo off"))
    if findings:
        return findings
    temperature = "the system does not report a temperature" if degrees is None else f"{degrees:.0f} degrees Celsius"
    return [Finding("battery and heat", "unknown" if degrees is None else "ok", temperature)]


def packages(machine: Machine) -> list[Finding]:
    """Look for missing packages."""
    findings = []
    missing = [name for name in _NEEDED if not machine.installed(name)]
    if missing:
        text = f"{', '.join(missing)} cannot be imported"
        findings.append(Finding("packages", "warning", text, "reinstall hwnas with its dependencies"))
    for name, (extra, effect) in _OPTIONAL.items():
        if not machine.installed(name):
            findings.append(Finding("packages", "info", f"no {name}: {effect}", f"install hwnas[{extra}]"))
    return findings or [Finding("packages", "ok", "all are installed")]


def providers(machine: Machine) -> list[Finding]:
    """List what ONNX Runtime can run on."""
    try:
        names = machine.providers()
    except ImportError as error:
        return [Finding("ONNX Runtime", "warning", f"cannot be imported: {error}", "reinstall onnxruntime")]
    short = ", ".join(name.removesuffix("ExecutionProvider").lower() for name in names)
    if "CPUExecutionProvider" not in names:
        return [Finding("ONNX Runtime", "warning", f"no CPU provider, only {short or 'none'}", "reinstall onnxruntime")]
    return [Finding("ONNX Runtime", "ok", f"providers: {short}")]


def cuda(machine: Machine) -> list[Finding]:
    """Check whether --device cuda works."""
    driver = machine.text("proc/driver/nvidia/version")
    try:
        usable, about = machine.cuda()
    except ImportError as error:
        usable, about = False, f"torch cannot be imported: {error}"
    if usable:
        return [Finding("CUDA", "ok", about)]
    if driver is not None:
        fix = "install a CUDA build of torch that this driver supports"
        return [Finding("CUDA", "warning", f"an NVIDIA driver is installed, but: {about}", fix)]
    return [Finding("CUDA", "info", f"none: {about}")]


def repeatability(machine: Machine) -> list[Finding]:
    """Time a fixed loop many times."""
    times: list[float] = []
    end = time.perf_counter() + machine.loop_seconds
    while time.perf_counter() < end or len(times) < 20:
        began = time.perf_counter()
        machine.work()
        times.append(time.perf_counter() - began)
    tenths = statistics.quantiles(times, n=10)
    spread, worst = tenths[8] / tenths[0] - 1, max(times) / tenths[0] - 1
    text = (
        f"{len(times)} runs of a fixed loop of {tenths[0] * 1e6:.0f} us: one in ten takes {spread:.1%} longer "
        f"than the fastest tenth, the slowest run {worst:.0%}"
    )
    return [Finding("repeatability", "info", text, "" if spread < _STEADY else "fix the warnings and check again")]
