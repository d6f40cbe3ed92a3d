"""The first thing that runs on a device: puts the runner into the device's cache folder and starts it, or cleans up.

Sent as source text, before anything is known of the Python there: it must be readable by any Python 3. The stream is
standard input; its next line is the order, and the runner's bytes follow.
"""

import json
import os
import shutil
import stat
import sys
import tempfile
from typing import IO

MARK = ".hwnas-device"
"""A file that says that a folder is the cache of this program, and may be removed by it."""
ELSEWHERE = "; name another folder with HWNAS_DEVICE_CACHE"


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
    home = os.path.realpath(os.path.expanduser(order["cache"]))  # noqa: PTH111 - nobody can lead it elsewhere from here on
    os.umask(0o077)
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
    """Make the cache folder; one that exists must be ours or empty, and nobody else's."""
    os.makedirs(home, mode=0o700, exist_ok=True)  # noqa: PTH103
    mark = os.path.join(home, MARK)  # noqa: PTH118
    marked = is_marked(home)
    if not marked and os.listdir(home):  # noqa: PTH208
        raise ValueError(home + " holds files that are not hwnas's" + ELSEWHERE)
    require_safe(home)
    if stat.S_IMODE(os.stat(home).st_mode) & 0o022:  # noqa: PTH116
        os.chmod(home, 0o700)  # noqa: PTH101
    if not marked:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def is_marked(home: str) -> bool:
    """Whether the folder holds the file that says that it is ours."""
    try:
        return stat.S_ISREG(os.lstat(os.path.join(home, MARK)).st_mode)  # noqa: PTH118
    except OSError:
        return False


def require_safe(home: str) -> None:
    """Refuse a folder of somebody else, and one that others can put another in place of: what lies there is run."""
    user, folder = os.geteuid(), home
    if os.stat(folder).st_uid != user:  # noqa: PTH116
        raise ValueError(home + " belongs to another user" + ELSEWHERE)
    while folder != os.path.dirname(folder):  # noqa: PTH120
        folder = os.path.dirname(folder)  # noqa: PTH120
        found = os.stat(folder)  # noqa: PTH116
        if found.st_uid not in (0, user):
            raise ValueError(home + " lies in " + folder + ", which belongs to another user" + ELSEWHERE)
        others = stat.S_IWOTH if found.st_gid == os.getgid() and found.st_uid == user else stat.S_IWOTH | stat.S_IWGRP
        if found.st_mode & others and not found.st_mode & stat.S_ISVTX:
            raise ValueError(home + " lies in " + folder + ", where other users may write" + ELSEWHERE)


def clean(home: str) -> bool:
    """Remove the cache folder; returns whether there was one."""
    if not os.path.isdir(home):  # noqa: PTH112
        return False
    if not is_marked(home):
        raise ValueError(home + " was not made by hwnas and is left alone")
    require_safe(home)
    shutil.rmtree(home)
    return True


def store(home: str, name: str, stream: IO[bytes], size: int) -> str:
    """Write the runner where the same one is not there yet; returns its path."""
    data = b""
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            raise EOFError("the connection ended while the runner was sent")
        data += more
    path = os.path.join(home, name)  # noqa: PTH118
    if not holds(path, data):
        handle, temporary = tempfile.mkstemp(dir=home, suffix=".partial")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)  # noqa: PTH105
        folder = os.open(home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return path


def holds(path: str, data: bytes) -> bool:
    """Whether a file of this user, which nobody else may write, holds just that."""
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return False
        if found.st_size != len(data):
            return False
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read() == data
    except OSError:
        return False
