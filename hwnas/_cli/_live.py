"""What a search shows on the command line: a changing status line, plain lines, JSON, or nothing."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from hwnas._common._text import json_text, printable
from hwnas._runs._journal import TrialRecord
from hwnas._runs._watch import Lines, Status, Watcher

_FIELDS = ("number", "arch", "values", "failed", "cheap", "seconds", "costs", "from", "estimates", "measurements")
_EVERY_S = 0.2


def make_watcher(quiet: bool, as_json: bool, plain: Callable[[str], None]) -> Watcher:
    """Choose what shows a search.

    Args:
        quiet: Show nothing.
        as_json: Write JSON lines.
        plain: Writes one line; used where the output is not a terminal.
    """
    if as_json:
        return JsonWatcher(sys.stdout)
    if quiet:
        return Watcher()
    if sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return TerminalWatcher(sys.stderr, plain)
    return Lines(plain)


class JsonWatcher(Watcher):
    """Writes one JSON object per line: ``note``, ``trial`` (with the state of the search) and ``end``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str) -> None:
        """Write a note."""
        self.tell("note", text=text)

    def trial(self, record: TrialRecord, status: Callable[[], Status]) -> None:
        """Write a trial."""
        now = status()
        about = {"done": now.done, "samples": now.samples, "best": now.best, "hypervolume": now.hypervolume}
        line = record.as_dict()
        trial = {name: line[name] for name in _FIELDS if name in line}
        self.tell("trial", trial=trial.pop("number"), **trial, status=about)

    def tell(self, event: str, **facts: object) -> None:
        """Write one event."""
        self._stream.write(json_text({"event": event, **facts}) + "\n")
        self._stream.flush()


class TerminalWatcher(Watcher):
    """Shows one status line that changes in place, below the remarks.

    Args:
        stream: The terminal.
        plain: Writes a remark to it.
        columns: Returns its width.
        now: Returns a time in seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        plain: Callable[[str], None],
        columns: Callable[[], int] = lambda: shutil.get_terminal_size().columns,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._plain, self._columns, self._now = stream, plain, columns, now
        self._drawn = -_EVERY_S
        self._status: Callable[[], Status] | None = None
        self._shown = ""

    def line(self, text: str) -> None:
        """Write a remark above the status line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
        self._plain(text)
        self._draw()

    def trial(self, record: TrialRecord, status: Callable[[], Status]) -> None:
        """Update the status line, at most five times a second."""
        self._status = status
        if self._now() - self._drawn >= _EVERY_S:
            self._drawn = self._now()
            self._draw()

    def close(self) -> None:
        """Leave the last status line on the screen."""
        if self._status is not None:
            self._draw()
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()
        self._shown = ""

    def _draw(self) -> None:
        """Draw the status line; it is computed again only after a new trial."""
        if self._status is not None:
            self._shown, self._status = printable(status_line(self._status()))[: max(1, self._columns() - 1)], None
        if self._shown:
            self._stream.write("\r\x1b[K" + self._shown)
            self._stream.flush()


def status_line(status: Status) -> str:
    """Write the state of a search, the most important first: a narrow terminal cuts off the end."""
    rate = f", {status.per_minute:.3g}/min" if status.per_minute else ""
    left = f", {duration(status.left_s)} left" if status.left_s is not None else ""
    return f"{status.done}/{status.samples} {status.found_text}{rate}{left}"


def duration(seconds: float) -> str:
    """Write a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
