"""Files that a crash or a full disk never leaves half written: whole files, and append-only journals of lines."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from latency_tables._errors import LatencyTableError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file: temporary file in the same folder, fsync, rename over the target.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the target is then as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class JournalInUseError(LatencyTableError):
    """Another process is appending to the same journal."""


class LineJournal:
    """An append-only file of lines, each on disk before `append` returns unless told otherwise; one process at a time.

    A torn last line (a crash while writing) is cut off when the file is opened, and a line that does not fit on
    the disk leaves the file as it was.

    Args:
        path: the file; made where absent.

    Attributes:
        lines: the whole lines found on opening, without their line ends.

    Raises:
        JournalInUseError: another process has it open.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._file, path)
            data = path.read_bytes()
            self._length = data.rfind(b"\n") + 1
            self.lines = data[: self._length].splitlines()
            os.ftruncate(self._file, self._length)
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
