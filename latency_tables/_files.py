"""Writing and reading of files: no half-written files, and regular files only. Runs on devices.

A write goes to a new file of an unpredictable name beside the target, which then takes the target's place. A target
that is not a regular file (a symbolic link, a device, a pipe, a folder) is refused: otherwise whoever may write into a
folder could redirect a write to somewhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from pathlib import Path
from typing import BinaryIO

from latency_tables._errors import LatencyTableError

MOST_BYTES = 2**31
"""Largest file that is read, in bytes."""
PRIVATE = 0o022
"""Bits of a mode that let others write."""
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_LOST = (errno.EIO, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_LOOKS, _LOOK_S = 4, 0.01
"""How often a lock is asked for, and the pause: whoever looks whether a file is locked holds it for a moment."""
_KINDS = (
    (stat.S_ISLNK, "it is a symbolic link; name the file that it points to"),
    (stat.S_ISDIR, "it is a folder, not a file"),
    (stat.S_ISFIFO, "it is a pipe, not a file"),
    (stat.S_ISSOCK, "it is a socket, not a file"),
)


class NotAFileError(OSError):
    """A path leads to something other than a regular file; `strerror` says to what."""


class JournalInUseError(LatencyTableError):
    """Another process is appending to the same journal."""


class ForeignJournalError(LatencyTableError):
    """A file is not a journal of hwnas; it is left as it is."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file: a new file beside it, fsync, rename over the target, fsync of the folder.

    A new file gets the mode that the umask leaves, an existing one keeps its mode. What UTF-8 cannot hold of a text
    (names of files in another encoding) is written as an escape.

    Raises:
        NotAFileError: Something other than a regular file is at `path`; it is left alone.
        OSError: The folder cannot be written, or the disk is full; the target is then as it was.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    before = require_target(path)
    handle, temporary = _new_file_beside(path)
    try:
        with os.fdopen(handle, "wb") as file:
            if before is not None and hasattr(os, "fchmod"):
                os.fchmod(handle, before)
            file.write(data)
            file.flush()
            os.fsync(handle)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def append_bytes(path: Path, data: bytes) -> None:
    """Add to the end of a file; it is made where absent, and is as it was where not all of the data fits.

    Raises:
        NotAFileError: Something other than a regular file is at `path`; it is left alone.
        OSError: The file cannot be written, or the disk is full.
    """
    require_target(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY | _NO_FOLLOW | _NO_WAIT, 0o666)
    try:
        _require_regular(path, os.fstat(file).st_mode)
        length = os.fstat(file).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(file, data[written:])
        except BaseException:  # an interrupt, too, leaves whole additions only
            os.ftruncate(file, length)
            raise
    finally:
        os.close(file)


def rename(source: Path, target: Path) -> None:
    """Move a file to the place of another.

    Raises:
        NotAFileError: Something other than a regular file is at `target`; it is left alone.
        OSError: The file cannot be renamed.
    """
    require_target(target)
    source.replace(target)
    sync_folder(target.parent)


def require_place(path: Path) -> None:
    """Make the folder of `path` and check that a file can be written there.

    Raises:
        NotAFileError: Something other than a regular file is at `path`.
        OSError: Nothing can be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    require_target(path)
    handle, temporary = _new_file_beside(path)
    os.close(handle)
    temporary.unlink()


def require_target(path: Path) -> int | None:
    """Return the permissions of the file that a write would replace; None where there is none.

    Raises:
        NotAFileError: Something other than a regular file is there.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    _require_regular(path, mode)
    return stat.S_IMODE(mode) & 0o777


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file, or the one that a link leads to, for reading; nothing else is opened or waited for.

    Raises:
        NotAFileError: The path leads to a pipe, a device, a socket or a folder.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    _require_regular(path, path.stat().st_mode)  # opening a device may already do something
    handle = os.open(path, os.O_RDONLY | _BINARY | _NO_WAIT)
    try:
        _require_regular(path, os.fstat(handle).st_mode)  # something else may have taken its place
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a regular file, or the one that a link leads to.

    Raises:
        NotAFileError: The path leads to a pipe, a device or a folder, or the file is larger than `most` bytes.
        OSError: The file cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise NotAFileError(errno.EFBIG, f"it is larger than {most >> 20} MiB", str(path))
        return file.read(size)


