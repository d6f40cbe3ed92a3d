"""Entry point: parse, run, and turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from hwnas._cli._parser import build_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; `sys.argv` by default.

    Returns:
        0 on success; 2 when the input was wrong (one line on standard error says what and what to do); 130
        when interrupted.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us: what is written there goes nowhere
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for good
    options = build_parser().parse_args(arguments)
    try:
        run = _command(options.command)
        run(options)
    except KeyboardInterrupt as stop:
        say(str(stop) or "interrupted; run the same command again to go on")
        return 130
    except Exception as error:
        message = _for_people(error)
        if message is None or options.debug:
            traceback.print_exc()
        if message is None:
            say(f"hwnas: this is a bug in hwnas, please report it with the lines above: {error!r}")
            return 1
        say(f"hwnas: error: {message}")
        return 2
    return 0


def say(text: str) -> None:
    """A line for people, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _command(name: str) -> Callable[[argparse.Namespace], None]:
    from hwnas._cli import _commands, _profiling

    home = _profiling if hasattr(_profiling, f"run_{name}") else _commands
    found: Callable[[argparse.Namespace], None] = getattr(home, f"run_{name}")
    return found


def _for_people(error: Exception) -> str | None:
    """The line to print for an error that the user can mend; None for a bug."""
    from hwnas._errors import HwnasError
    from latency_tables import LatencyTableError
    from profilers import ProfilerError
    from search import SearchError

    if isinstance(error, (HwnasError, LatencyTableError, ProfilerError, SearchError)):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        return f"cannot read or write{place}: {error.strerror}"
    return None
