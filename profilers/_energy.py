"""Energy of one inference, from the counters of the processor (RAPL) or of the GPU (NVML).

Both count what the whole package or board takes, idle power and other work included; neither can be asked about one
process. Reads only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from profilers._errors import EnergyUnavailableError
from profilers._nvml import open_gpu
from profilers._sampling import Runnable

_BURST_SECONDS = 2.5e-3
_BURSTS = 200
"""Each end of a measurement may be off by a burst: together less than 1 % of so many."""
_STILL_SECONDS = 5.0
_POWERCAP = Path("/sys/class/powercap")


class EnergyCounter(Protocol):
    """Counts energy, in steps."""

    name: str

    def read_mj(self) -> float:
        """Millijoules since any moment; never falls.

        Raises:
            EnergyUnavailableError: it cannot be read any longer.
        """


@runtime_checkable
class EnergyMeter(EnergyCounter, Protocol):
    """A counter of a device elsewhere: it measures whole inferences there, where no network stands between."""

    def inference_mj(self, runnable: Runnable) -> float:
        """Millijoules of one inference, as `energy_mj` takes them.

        Raises:
            EnergyUnavailableError: the counter there cannot be read, or does not move.
        """


class RaplCounter:
    """All packages of the processor, through Linux's powercap interface (Intel's RAPL; AMD's has the same name).

    Args:
        root: where the interface is mounted.

    Raises:
        EnergyUnavailableError: there is no such counter, or it may not be read.
    """

    def __init__(self, root: Path = _POWERCAP) -> None:
        zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _read_text(zone / "name").startswith("package")]
        if not zones:
            raise EnergyUnavailableError(
                f"energy is unavailable: {root} has no RAPL counter (a virtual machine, or a processor without one)"
            )
        self.name = "RAPL " + ", ".join(_read_text(zone / "name") for zone in zones)
        self._files = [zone / "energy_uj" for zone in zones]
        self._ranges = [_read_number(zone / "max_energy_range_uj") for zone in zones]
        self._last = [_read_number(file) for file in self._files]
        self._total_uj = 0

    def read_mj(self) -> float:
        """Millijoules of all packages since this object was made; a counter that starts anew at its range goes on."""
        now = [_read_number(file) for file in self._files]
        for i, most in enumerate(self._ranges):
            before, after = self._last[i], now[i]
            self._total_uj += after - before if after >= before else after - before + most
        self._last = now
        return self._total_uj / 1e3


class NvmlCounter:
    """One GPU's board, Volta or newer.

    Args:
        uuid: of the GPU, with or without ``GPU-`` in front.
        nvml: the NVML module; None imports ``pynvml``.

    Raises:
        EnergyUnavailableError: NVML is not here, or the GPU has no counter.
    """

    name = "NVML total energy"

    def __init__(self, uuid: str, nvml: Any = None) -> None:
        opened = open_gpu(uuid, nvml)
        if opened is None:
            raise EnergyUnavailableError("energy is unavailable: NVML is not installed: pip install nvidia-ml-py")
        self._nvml, self._handle = opened
        self.read_mj()

    def read_mj(self) -> float:
        """Millijoules since the driver was loaded."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError as error:
            raise EnergyUnavailableError(f"energy is unavailable: NVML gives none for this GPU ({error})") from None


def energy_mj(runnable: Runnable, counter: EnergyCounter, *, clock: Callable[[], float] = time.monotonic) -> float:
    """Millijoules of one inference, inferences back to back for half a second or longer.

    Counters move in steps of a millisecond (RAPL) to a tenth of a second (NVML). So a measurement begins and ends when
    the counter has just moved: inferences run in bursts of a few milliseconds until it does, and what happened within
    the last burst is all that can be charged to the wrong side.

    Args:
        runnable: the network.
        counter: of the device that executes it.
        clock: seconds since any moment.

    Raises:
        EnergyUnavailableError: the counter cannot be read, or does not move.
    """
    if isinstance(counter, EnergyMeter):
        return counter.inference_mj(runnable)
    runnable.run(3)
    fastest = min(runnable.run(1) for _ in range(3))
    burst = max(1, math.ceil(_BURST_SECONDS / max(fastest, 1e-9)))
    began, _ = _until_it_moves(runnable, burst, counter, clock)
    runnable.run(_BURSTS * burst)
    ended, last = _until_it_moves(runnable, burst, counter, clock)
    return (ended - began) / (_BURSTS * burst + last)


def energy_facts(open_counter: Callable[[], EnergyCounter], calibration: Runnable) -> dict[str, object]:
    """For a table's environment: what the calibration op takes, or why that is not known."""
    try:
        counter = open_counter()
        return {"energy_counter": counter.name, "calibration_op_mj": energy_mj(calibration, counter)}
    except EnergyUnavailableError as error:
        return {"energy_counter": None, "energy_unavailable": str(error)}


def _until_it_moves(
    runnable: Runnable, burst: int, counter: EnergyCounter, clock: Callable[[], float]
) -> tuple[float, int]:
    """Run bursts until the counter moves; its new value, and how many inferences that took."""
    before, began, count = counter.read_mj(), clock(), 0
    while clock() - began < _STILL_SECONDS:
        runnable.run(burst)
        count += burst
        now = counter.read_mj()
        if now != before:
            return now, count
    raise EnergyUnavailableError(f"energy is unavailable: {counter.name} has not moved for {_STILL_SECONDS:g} s")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError:
        raise EnergyUnavailableError(
            f"energy is unavailable: only another user may read {path}; "
            f"`sudo chmod a+r {path}` allows it until a reboot"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise EnergyUnavailableError(f"energy is unavailable: cannot read {path}: {why}") from None


def _read_number(path: Path) -> int:
    text = _read_text(path)
    try:
        return int(text)
    except ValueError:
        raise EnergyUnavailableError(f"energy is unavailable: {path} holds {text!r}") from None
