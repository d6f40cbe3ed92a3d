"""Standard streams that are closed, full or read by nobody: no traceback, and no work is lost for them."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

PIPE_CLOSED = 141
"""The exit code of a command whose output nobody reads any more: 128 and the number of SIGPIPE, as of other tools."""


class OutputError(Exception):
    """Standard output cannot be written.

    Attributes:
        nobody_reads: whether its reader has gone, as that of ``| head`` does.
    """

    def __init__(self, error: OSError) -> None:
        self.nobody_reads = isinstance(error, BrokenPipeError)
        super().__init__(f"cannot write the output: {error.strerror}; send it to another place")


def open_streams() -> None:
    """Give streams that are closed a place where what is written is lost.

    Otherwise the next file that is opened gets the number of the stream: a library that prints would write into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115


def put(text: str) -> None:
    """Write to standard output; what its encoding does not know is escaped.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        sys.stdout.write(_escaped(text, sys.stdout))
    except OSError as error:
        raise OutputError(error) from None


def _escaped(text: str, stream: TextIO) -> str:
    """A text without what the encoding of a stream does not know."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def flush() -> None:
    """Bring standard output to its end.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(error) from None


def tell(text: str) -> None:
    """Write to standard error; where that cannot be written, what was to be said is lost and the work goes on."""
    with contextlib.suppress(OSError):
        sys.stderr.write(_escaped(text, sys.stderr))
        sys.stderr.flush()


def give_up_output() -> None:
    """Throw away what standard output could not take, so that the interpreter does not try again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            with contextlib.suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
