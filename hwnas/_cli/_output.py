"""What several commands share: lines for people, options of measuring, tables written."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas._cli._streams import put, tell
from hwnas._common._text import json_text, printable
from hwnas._errors import HwnasError

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

    if output.endswith("/"):
        raise HwnasError(f"cannot write {output}: it names a folder; name a file")
    try:
        save_table(table, Path(output))
    except OSError as error:
        raise HwnasError(f"cannot write {output}: {error.strerror}; choose another place") from None


def write_file(output: str | None, name: str, content: bytes) -> Path:
    """Write a file.

    Args:
        output: where: a file, or a folder for a file called `name` in it, which is made where it ends in a slash.
            None for the current folder.
        name: of the file, where `output` does not say it.
        content: of the file.

    Returns:
        The file.

    Raises:
        HwnasError: it cannot be written.
    """
    from latency_tables import write_atomic

    target = Path(output or name)
    if output and (output.endswith("/") or target.is_dir()):
        target /= name
    try:
        if output and output.endswith("/"):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)
    except OSError as error:
        raise HwnasError(f"cannot write {target}: {error.strerror}; choose another -o") from None
    return target


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
