"""Facts of this device: stable ones, which a table is valid for, and volatile ones, which are recorded with it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from profilers.cores import cgroup_cores, core_mask, usable_cores

__all__ = [
    "cgroup_cores",
    "core_cache_bytes",
    "core_mask",
    "cpu_environment",
    "cpu_identity",
    "cpu_model",
    "cpu_revision",
    "isa_flags",
    "usable_cores",
]
_CORES = Path("/sys/devices/system/cpu")
_ISA = re.compile(r"^(avx\w*|amx\w*|fma|f16c|sse4_2|vnni\w*|asimd\w*|sve\w*|neon|fphp|i8mm|bf16|vfpv4|rv\w+)$")


def cpu_model() -> str:
    """Return the processor's name as the operating system states it."""
    for key in ("model name", "Model", "Hardware", "cpu model"):
        value = _cpuinfo().get(key)
        if value:
            return " ".join(value.split())
    if platform.system() == "Darwin":
        brand = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if brand.stdout.strip():
            return brand.stdout.strip()
    return platform.processor() or platform.machine()


def cpu_revision() -> str:
    """Return the numbers that distinguish processors of one name: family, model, stepping, or ARM's part numbers."""
    keys = (
        "vendor_id",
        "cpu family",
        "model",
        "stepping",
        "CPU implementer",
        "CPU variant",
        "CPU part",
        "CPU revision",
    )
    return " ".join(f"{key}={_cpuinfo()[key]}" for key in keys if key in _cpuinfo())


def isa_flags() -> list[str]:
    """Return the instruction set extensions that decide which kernels a runtime picks, sorted."""
    words = (_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split()
    return sorted({word for word in words if _ISA.match(word)})


def core_cache_bytes(root: Path | None = None) -> int:
    """Return the size of the second-level cache of a core that is used; 1 MiB where the system does not state it.

    Args:
        root: What the system says of a core's caches; None for the first core that this process may run on.
    """
    root = root or _first_core() / "cache"
    for level in sorted(root.glob("index*")):
        try:
            if (level / "level").read_text().strip() == "2":
                return _size_in_bytes((level / "size").read_text())
        except (OSError, ValueError):
            continue
    if platform.system() == "Darwin":
        size = subprocess.run(
            ["sysctl", "-n", "hw.perflevel0.l2cachesize"], capture_output=True, text=True, check=False
        )
        if size.stdout.strip().isdigit():
            return int(size.stdout)
    return 2**20


def _first_core() -> Path:
    """Return what the system says of the first core that this process may run on: large and small ones differ."""
    return _CORES / f"cpu{core_mask()[0]}"


def _size_in_bytes(text: str) -> int:
    """Convert a size like ``2048K`` or ``2M`` to bytes."""
    word = text.strip().upper()
    unit = {"K": 2**10, "M": 2**20}.get(word[-1:], 0)
    return int(word[:-1]) * unit if unit else int(word)


def cpu_identity() -> dict[str, object]:
    """Return the stable facts of this machine's processor and system."""
    return {
        "cpu": cpu_model(),
        "cpu_revision": cpu_revision(),
        "architecture": platform.machine(),
        "isa": isa_flags(),
        "core_mask": core_mask(),
        "system": platform.system(),
    }


def cpu_environment() -> dict[str, object]:
    """Return the volatile facts of this machine: they may change times, but a table stays valid when they change."""
    governor = _first_core() / "cpufreq" / "scaling_governor"
    frequency = psutil.cpu_freq()
    return {
        "governor": governor.read_text().strip() if governor.exists() else None,
        "frequency_mhz": round(frequency.current) if frequency else None,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "kernel": platform.release(),
        "microcode": _cpuinfo().get("microcode"),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
    }


def _cpuinfo() -> dict[str, str]:
    """Return the first value of every key in Linux's CPU description; empty where there is none."""
    values: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return values
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), value.strip())
    return values
