"""The journal of a run's trials: whoever holds it owns the run's folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hwnas._common._chain import Chain, read_lines
from hwnas._errors import RunError
from latency_tables import LineJournal

_LINE = b'{"number": '
"""How every line of a journal of trials begins."""
_SYNC_S = 0.5
"""Lines of less than so many seconds may be lost with the machine's power; a killed process loses none."""


class TrialJournal:
    """Finished trials, one JSON line each, in the file before the next one starts. A torn last line is dropped.

    Each line has a hash (`Chain`): a journal that was changed is refused. A line is on the disk, safe from a loss of
    power too, half a second after it was written at the latest: waiting for the disk at each of many cheap evaluations
    would take longer than they do.

    Args:
        path: the file; made where absent.
        unhashed: whether the first lines may be without hashes (`Run.unhashed`).

    Attributes:
        made: whether the file was made here.
        records: the lines so far.

    Raises:
        RunError: it cannot be read or written, or is damaged.
        JournalInUseError: another process has it open.
    """

    def __init__(self, path: Path, unhashed: bool = False) -> None:
        self.path = path
        self.made = not path.exists()
        self.records: list[dict[str, Any]] = []
        self._chain = Chain(unhashed)
        self._synced, self._waits = 0.0, False
        try:
            self._file = LineJournal(path, _LINE)
            if not path.exists():  # whoever had it removed it again before it was locked here
                self._file.close()
                self._file = LineJournal(path, _LINE)
            self._place = _place(path)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}; choose another --out") from None
        try:
            self.records = read_lines(path, self._file.lines, self._chain)
        except RunError:
            self._file.close()
            raise

    def append(self, record: Mapping[str, object]) -> None:
        """Write one trial.

        Raises:
            RunError: the disk is full, or the file is gone; earlier trials are safe where it is not.
        """
        self.require_there()
        line = self._chain.written(record)
        sync = time.monotonic() - self._synced >= _SYNC_S
        try:
            self._file.append(line, sync=sync)
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}; the trials before this one are safe") from None
        self._waits = not sync
        if sync:
            self._synced = time.monotonic()
        self._chain.commit(record)
        self.records.append(dict(record))

    def require_there(self) -> None:
        """Refuse to go on where nobody would find what is written.

        Raises:
            RunError: the file was removed or replaced since it was opened.
        """
        with suppress(OSError):
            if _place(self.path) == self._place:
                return
        raise RunError(
            f"{self.path} was removed or replaced while the search ran; restore {self.path.parent}, or choose another "
            "--out and run the search again"
        )

    def close(self) -> None:
        """Close the file."""
        if self._waits:
            with suppress(OSError, ValueError):
                self._file.sync()
        self._file.close()


def _place(path: Path) -> tuple[int, int]:
    """What tells a file from another one of its name."""
    found = path.stat()
    return found.st_dev, found.st_ino
