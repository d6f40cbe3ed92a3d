"""What several commands share: lines for people."""

from __future__ import annotations

import time
from collections.abc import Callable

from hwnas._cli._streams import put, tell
from hwnas._common._text import json_text, printable


def progress_lines() -> Callable[[str], None]:
    """Make a function that writes lines to standard error, each with the seconds since now."""
    began = time.monotonic()

    def write(text: str) -> None:
        """Write a line."""
        tell(f"[{time.monotonic() - began:7.1f} s] {printable(text)}\n")

    return write


def say(text: str) -> None:
    """Write a line of the result to standard output."""
    put(printable(text) + "\n")


def warn(text: str) -> None:
    """Write a line to standard error, without the time."""
    tell(printable(text) + "\n")


def say_json(value: object) -> None:
    """Write a result as JSON to standard output."""
    put(json_text(value, indent=1) + "\n")
