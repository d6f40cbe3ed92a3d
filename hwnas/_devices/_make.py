"""Devices by name: which there are, and the backend that measures on one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwnas._common._plugins import (
    distribution_of,
    load_plugin,
    make_plugin,
    only_taken,
    plugin_names,
    refuse_shadow,
    takes,
)
from hwnas._errors import HwnasError

if TYPE_CHECKING:
    from profilers import Backend

CPU_PRECISIONS = ("fp32", "int8")
_HERE_ONLY = ("mixed",)
"""Precisions of this machine's processor alone."""
CUDA_PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
CUDA_PROTOCOLS = ("host", "kernel")
SSH = "ssh://"
MOST_BATCH = 4096
"""Most images per inference; devices reached through ssh have the same limit."""
_RESERVED = ("cpu", "cuda", "ssh")
"""Names of our own devices begin with these."""
_DEFAULTS = {"threads": 1, "batch": 1, "precision": "fp32", "channels_last": False}
_CUDA = re.compile(r"cuda(?::([0-9]+))?\Z")


@dataclass(frozen=True)
class DeviceInfo:
    """One device as `hwnas devices` lists it.

    Attributes:
        name: What ``--device`` takes.
        description: What it is.
        usable: Whether it can be measured now.
        hint: Why not, and what to do; empty where it can.
    """

    name: str
    description: str
    usable: bool
    hint: str


def list_devices() -> list[DeviceInfo]:
    """List the devices of this machine."""
    from profilers import cpu_identity, installed_providers, usable_cores

    cpu = cpu_identity()
    providers = ", ".join(name.removesuffix("ExecutionProvider").lower() for name in installed_providers())
    about = f"{cpu['cpu']}, {usable_cores()} usable cores, ONNX Runtime ({providers})"
    brought = [DeviceInfo(name, f"plug-in of {distribution_of('device', name)}", True, "") for name in _plugins()]
    return [DeviceInfo("cpu", about, True, ""), *_cuda_devices(), *brought]


