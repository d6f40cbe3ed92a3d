"""The first thing that runs on a device: puts the runner into the device's cache folder and starts it, or cleans up.

Sent as source text, before anything is known of the Python there: it must be readable by any Python 3. The stream is
standard input; its next line is the order, and the runner's bytes follow.
"""

import json
import os
import shutil
import sys
import tempfile
from typing import IO

MARK = ".hwnas-device"
"""A file that says that a folder is the cache of this program, and may be removed by it."""


def say(**facts: object) -> int:
    """The greeting: the line that the other side waits for."""
    line = json.dumps(facts)[1:]
    sys.stdout.write('{"hwnas-runner": 1' + (", " + line if facts else "}") + "\n")
    sys.stdout.flush()
    return 3


def begin(stream: IO[bytes]) -> int:
    """Obey the order; returns an exit code, unless this process becomes the runner."""
    if tuple(sys.version_info) < (3, 9):
        return say(old_python="%d.%d" % sys.version_info[:2])  # noqa: UP031
    order = json.loads(stream.readline().decode("ascii"))
    home = os.path.expanduser(order["cache"])  # noqa: PTH111
    try:
        if order["do"] == "clean":
            return say(removed=clean(home), folder=home)
        claim(home)
        runner = store(home, order["name"], stream, order["size"])
        os.chdir(home)
    except (OSError, EOFError, ValueError) as error:
        return say(error=str(error))
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, runner, "serve", home])


def claim(home: str) -> None:
    """Make the cache folder; one that exists must be ours or empty."""
    os.makedirs(home, mode=0o700, exist_ok=True)  # noqa: PTH103
    mark = os.path.join(home, MARK)  # noqa: PTH118
    if not os.path.exists(mark):  # noqa: PTH110
        if os.listdir(home):  # noqa: PTH208
            raise ValueError(home + " holds files that are not hwnas's; name another folder with HWNAS_DEVICE_CACHE")
        with open(mark, "w"):  # noqa: PTH123
            pass


def clean(home: str) -> bool:
    """Remove the cache folder; returns whether there was one."""
    if not os.path.isdir(home):  # noqa: PTH112
        return False
    if not os.path.exists(os.path.join(home, MARK)):  # noqa: PTH110, PTH118
        raise ValueError(home + " was not made by hwnas and is left alone")
    shutil.rmtree(home)
    return True


def store(home: str, name: str, stream: IO[bytes], size: int) -> str:
    """Write the runner where it is not there yet; returns its path."""
    data = b""
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            raise EOFError("the connection ended while the runner was sent")
        data += more
    path = os.path.join(home, name)  # noqa: PTH118
    if not os.path.exists(path):  # noqa: PTH110
        handle, temporary = tempfile.mkstemp(dir=home, suffix=".partial")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)  # noqa: PTH105
    return path
