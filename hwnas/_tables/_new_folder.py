"""A folder that a command fills: whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hwnas._errors import HwnasError


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Fill a folder that is absent or empty; what was written is removed where that is not finished.

    So the same command can be run again after an interruption.

    Args:
        folder: Made by who fills it.

    Raises:
        HwnasError: It is in use, or cannot be written.
    """
    try:
        there = folder.exists()
        if there and (not folder.is_dir() or any(folder.iterdir())):
            raise HwnasError(f"{folder} is not an empty folder; choose another -o")
        try:
            yield
        except BaseException:
            with suppress(OSError):
                _empty(folder)
                if not there:
                    folder.rmdir()
            raise
    except OSError as error:
        raise HwnasError(f"cannot write into {folder}: {error.strerror}; choose another place") from None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
