"""The first code that runs on a device: it stores the runner in the device's cache folder and starts it, or cleans up.

It is sent as source text before the version of the Python there is known, so any Python 3 must be able to read it. The
stream is standard input: its next line is the order, and the runner's bytes follow.
"""

import json
import os
import shutil
import stat
import sys
import tempfile
from typing import IO

MARK = ".hwnas-device"
"""A file that marks a folder as the cache of this program, which may remove it."""
ELSEWHERE = "; name another folder with HWNAS_DEVICE_CACHE"


def say(**facts: object) -> int:
    """Write the greeting, the line that the other end waits for; return the exit code for ending after it.

    It begins a line, whatever the login shell wrote before it.
    """
    line = json.dumps(facts)[1:]
    sys.stdout.write('\n{"hwnas-runner": 1' + (", " + line if facts else "}") + "\n")
    sys.stdout.flush()
    return 3


def begin(stream: IO[bytes]) -> int:
    """Carry out the order; return an exit code, unless this process becomes the runner."""
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
    """Make the cache folder; an existing one must be marked or empty, and belong to this user."""
    os.makedirs(home, mode=0o700, exist_ok=True)  # noqa: PTH103
    mark = os.path.join(home, MARK)  # noqa: PTH118
    marked = is_marked(home)
    if not marked and os.listdir(home):  # noqa: PTH208
        raise ValueError(home + " holds files of other programs" + ELSEWHERE)
    require_safe(home)
    if stat.S_IMODE(os.stat(home).st_mode) & 0o022:  # noqa: PTH116
        os.chmod(home, 0o700)  # noqa: PTH101
    if not marked:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def is_marked(home: str) -> bool:
    """Return whether the folder holds the file that marks it as ours."""
    try:
        return stat.S_ISREG(os.lstat(os.path.join(home, MARK)).st_mode)  # noqa: PTH118
    except OSError:
        return False


def require_safe(home: str) -> None:
    """Refuse a folder of another user, and one that other users could replace: files in it are executed."""
    user, folder = os.geteuid(), home
    if os.stat(folder).st_uid != user:  # noqa: PTH116
        raise ValueError(home + " belongs to another user" + ELSEWHERE)
    while folder != os.path.dirname(folder):  # noqa: PTH120
        folder = os.path.dirname(folder)  # noqa: PTH120
        status = os.stat(folder)  # noqa: PTH116
        if status.st_uid not in (0, user):
            raise ValueError(home + " is in " + folder + ", which belongs to another user" + ELSEWHERE)
        own = status.st_gid == os.getgid() and status.st_uid == user
        others = stat.S_IWOTH if own else stat.S_IWOTH | stat.S_IWGRP
        if status.st_mode & others and not status.st_mode & stat.S_ISVTX:
            raise ValueError(home + " is in " + folder + ", where other users may write" + ELSEWHERE)


def clean(home: str) -> bool:
    """Remove the cache folder; return whether there was one."""
    if not os.path.isdir(home):  # noqa: PTH112
        return False
    if not is_marked(home):
        raise ValueError(home + " was not made by hwnas, so it is not removed")
    require_safe(home)
    shutil.rmtree(home)
    return True


def store(home: str, name: str, stream: IO[bytes], size: int) -> str:
    """Write the runner, unless the folder holds the same one already; return its path."""
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
    """Return whether a file holds exactly these bytes, belongs to this user, and can be written by nobody else."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return False
        if status.st_size != len(data):
            return False
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read() == data
    except OSError:
        return False
