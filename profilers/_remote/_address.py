"""Addresses of devices, and the command line that reaches one."""

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
}
_START = (
    'import sys;sys.path[:]=[p for p in sys.path if p];f=open(0,"rb",0);exec(eval(f.readline()));sys.exit(begin(f))'
)
"""Reads the source text of the bootstrap, and gives it the rest of the stream. Nothing is read beyond a line."""
_CACHE = "~/.cache/hwnas-device"


@dataclass(frozen=True)
class Address:
    """Where a device is.

    Attributes:
        host: name or number, or what the user's ssh configuration calls it.
        user: None for the one that ssh takes by itself.
        port: None for the one that ssh takes by itself.
    """

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"{SCHEME}{user}{self.host}" + (f":{self.port}" if self.port else "")

    def ssh(self) -> list[str]:
        """The ssh command line up to the host: the user's own configuration, never a question, host keys checked.

        Raises:
            DeviceUnavailableError: ``HWNAS_SSH`` is no command line.
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
        """The command line that starts the device's Python on what is sent to it."""
        return [*self.ssh(), shlex.join([device_python(), "-c", _START])]

    def for_people(self, *words: str) -> str:
        """A command line that runs `words` on the device, to be typed."""
        port = ["-p", str(self.port)] if self.port else []
        host = self.host.strip("[]")
        return shlex.join(["ssh", *port, f"{self.user}@{host}" if self.user else host, shlex.join(words)])


def parse_address(text: str) -> Address:
    """Read ``ssh://[user@]host[:port]``.

    Raises:
        DeviceUnavailableError: it is none.
    """
    found = _ADDRESS.match(text)
    port = int(found["port"]) if found is not None and found["port"] else None
    if found is None or (port is not None and not 1 <= port <= 65535):
        raise DeviceUnavailableError(
            f"cannot read the device {text!r}; write it like ssh://user@host or ssh://host:2222"
        )
    return Address(found["host"], found["user"], port)


def device_python() -> str:
    """The Python to run on devices: ``$HWNAS_DEVICE_PYTHON``, else python3."""
    return os.environ.get("HWNAS_DEVICE_PYTHON") or "python3"


def device_cache() -> str:
    """The folder on devices: ``$HWNAS_DEVICE_CACHE``, else one in the user's home there."""
    return os.environ.get("HWNAS_DEVICE_CACHE") or _CACHE
