"""This machine and what is installed on it: `devices`, `doctor`, `plugins` and `clean_device`."""

from __future__ import annotations

from hwnas._common._plugins import Installed, installed
from hwnas._costs._cost import OWN
from hwnas._devices._doctor import Finding, examine
from hwnas._devices._make import DeviceInfo, list_devices
from hwnas.evaluators import evaluator_names
from hwnas.oneshot import METHODS
from hwnas.spaces import space_names
from hwnas.tasks import task_names
from profilers import operator_kinds
from search import STRATEGIES


def devices() -> list[DeviceInfo]:
    """List the devices of this machine, as ``hwnas devices`` does."""
    return list_devices()


def doctor() -> list[Finding]:
    """Find what disturbs measurements on this machine, as ``hwnas doctor`` does."""
    return examine()


def plugins() -> list[Installed]:
    """List spaces, tasks, strategies, evaluators, devices and costs by name, as ``hwnas plugins`` does."""
    devices = ["cpu", "cuda", "cuda:N", "ssh://"]
    own = {
        "space": space_names(),
        "task": task_names(),
        "strategy": [*STRATEGIES, *METHODS],
        "evaluator": evaluator_names(),
    }
    return installed({**own, "device": devices, "cost": list(OWN), "operator": list(operator_kinds())})


def clean_device(device: str) -> tuple[bool, str]:
    """Remove hwnas's files from a device reached through ssh, as ``hwnas device clean`` does.

    Args:
        device: ``"ssh://[user@]host[:port]"``.

    Returns:
        Whether there was something to remove, and the folder.

    Raises:
        ProfilerError: The device cannot be reached.
    """
    from profilers import clean_device as clean

    return clean(device)
