"""Files of the user's that a run keeps a copy of, so that it goes on when they are gone."""

from __future__ import annotations

from pathlib import Path

from hwnas._errors import RunError
from hwnas._runs._entries import file_of_run
from hwnas._runs._run import Run
from latency_tables import NotAFileError, read_regular, write_atomic

COPIES = {"weights": "weights.bin"}
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


def keep_file(run: Run, option: str, source: Path) -> None:
    """Copy the file of an option into the run, unless the copy is there.

    Raises:
        RunError: It cannot be read or written.
    """
    copy = run.path / COPIES[option]
    if copy.exists():
        return
    try:
        write_atomic(copy, read_regular(source))
    except (OSError, NotAFileError) as error:
        raise RunError(f"cannot copy {source} to {copy}: {error.strerror}; the trials so far are safe") from None
