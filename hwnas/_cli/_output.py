"""What several commands share: lines for people."""

from __future__ import annotations

import time
from collections.abc import Callable

from hwnas._cli._streams import put, tell
from hwnas._common._text import json_text, printable


def progress_lines() -> Callable[[str], None]:
    """Writes lines with the seconds since now to standard error."""
    began = time.monotonic()

    def write(text: str) -> None:
        tell(f"[{time.monotonic() - began:7.1f} s] {printable(text)}\n")

    return write


def say(text: str) -> None:
    """A line of the result, on standard output; what its encoding does not know is escaped."""
    put(printable(text) + "\n")


def say_json(value: object) -> None:
    """A result as JSON, on standard output."""
    put(json_text(value, indent=1) + "\n")
