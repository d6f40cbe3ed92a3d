"""What several commands share: lines for people, options of measuring, tables written."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas._errors import HwnasError
from hwnas._text import json_text, printable

if TYPE_CHECKING:
    from latency_tables import LatencyTable


def measuring(options: argparse.Namespace) -> dict[str, Any]:
    """Options that a backend takes."""
    names = ("threads", "batch", "precision", "provider", "protocol", "channels_last")
    return {name: getattr(options, name) for name in names}


def save(table: LatencyTable, output: str) -> None:
    """Write a table.

    Raises:
        HwnasError: it cannot be written.
    """
    from latency_tables import save_table

    try:
        save_table(table, Path(output))
    except OSError as error:
        raise HwnasError(f"cannot write {output}: {error.strerror}; choose another place") from None


def progress_lines() -> Callable[[str], None]:
    """Writes lines with the seconds since now to standard error."""
    began = time.monotonic()

    def write(text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - began:7.1f} s] {printable(text)}\n")
        sys.stderr.flush()

    return write


def say(text: str) -> None:
    """A line of the result, on standard output; what its encoding does not know is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(printable(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")


def say_json(value: object) -> None:
    """A result as JSON, on standard output."""
    sys.stdout.write(json_text(value, indent=1) + "\n")
