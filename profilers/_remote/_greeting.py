"""What a device answers first: a runner has started, or something is missing there."""

from __future__ import annotations

import re

from profilers._errors import DeviceUnavailableError
from profilers._remote._address import Address, device_cache, device_python, parse_address
from profilers._remote._link import Link, LinkLostError, LinkRefusedError, printable
from profilers._remote._protocol import Message

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}\Z")


def require_runner(greeting: Message, address: Address) -> None:
    """Check that a runner has started.

    Raises:
        DeviceUnavailableError: what the device lacks, with the command that installs it.
    """
    if "old_python" in greeting:
        found = printable(greeting["old_python"], 20)
        raise DeviceUnavailableError(
            f"{address} has Python {found}; install Python 3.9 or newer there, or name one with HWNAS_DEVICE_PYTHON"
        )
    if "error" in greeting:
        raise DeviceUnavailableError(f"{address}: {printable(greeting['error'])}")
    missing = greeting.get("missing")
    if missing:
        told = missing if isinstance(missing, list) else [missing]
        names = [name for name in told if isinstance(name, str) and _PACKAGE.match(name)][:9]
        if not names:
            raise DeviceUnavailableError(f"{address} lacks packages that it cannot name: {printable(missing, 80)}")
        python = greeting.get("python")
        python = printable(python, 100) if isinstance(python, str) else device_python()
        install = address.for_people(python, "-m", "pip", "install", *names)
        raise DeviceUnavailableError(f"{address} lacks {', '.join(names)}: {install}")


def clean_device(where: str) -> tuple[bool, str]:
    """Remove everything of ours from a device: its one cache folder.

    Args:
        where: ``ssh://[user@]host[:port]``.

    Returns:
        Whether there was one, and which.

    Raises:
        DeviceUnavailableError: the device cannot be reached, or the folder is not ours.
    """
    address = parse_address(where)
    try:
        link = Link(address.command())
        try:
            greeting = link.greet({"do": "clean", "cache": device_cache()})
        finally:
            link.close()
    except (LinkLostError, LinkRefusedError) as error:
        raise DeviceUnavailableError(f"cannot reach {address}: {error}") from None
    require_runner(greeting, address)
    return bool(greeting.get("removed")), printable(greeting.get("folder"))
