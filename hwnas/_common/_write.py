"""Files that hwnas writes where it is told to."""

from __future__ import annotations

from pathlib import Path

from hwnas._errors import HwnasError
from latency_tables import write_atomic


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a whole file, as `latency_tables.write_atomic` does.

    Raises:
        HwnasError: The place cannot be written.
    """
    try:
        write_atomic(Path(path), content)
    except OSError as error:
        raise HwnasError(f"cannot write {path}: {error.strerror}; choose another place") from None
