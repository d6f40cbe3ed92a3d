"""Files that a crash or a full disk never leaves half written: whole files, and append-only journals of lines."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


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


class LineJournal:
    """An append-only file of lines, each on disk before `append` returns.

    A torn last line (a crash while writing) is cut off when the file is opened, and a line that does not fit on
    the disk leaves the file as it was.

    Args:
        path: the file; made by the first `append`.

    Attributes:
        lines: the whole lines found on opening, without their line ends.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes() if path.exists() else b""
        self._length = data.rfind(b"\n") + 1
        self.lines = data[: self._length].splitlines()
        self._file: int | None = None

    def append(self, line: str) -> None:
        """Write one line.

        Raises:
            OSError: it cannot be written; the earlier lines are safe.
        """
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            os.ftruncate(self._file, self._length)
        data = memoryview(line.encode("utf-8") + b"\n")
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._length + written)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._length)
            raise
        self._length += len(data)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
