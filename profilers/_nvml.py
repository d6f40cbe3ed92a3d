"""Clocks, throttling and other processes of a GPU, read through NVML where it is installed.

Nothing is ever set.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

_CHANGED = 0.1
"""Relative change of the clock above which a warning is given."""
_UNWATCHED = (
    "NVML is not available, so the GPU's clocks and other processes were not watched; run: pip install nvidia-ml-py"
)
_REASONS = {
    "nvmlClocksThrottleReasonSwPowerCap": "the power limit",
    "nvmlClocksThrottleReasonHwSlowdown": "a hardware slowdown",
    "nvmlClocksThrottleReasonSwThermalSlowdown": "heat",
    "nvmlClocksThrottleReasonHwThermalSlowdown": "heat (hardware)",
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": "the power brake",
}


@dataclass(frozen=True)
class GpuLook:
    """The state of a GPU at one moment.

    Attributes:
        sm_mhz: Clock of the multiprocessors.
        memory_mhz: Clock of the memory.
        throttled: Why the clocks are throttled, in words; empty where they are not.
        others: Number of other processes that compute on the GPU.
    """

    sm_mhz: int
    memory_mhz: int
    throttled: tuple[str, ...]
    others: int


def open_gpu(uuid: str, nvml: Any = None) -> tuple[Any, Any] | None:
    """Return the NVML module and its handle of one GPU; None where either is not available.

    Args:
        uuid: UUID of the GPU, with or without ``GPU-`` in front.
        nvml: The NVML module; None imports ``pynvml``.
    """
    try:
        module: Any = import_module("pynvml") if nvml is None else nvml
        module.nvmlInit()
        name = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
        return module, module.nvmlDeviceGetHandleByUUID(name.encode())
    except Exception:  # a missing module, library or driver: each raises an exception of its own
        return None


class GpuWatch:
    """Reads the state of one GPU before, between and after measurements.

    Args:
        uuid: UUID of the GPU, with or without ``GPU-`` in front.
        nvml: The NVML module; None imports ``pynvml``. Without that module nothing is read.

    Attributes:
        looks: The states so far.
    """

    def __init__(self, uuid: str, nvml: Any = None) -> None:
        self.looks: list[GpuLook] = []
        self._nvml: Any = None
        self._handle: Any = None
        if (opened := open_gpu(uuid, nvml)) is not None:
            self._nvml, self._handle = opened

    def look(self) -> None:
        """Record the GPU's state now."""
        if self._nvml is None:
            return
        try:
            self.looks.append(self._read())
        except self._nvml.NVMLError:
            self._nvml = None

    def facts(self) -> dict[str, object]:
        """Return the state now, for a table's environment."""
        self.look()
        if not self.looks:
            return {"nvml": None}
        last = self.looks[-1]
        driver = self._nvml.nvmlSystemGetDriverVersion() if self._nvml is not None else None
        return {
            "driver": driver.decode() if isinstance(driver, bytes) else driver,
            "sm_mhz": last.sm_mhz,
            "memory_mhz": last.memory_mhz,
            "other_processes": last.others,
        }

    def warnings(self) -> list[str]:
        """Return what may have changed the times, one line each."""
        if not self.looks:
            return [_UNWATCHED]
        lines = []
        reasons = sorted({reason for look in self.looks for reason in look.throttled})
        if reasons:
            share = sum(bool(look.throttled) for look in self.looks) / len(self.looks)
            lines.append(
                f"{', '.join(reasons)} throttled the GPU's clocks at {share:.0%} of the checks; "
                "let the GPU cool down or leave it idle, then profile again with --force"
            )
        clocks = [look.sm_mhz for look in self.looks[len(self.looks) // 4 :]]  # past the ramp from idle
        if min(clocks) < (1 - _CHANGED) * max(clocks):
            lines.append(f"the GPU's clock changed between {min(clocks)} and {max(clocks)} MHz while measuring")
        if any(look.others for look in self.looks):
            lines.append("other processes used the GPU while measuring; stop them and profile again with --force")
        return lines

    def _read(self) -> GpuLook:
        """Read the state through NVML."""
        nvml, handle = self._nvml, self._handle
        mask = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return GpuLook(
            sm_mhz=int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            memory_mhz=int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
            throttled=tuple(text for name, text in _REASONS.items() if mask & getattr(nvml, name, 0)),
            others=max(0, len(processes) - 1),  # this one is among them, in a container under another number
        )
