"""What a device answers first: a runner has started, or something is missing there."""

from __future__ import annotations

from profilers._errors import DeviceUnavailableError
from profilers._remote._address import Address, device_cache, parse_address
from profilers._remote._link import Link, LinkLostError, LinkRefusedError, printable
from profilers._remote._protocol import Message


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
        names = [printable(name, 40) for name in (missing if isinstance(missing, list) else [missing])[:9]]
        install = address.for_people(printable(greeting.get("python", "python3")), "-m", "pip", "install", *names)
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
