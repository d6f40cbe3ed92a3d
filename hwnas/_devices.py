"""Devices by name: which there are, and the backend that measures on one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwnas._errors import HwnasError

if TYPE_CHECKING:
    from profilers import Backend

_NO_PROFILER = "this version of hwnas measures on the CPU alone; use --device cpu"
_CUDA = re.compile(r"cuda(?::([0-9]+))?\Z")


@dataclass(frozen=True)
class DeviceInfo:
    """One device as `hwnas devices` lists it.

    Attributes:
        name: what ``--device`` takes.
        description: what it is.
        usable: whether it can be measured here and now.
        hint: why not, and what to do; empty where it can.
    """

    name: str
    description: str
    usable: bool
    hint: str


def list_devices() -> list[DeviceInfo]:
    """Every device of this machine."""
    from profilers import cpu_identity, usable_cores

    cpu = cpu_identity()
    found = [DeviceInfo("cpu", f"{cpu['cpu']}, {usable_cores()} usable cores, ONNX Runtime", True, "")]
    return [*found, *_cuda_devices()]


def make_backend(device: str, *, threads: int = 1, batch: int = 1, image_channels: int = 3) -> Backend:
    """The backend that measures on `device`.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        threads: threads inside an operator (CPU).
        batch: images of one inference.
        image_channels: channels of the images.

    Raises:
        HwnasError: an unknown device, or threads or batch out of range.
        DeviceUnavailableError: the device is not here.
    """
    from profilers import DeviceUnavailableError, OnnxRuntimeBackend, usable_cores

    if batch < 1:
        raise HwnasError(f"--batch must be at least 1, not {batch}")
    if device == "cpu":
        if not 1 <= threads <= usable_cores():
            raise HwnasError(
                f"--threads must be between 1 and this machine's {usable_cores()} usable cores, not {threads}"
            )
        return OnnxRuntimeBackend(threads=threads, batch=batch, image_channels=image_channels)
    if _CUDA.match(device) is None:
        raise HwnasError(f"unknown device {device!r}; known devices: cpu, cuda, cuda:N (see `hwnas devices`)")
    raise DeviceUnavailableError(f"device {device} is not usable: {_cuda_devices()[0].hint}")


def _cuda_devices() -> list[DeviceInfo]:
    import torch

    if torch.version.cuda is None:
        hint = "this torch was built without CUDA; install a CUDA build of torch on a machine with an NVIDIA GPU"
        return [DeviceInfo("cuda", "NVIDIA GPU", False, hint)]
    if not torch.cuda.is_available():
        return [DeviceInfo("cuda", "NVIDIA GPU", False, "torch finds no NVIDIA GPU or driver here (see nvidia-smi)")]
    count = torch.cuda.device_count()
    return [DeviceInfo(f"cuda:{i}", torch.cuda.get_device_name(i), False, _NO_PROFILER) for i in range(count)]