def is_private(status: os.stat_result) -> bool:
    """Return whether only this user owns and may write a file or folder; True on systems without users."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & PRIVATE


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where the system can.

    Raises:
        OSError: The disk is full or broken.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # a folder may be writable but not readable; some systems open none
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in _LOST:
            raise
    finally:
        os.close(handle)


class LineJournal:
    """An append-only file of lines, each on disk before `append` returns by default; one process at a time.

    A torn last line (a crash while writing) is cut off by the first `append`, so that whoever opens the file can read
    the lines first and refuse them. A line that does not fit on the disk leaves the file as it was.

    Args:
        path: The file; made where absent.
        begins: Bytes that every such file begins with; an incomplete line must match them as far as it goes.

    Attributes:
        lines: Whole lines that the file held when it was opened, without their line ends.

    Raises:
        JournalInUseError: Another process has the file open.
        ForeignJournalError: The file is not such a journal.
        NotAFileError: The path is a symbolic link, a pipe, a device or a folder.
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, begins: bytes = b"") -> None:
        self.path = path
        self._file: int | None = None
        require_target(path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY | _NO_FOLLOW | _NO_WAIT, 0o666)
        try:
            _require_regular(path, os.fstat(self._file).st_mode)
            _lock(self._file, path)
            data = self._read(self._file)
            self._length = data.rfind(b"\n") + 1
            self.lines = data[: self._length].splitlines()
            torn = data[self._length : self._length + len(begins)]
            if not self.lines and torn != begins[: len(torn)]:
                raise ForeignJournalError(f"{path} is not a journal of hwnas; move it or choose another path")
            self._torn = len(data) > self._length
            if not data:
                sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, line: str, *, sync: bool = True) -> None:
        """Write one line.

        Args:
            line: The line without its line end.
            sync: Whether to wait until the line is on disk; otherwise call `sync`, or append a later line with it.

        Raises:
            OSError: The line cannot be written; the earlier lines are safe.
        """
        if self._file is None:
            raise ValueError(f"the journal {self.path} is closed")
        data = memoryview(line.encode("utf-8") + b"\n")
        if self._torn:
            os.ftruncate(self._file, self._length)
            self._torn = False
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._length + written)
            if sync:
                os.fsync(self._file)
        except BaseException:  # an interrupt, too, leaves whole lines only
            os.ftruncate(self._file, self._length)
            raise
        self._length += len(data)

    def sync(self) -> None:
        """Wait until every line is on disk.

        Raises:
            OSError: A line cannot be written.
        """
        if self._file is not None:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @staticmethod
    def _read(file: int) -> bytes:
        parts = []
        while part := os.read(file, 2**20):
            parts.append(part)
        return b"".join(parts)


def _new_file_beside(path: Path) -> tuple[int, Path]:
    """Create a file of an unpredictable name beside `path` and open it for writing."""
    temporary = path.with_name(f".{path.name[:32]}.{secrets.token_hex(8)}.partial")
    return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_FOLLOW, 0o666), temporary


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what = next((text for is_kind, text in _KINDS if is_kind(mode)), "it is a device, not a file")
    raise NotAFileError(errno.EINVAL, what, str(path))


def _lock(file: int, path: Path) -> None:
    """Lock the file for this process, where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        return
    for tried in range(_LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if tried + 1 < _LOOKS:
                time.sleep(_LOOK_S)
        else:
            return
    raise JournalInUseError(f"another hwnas process is writing {path}; wait until it ends, or choose another path")
