"""Entry point: parse, run, and turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

from hwnas._cli._parser import build_parser
from hwnas._cli._streams import PIPE_CLOSED, OutputError, flush, give_up_output, open_streams, tell
from hwnas._common._seeds import require_seed
from hwnas._common._text import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program's name; `sys.argv` by default.

    Returns:
        0 on success; 2 when the input was wrong (one line on standard error says what, and what to do); 130
        when interrupted; 141 when the output is no longer read.

    Raises:
        SystemExit: With code 1, when the answer is no: no network meets the budgets, or a table does not hold. With
            code 3, when other work on the machine hides whether a table holds.
    """
    open_streams()
    try:
        try:
            return _run(arguments)
        finally:
            flush()
    except OutputError as error:
        if not error.nobody_reads:
            say(f"hwnas: error: {error}")
        return PIPE_CLOSED if error.nobody_reads else 2
    finally:
        give_up_output()


def _run(arguments: Sequence[str] | None) -> int:
    options, interrupt = build_parser().parse_args(arguments), _Interrupt()
    try:
        require_seed(getattr(options, "seed", 0))
        _command(options.command)(options)
    except OutputError:
        raise
    except BrokenPipeError as error:
        raise OutputError(error) from None
    except KeyboardInterrupt as stop:
        return _interrupted(str(stop))
    except Exception as error:
        if isinstance(error, ImportError) and interrupt.came:  # compiled packages say no more of one while they load
            return _interrupted("")
        message = _for_people(error)
        if message is None or options.debug:
            for line in traceback.format_exc().splitlines():
                say(line)
        if message is None:
            say(f"hwnas: this is a bug in hwnas; please report it with the lines above: {error!r}")
            return 1
        say(f"hwnas: error: {message}")
        return 2
    return 0


class _Interrupt:
    """Remembers that Ctrl-C came; it is handled as always."""

    def __init__(self) -> None:
        self.came = False
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)


def _interrupted(why: str) -> int:
    say(why or "interrupted; run the same command again to continue")
    return 130


def say(text: str) -> None:
    """Write a line to standard error."""
    tell(printable(text) + "\n")


def _command(name: str) -> Callable[[argparse.Namespace], None]:
    from hwnas._cli import _commands

    run: Callable[[argparse.Namespace], None] = getattr(_commands, f"run_{name}")
    return run


def _for_people(error: Exception) -> str | None:
    """Return the line to print for an error that the user can fix; None for a bug."""
    from hwnas._api._errors import Errors
    from hwnas._errors import OUT_OF_MEMORY, is_out_of_memory

    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, Errors):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        return f"cannot read or write{place}: {error.strerror}"
    return None
