"""Standard streams that are closed, full or no longer read: no traceback, and no work is lost."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

PIPE_CLOSED = 141
"""Exit code of a command whose output is no longer read: 128 plus the number of SIGPIPE, as in other tools."""


class OutputError(Exception):
    """Standard output cannot be written.

    Attributes:
        nobody_reads: Whether its reader has ended, as ``| head`` does.
    """

    def __init__(self, error: OSError) -> None:
        self.nobody_reads = isinstance(error, BrokenPipeError)
        super().__init__(f"cannot write the output: {error.strerror}; redirect it to another place")


def open_streams() -> None:
    """Connect closed streams to the null device.

    Otherwise the next file that is opened gets the number of the stream, and a library that prints writes into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115


def put(text: str) -> None:
    """Write to standard output; characters that its encoding lacks are escaped.

    Raises:
        OutputError: Standard output cannot be written.
    """
    try:
        sys.stdout.write(_escaped(text, sys.stdout))
    except OSError as error:
        raise OutputError(error) from None


def _escaped(text: str, stream: TextIO) -> str:
    """Escape the characters of a text that the encoding of a stream lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def flush() -> None:
    """Flush standard output.

    Raises:
        OutputError: Standard output cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(error) from None


def tell(text: str) -> None:
    """Write to standard error; if that fails, the text is lost and the work continues."""
    with contextlib.suppress(OSError):
        sys.stderr.write(_escaped(text, sys.stderr))
        sys.stderr.flush()


def give_up_output() -> None:
    """Discard what could not be written, so that the interpreter does not try again when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            with contextlib.suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
