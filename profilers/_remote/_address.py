"""Addresses of remote devices, and the command lines that reach them."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass

from profilers._errors import DeviceUnavailableError

SCHEME = "ssh://"
_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.+-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.]+)?\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?\Z"
)
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "LogLevel": "ERROR",
    "RemoteCommand": "none",
}
_START = (
    'import sys;sys.path[:]=[p for p in sys.path if p];f=open(0,"rb",0);exec(eval(f.readline()));sys.exit(begin(f))'
)
"""Reads the bootstrap's source text, one line, and passes the rest of the stream to it."""
_CACHE = "~/.cache/hwnas-device"


@dataclass(frozen=True)
class Address:
    """The address of a remote device.

    Attributes:
        host: Name or IP address, or an alias in the user's ssh configuration.
        user: User name; None for ssh's default.
        port: Port; None for ssh's default.
    """

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"{SCHEME}{user}{self.host}" + (f":{self.port}" if self.port else "")

    def ssh(self) -> list[str]:
        """Return the ssh command line up to the host.

        It uses the user's own configuration, never asks a question, and checks host keys.

        Raises:
            DeviceUnavailableError: ``HWNAS_SSH`` is not a command line.
        """
        given = os.environ.get("HWNAS_SSH") or "ssh"
        try:
            command = shlex.split(given)
        except ValueError:
            raise DeviceUnavailableError(
                f"cannot read HWNAS_SSH={given!r}; write a command line like 'ssh -F file'"
            ) from None
        command += ["-T", "-x", "-a"]
        for name, value in _OPTIONS.items():
            command += ["-o", f"{name}={value}"]
        if self.port is not None:
            command += ["-p", str(self.port)]
        if self.user is not None:
            command += ["-l", self.user]
        return [*command, "--", self.host.strip("[]")]

    def command(self) -> list[str]:
        """Return the command line that starts the device's Python on the text that is sent to it."""
        return [*self.ssh(), shlex.join([device_python(), "-c", _START])]

    def for_people(self, *words: str) -> str:
        """Return a command line that runs `words` on the device, for a user to type."""
        port = ["-p", str(self.port)] if self.port else []
        host = self.host.strip("[]")
        return shlex.join(["ssh", *port, f"{self.user}@{host}" if self.user else host, shlex.join(words)])


def parse_address(text: str) -> Address:
    """Read ``ssh://[user@]host[:port]``.

    Raises:
        DeviceUnavailableError: The text is not such an address.
    """
    match = _ADDRESS.match(text)
    port = int(match["port"]) if match is not None and match["port"] else None
    if match is None or (port is not None and not 1 <= port <= 65535):
        raise DeviceUnavailableError(
            f"cannot read the device {text!r}; write it like ssh://user@host or ssh://host:2222"
        )
    return Address(match["host"], match["user"], port)


def device_python() -> str:
    """Return the Python command of remote devices: ``$HWNAS_DEVICE_PYTHON``, or else python3."""
    return os.environ.get("HWNAS_DEVICE_PYTHON") or "python3"


def device_cache() -> str:
    """Return the cache folder of remote devices: ``$HWNAS_DEVICE_CACHE``, or else one in the user's home there."""
    return os.environ.get("HWNAS_DEVICE_CACHE") or _CACHE
