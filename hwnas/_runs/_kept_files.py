"""Files of the user's that a run keeps a copy of, so that it goes on when they are gone."""

from __future__ import annotations

from pathlib import Path

from hwnas._errors import RunError
from hwnas._runs._entries import file_of_run
from hwnas._runs._run import Run
from latency_tables import read_regular, write_atomic

COPIES = {"weights": "weights.bin", "model": "model.onnx"}
"""Name of the copy in the run, by the option that names the file."""


def given_file(out: Path, option: str, name: str) -> Path:
    """Return the file that an option names; where there is none any more, the copy that the run in `out` keeps.

    Raises:
        RunError: There is neither.
    """
    given, copy = Path(name), COPIES[option]
    if given.is_file():
        return given
    if (out / copy).is_file():
        return file_of_run(out, copy)
    raise RunError(f"--{option} {name}: no such file, and {out} keeps no copy of it; name the file")


def is_kept(out: Path, option: str) -> bool:
    """Return whether the run in `out` keeps a copy of the file of an option: its search has begun."""
    return (out / COPIES[option]).is_file()


def keep_file(run: Run, option: str, source: Path | bytes) -> None:
    """Copy the file of an option into the run, unless it has the same copy.

    Args:
        run: The run.
        option: The option.
        source: The file, or its content.

    Raises:
        RunError: It cannot be read or written.
    """
    copy = run.path / COPIES[option]
    try:
        content = source if isinstance(source, bytes) else read_regular(source)
        if not copy.exists() or read_regular(copy) != content:
            write_atomic(copy, content)
    except OSError as error:
        raise RunError(f"cannot keep a copy in {copy}: {error.strerror}; the trials so far are safe") from None
