"""Energy of one inference, from the counters of the processor (RAPL) or of the GPU (NVML).

Both count what the whole package or board consumes, idle power and other work included; neither counts one process
alone. Nothing is ever written to them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from profilers._errors import EnergyUnavailableError
from profilers._nvml import open_gpu
from profilers._timing import Runnable

REFERENCE_OP_MJ = "calibration_op_mj"
"""Key of a table's environment: energy of the reference op. Table files hold it in its earlier spelling."""
_BURST_SECONDS = 2.5e-3
_BURSTS = 200
"""Each end of a measurement may be off by one burst: together at most 1 % of this many."""
_STILL_SECONDS = 5.0
"""Seconds after which a counter that has not moved is given up."""
_POWERCAP = Path("/sys/class/powercap")


class EnergyCounter(Protocol):
    """Counts energy, in steps.

    Attributes:
        name: Name of the counter, for tables and messages.
    """

    name: str

    def read_mj(self) -> float:
        """Return the millijoules since a fixed moment; the number never falls.

        Raises:
            EnergyUnavailableError: The counter can no longer be read.
        """


@runtime_checkable
class EnergyMeter(EnergyCounter, Protocol):
    """A counter of a remote device: it measures whole inferences there, without the connection in between."""

    def inference_mj(self, runnable: Runnable) -> float:
        """Return the millijoules of one inference, measured as `energy_mj` does.

        Raises:
            EnergyUnavailableError: The counter there cannot be read, or does not move.
        """


class RaplCounter:
    """Energy of all packages of the processor, from Linux's powercap interface (Intel's RAPL; AMD's has the same name).

    Args:
        root: Folder of the interface.

    Raises:
        EnergyUnavailableError: There is no such counter, or reading it is not permitted.
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
        """Return the millijoules of all packages since this object was made; a counter may wrap around in between."""
        now = [_read_number(file) for file in self._files]
        for i, most in enumerate(self._ranges):
            before, after = self._last[i], now[i]
            self._total_uj += after - before if after >= before else after - before + most
        self._last = now
        return self._total_uj / 1e3


class NvmlCounter:
    """Energy of one GPU's board; needs Volta or newer.

    Args:
        uuid: UUID of the GPU, with or without ``GPU-`` in front.
        nvml: The NVML module; None imports ``pynvml``.

    Raises:
        EnergyUnavailableError: NVML is not installed, or the GPU has no counter.
    """

    name = "NVML total energy"

    def __init__(self, uuid: str, nvml: Any = None) -> None:
        opened = open_gpu(uuid, nvml)
        if opened is None:
            raise EnergyUnavailableError("energy is unavailable: NVML is not installed; run: pip install nvidia-ml-py")
        self._nvml, self._handle = opened
        self.read_mj()

    def read_mj(self) -> float:
        """Return the millijoules since the driver was loaded."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError as error:
            raise EnergyUnavailableError(
                f"energy is unavailable: NVML cannot read the energy of this GPU ({error})"
            ) from None


def energy_mj(runnable: Runnable, counter: EnergyCounter, *, clock: Callable[[], float] = time.monotonic) -> float:
    """Measure the energy of one inference while inferences run back to back for half a second or longer.

    Counters move in steps of a millisecond (RAPL) to a tenth of a second (NVML). So a measurement begins and ends when
    the counter has just moved: inferences run in bursts of a few milliseconds until it does, and at most the energy of
    one burst is counted on the wrong side.

    Args:
        runnable: The network.
        counter: Counter of the device that executes it.
        clock: Returns seconds since a fixed moment.

    Returns:
        Millijoules of one inference.

    Raises:
        EnergyUnavailableError: The counter cannot be read, or does not move.
    """
    if isinstance(counter, EnergyMeter):
        return counter.inference_mj(runnable)
    runnable.run(3)
    fastest = min(runnable.run(1) for _ in range(3))
    together = getattr(runnable, "copies", 1)  # a captured graph executes all of its inferences
    burst = together * max(1, math.ceil(_BURST_SECONDS / max(fastest, 1e-9) / together))
    began, _ = _until_it_moves(runnable, burst, counter, clock)
    runnable.run(_BURSTS * burst)
    ended, last = _until_it_moves(runnable, burst, counter, clock)
    return (ended - began) / (_BURSTS * burst + last)


def energy_facts(open_counter: Callable[[], EnergyCounter], reference_op: Runnable) -> dict[str, object]:
    """Return for a table's environment the energy of the reference op, or why it is not known.

    Args:
        open_counter: Opens the counter of the device.
        reference_op: The loaded reference op.
    """
    try:
        counter = open_counter()
        return {"energy_counter": counter.name, REFERENCE_OP_MJ: energy_mj(reference_op, counter)}
    except EnergyUnavailableError as error:
        return {"energy_counter": None, "energy_unavailable": str(error)}


def _until_it_moves(
    runnable: Runnable, burst: int, counter: EnergyCounter, clock: Callable[[], float]
) -> tuple[float, int]:
    """Run bursts until the counter moves; return its new value and the number of inferences until then."""
    before, began, count = counter.read_mj(), clock(), 0
    while clock() - began < _STILL_SECONDS:
        runnable.run(burst)
        count += burst
        now = counter.read_mj()
        if now != before:
            return now, count
    raise EnergyUnavailableError(f"energy is unavailable: {counter.name} did not change for {_STILL_SECONDS:g} s")


def _read_text(path: Path) -> str:
    """Read a file of the powercap interface.

    Raises:
        EnergyUnavailableError: It cannot be read.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError:
        raise EnergyUnavailableError(
            f"energy is unavailable: this user may not read {path}; "
            f"`sudo chmod a+r {path}` allows it until the next reboot"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise EnergyUnavailableError(f"energy is unavailable: cannot read {path}: {why}") from None


def _read_number(path: Path) -> int:
    """Read a file of the powercap interface that holds a whole number.

    Raises:
        EnergyUnavailableError: It cannot be read, or holds something else.
    """
    text = _read_text(path)
    try:
        return int(text)
    except ValueError:
        raise EnergyUnavailableError(f"energy is unavailable: {path} must hold a number, got {text!r}") from None
