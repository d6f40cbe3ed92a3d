"""The one way in which files are written and read: nothing half written, nothing but regular files. Runs on devices.

A write goes to a new file of an unpredictable name beside the target, which then takes the target's place. A target
that is no regular file (a symbolic link, a device, a pipe, a folder) is refused: whoever may write into a folder could
otherwise lead a write out of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from latency_tables._errors import LatencyTableError

MOST_BYTES = 2**31
"""No file of hwnas is larger."""
PRIVATE = 0o022
"""Bits of a mode that let others write."""
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_LOST = (errno.EIO, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_KINDS = (
    (stat.S_ISLNK, "it is a symbolic link; name the file that it points to"),
    (stat.S_ISDIR, "it is a folder, not a file"),
    (stat.S_ISFIFO, "it is a pipe, not a file"),
    (stat.S_ISSOCK, "it is a socket, not a file"),
)


class NotAFileError(OSError):
    """A path leads to something else than a regular file; `strerror` says to what."""


class JournalInUseError(LatencyTableError):
    """Another process is appending to the same journal."""


class ForeignJournalError(LatencyTableError):
    """A file is no journal of hwnas; it was left as it is."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file: a new file beside it, fsync, rename over the target, fsync of the folder.

    A new file gets the mode that the umask leaves, an existing one keeps its mode. What UTF-8 cannot hold of a text
    (names of files in another encoding) is written as an escape.

    Raises:
        NotAFileError: there is something else than a regular file at `path`; it is left alone.
        OSError: the folder cannot be written, or the disk is full; the target is then as it was.
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


def rename(source: Path, target: Path) -> None:
    """Let a file take the place of another.

    Raises:
        NotAFileError: there is something else than a regular file at `target`; it is left alone.
        OSError: it cannot be renamed.
    """
    require_target(target)
    source.replace(target)
    sync_folder(target.parent)


def require_place(path: Path) -> None:
    """Make the folder of `path` and try whether a file can be written there.

    Raises:
        NotAFileError: there is something else than a regular file at `path`.
        OSError: nothing can be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    require_target(path)
    handle, temporary = _new_file_beside(path)
    os.close(handle)
    temporary.unlink()


def require_target(path: Path) -> int | None:
    """The permissions of what a write would replace; None where there is nothing.

    Raises:
        NotAFileError: it is no regular file.
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
        NotAFileError: it is a pipe, a device, a socket or a folder.
        OSError: it cannot be opened.
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
    """The content of a regular file, or of one that a link leads to.

    Raises:
        NotAFileError: it is a pipe, a device or a folder, or larger than `most` bytes.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise NotAFileError(errno.EFBIG, f"it is larger than {most >> 20} MiB", str(path))
        return file.read(size)


def is_private(found: os.stat_result) -> bool:
    """Whether a file or folder is this user's and nobody else may write it, where the system knows of that."""
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & PRIVATE


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk, where the system can.

    Raises:
        OSError: the disk is full or broken.
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
    """An append-only file of lines, each on disk before `append` returns unless told otherwise; one process at a time.

    A torn last line (a crash while writing) is cut off by the first `append`, so that whoever opens the file can read
    the lines first and refuse them. A line that does not fit on the disk leaves the file as it was.

    Args:
        path: the file; made where absent.
        begins: what every such file begins with. One without a single whole line must begin so, as far as it goes.

    Attributes:
        lines: the whole lines found on opening, without their line ends.

    Raises:
        JournalInUseError: another process has it open.
        ForeignJournalError: it is no such journal.
        NotAFileError: it is a symbolic link, a pipe, a device or a folder.
        OSError: the file cannot be opened.
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
                raise ForeignJournalError(f"{path} is not a journal of hwnas; move it away or choose another place")
            self._torn = len(data) > self._length
            if not data:
                sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, line: str, *, sync: bool = True) -> None:
        """Write one line.

        Args:
            line: without its line end.
            sync: whether to wait until it is on disk; otherwise `sync` or a later line sees to that.

        Raises:
            OSError: it cannot be written; the earlier lines are safe.
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
            OSError: one cannot be written.
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
    """A new file in the folder of `path`, open for writing: nobody can have put anything there under its name."""
    temporary = path.with_name(f".{path.name[:32]}.{secrets.token_hex(8)}.partial")
    return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_FOLLOW, 0o666), temporary


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what = next((text for is_one, text in _KINDS if is_one(mode)), "it is a device, not a file")
    raise NotAFileError(errno.EINVAL, what, str(path))


def _lock(file: int, path: Path) -> None:
    """Take the file for this process alone; where the system has no such locks, do without."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalInUseError(
            f"{path} is being written by another hwnas; wait for it, or choose another place"
        ) from None
