"""The folder of a run: whether a search can use it, and whether another one does."""

from __future__ import annotations

import os
from pathlib import Path

from hwnas._errors import RunError
from hwnas._runs._journal import JOURNAL
from latency_tables import JournalInUseError


def require_place(path: Path) -> set[str]:
    """Refuse a folder that no search could use, before anything is done.

    Returns:
        Names of the files and folders in it.

    Raises:
        RunError: Its name is not text, it is a file, or it cannot be read or written.
        JournalInUseError: Another search is using it.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise RunError(f"the name of --out is not UTF-8: {str(path)!a}; choose another --out") from None
    if "\0" in str(path):
        raise RunError(f"the name of --out contains a NUL character: {str(path)!a}; choose another --out")
    try:
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; choose a folder for --out")
        parent = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not parent.is_dir():
            raise RunError(f"cannot write into {path}: {parent} is a file; choose another --out")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise RunError(f"cannot write into {path}: no permission to write {parent}; choose another --out")
        names = {item.name for item in path.iterdir()} if path.exists() else set()
    except OSError as error:
        raise RunError(f"cannot write into {path}: {error.strerror}; choose another --out") from None
    if JOURNAL in names and is_locked(path / JOURNAL):
        raise JournalInUseError(
            f"{path} is in use by another hwnas search; wait until it has ended, or choose another --out"
        )
    return names


def is_locked(path: Path) -> bool:
    """Return whether another process holds a journal."""
    try:
        import fcntl

        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False
