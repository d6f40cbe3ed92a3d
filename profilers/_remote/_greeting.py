"""The first answer of a device: the runner has started, or something is missing there."""

from __future__ import annotations

import re

from profilers._errors import DeviceUnavailableError
from profilers._remote._address import Address, device_cache, device_python, parse_address
from profilers._remote._link import Link, LinkLostError, LinkRefusedError, printable
from profilers._remote._protocol import Message

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}\Z")


def require_runner(greeting: Message, address: Address) -> None:
    """Check that the runner has started.

    Args:
        greeting: The first message of the device.
        address: Address of the device.

    Raises:
        DeviceUnavailableError: The device lacks something; the message names the command that installs it.
    """
    if "old_python" in greeting:
        old = printable(greeting["old_python"], 20)
        raise DeviceUnavailableError(
            f"{address} has Python {old}; install Python 3.9 or newer there, or name one with HWNAS_DEVICE_PYTHON"
        )
    if "error" in greeting:
        raise DeviceUnavailableError(f"{address}: {printable(greeting['error'])}")
    missing = greeting.get("missing")
    if missing:
        entries = missing if isinstance(missing, list) else [missing]
        names = [name for name in entries if isinstance(name, str) and _PACKAGE.match(name)][:9]
        if not names:
            raise DeviceUnavailableError(f"{address} lacks packages, but names none: {printable(missing, 80)}")
        python = greeting.get("python")
        python = printable(python, 100) if isinstance(python, str) else device_python()
        install = address.for_people(python, "-m", "pip", "install", *names)
        raise DeviceUnavailableError(f"{address} lacks {', '.join(names)}; run: {install}")


def clean_device(where: str) -> tuple[bool, str]:
    """Remove all files of hwnas from a device: its one cache folder.

    Args:
        where: ``ssh://[user@]host[:port]``.

    Returns:
        Whether there was such a folder, and its path.

    Raises:
        DeviceUnavailableError: The device cannot be reached, or another program made the folder.
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