def make_backend(
    device: str,
    *,
    threads: int = 1,
    batch: int = 1,
    image_channels: int = 3,
    precision: str = "fp32",
    provider: str | None = None,
    protocol: str | None = None,
    channels_last: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Backend:
    """Make the backend that measures on a device.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, ``"ssh://[user@]host[:port]"`` for another machine's processor, or
            the name of a plug-in.
        threads: Threads inside an operator (CPU).
        batch: Images per inference.
        image_channels: Channels of the images.
        precision: ``"fp32"``; ``"int8"`` on a CPU; on this machine's CPU ``"mixed"`` for networks whose ops say their
            own; ``"fp16"`` and ``"bf16"`` on a GPU.
        provider: ONNX Runtime execution provider (CPU); None for its CPU provider.
        protocol: ``"host"`` or ``"kernel"`` (GPU); None for ``"host"``.
        channels_last: Memory format (GPU).
        progress: Receives a line for each lost connection (ssh).

    Raises:
        HwnasError: The device is unknown, or an option is out of range or not for this device.
        DeviceUnavailableError: The device or provider is not available, or the device cannot be reached.
    """
    require_batch(batch)
    options: dict[str, Any] = {"threads": threads, "batch": batch, "precision": precision, "provider": provider}
    options |= {"protocol": protocol, "channels_last": channels_last}
    more: dict[str, Any] = {"image_channels": image_channels, "progress": progress}
    if device == "cpu" or device.startswith(SSH):
        return _processor_backend(device, options, more)
    if (cuda := _CUDA.match(device)) is not None:
        return _cuda_backend(device, int(cuda.group(1) or 0), options, image_channels)
    return _plugin_backend(device, options, more)


def _processor_backend(device: str, options: Mapping[str, Any], more: Mapping[str, Any]) -> Backend:
    """Return the backend of a processor, here or reached through ssh."""
    _require_precision(device, options["precision"], (*CPU_PRECISIONS, *(_HERE_ONLY if device == "cpu" else ())))
    if options["protocol"] is not None or options["channels_last"]:
        raise HwnasError(f"--protocol and --channels-last are options of GPUs; leave them out with --device {device}")
    taken = {name: options[name] for name in ("threads", "batch", "precision")}
    taken["image_channels"] = more["image_channels"]
    if device == "cpu":
        return _cpu_backend(taken, options["provider"])
    return _ssh_backend(device, taken, options["provider"], more["progress"])


def _cuda_backend(device: str, number: int, options: Mapping[str, Any], image_channels: int) -> Backend:
    """Return the backend of an NVIDIA GPU."""
    _require_precision(device, options["precision"], tuple(CUDA_PRECISIONS))
    if options["provider"] is not None or options["threads"] != 1:
        raise HwnasError(f"--provider and --threads are options of --device cpu; leave them out with --device {device}")
    if options["protocol"] not in (None, *CUDA_PROTOCOLS):
        raise HwnasError(f"--protocol must be {' or '.join(CUDA_PROTOCOLS)}, got {options['protocol']!r}")
    _require_cuda(device)
    from profilers import CudaBackend

    return CudaBackend(
        number,
        mode="kernel" if options["protocol"] == "kernel" else "host",
        dtype=CUDA_PRECISIONS[options["precision"]],
        channels_last=options["channels_last"],
        batch=options["batch"],
        image_channels=image_channels,
    )


def _require_precision(device: str, precision: str, known: tuple[str, ...]) -> None:
    refuse_shadow("device", device)
    if precision not in known:
        raise HwnasError(f"--precision {precision} is not available on device {device}; choose from {', '.join(known)}")


def require_batch(batch: int) -> None:
    """Refuse a batch size that no device takes.

    Raises:
        HwnasError: It is below 1 or above `MOST_BATCH`.
    """
    if batch < 1:
        raise HwnasError(f"--batch must be 1 or more, got {batch}")
    if batch > MOST_BATCH:
        raise HwnasError(f"--batch must be {MOST_BATCH} or less, got {float(min(batch, 10**300)):.6g}")


def _plugin_backend(device: str, options: Mapping[str, Any], more: Mapping[str, Any]) -> Backend:
    """Return the backend of a plug-in, with what it takes of the options; others must have their defaults."""
    if device.startswith(_RESERVED):
        refuse_shadow("device", device)
    maker = load_plugin("device", device)
    if maker is None:
        names = ", ".join(["cpu", "cuda", "cuda:N (see `hwnas devices`)", "ssh://[user@]host[:port]", *_plugins()])
        raise HwnasError(f"unknown device {device!r}; known devices: {names}")
    for name, value in options.items():
        if name not in takes(maker) and value != _DEFAULTS.get(name):
            raise HwnasError(f"--{name.replace('_', '-')} is not an option of device {device}; leave it out")
    from profilers import Backend

    wants = [name for name in vars(Backend) if not name.startswith("_")]  # a subclass of `Backend` has all of them
    backend: Backend = make_plugin("device", device, wants=wants, **only_taken(maker, {**options, **more}))
    return backend


def _plugins() -> list[str]:
    return [name for name in plugin_names("device") if not name.startswith(_RESERVED)]


def _cpu_backend(options: Mapping[str, Any], provider: str | None) -> Backend:
    from profilers import OnnxRuntimeBackend, usable_cores

    if not 1 <= options["threads"] <= usable_cores():
        raise HwnasError(
            f"--threads must be between 1 and this machine's {usable_cores()} usable cores, got {options['threads']}"
        )
    return OnnxRuntimeBackend(provider=provider or "cpu", **options)


def _ssh_backend(
    device: str, options: Mapping[str, Any], provider: str | None, progress: Callable[[str], None]
) -> Backend:
    from profilers import SshBackend

    if options["threads"] < 1:
        raise HwnasError(f"--threads must be 1 or more, got {options['threads']}")
    return SshBackend(device, provider=provider or "cpu", progress=progress, **options)


def _require_cuda(device: str) -> None:
    from profilers import DeviceUnavailableError

    devices = _cuda_devices()
    if not devices[0].usable:
        raise DeviceUnavailableError(f"device {device} is not usable: {devices[0].hint}")
    names = [info.name for info in devices]
    if (device if ":" in device else "cuda:0") not in names:
        raise DeviceUnavailableError(f"device {device} is not available; torch sees {', '.join(names)}")


def _cuda_devices() -> list[DeviceInfo]:
    import torch

    if torch.version.cuda is None:
        hint = "this torch was built without CUDA; install a CUDA build of torch on a machine with an NVIDIA GPU"
        return [DeviceInfo("cuda", "NVIDIA GPU", False, hint)]
    if not torch.cuda.is_available():
        return [
            DeviceInfo(
                "cuda", "NVIDIA GPU", False, "torch finds no NVIDIA GPU or driver on this machine (see nvidia-smi)"
            )
        ]
    count = torch.cuda.device_count()
    return [DeviceInfo(f"cuda:{i}", torch.cuda.get_device_name(i), True, "") for i in range(count)]
