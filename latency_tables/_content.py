"""What hwnas keeps as JSON: read strictly, and with a hash of its content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

MOST_BYTES = 2**30
"""Larger files are none of ours."""


def content_hash(content: object) -> str:
    """A hash of JSON-able content, whatever its layout and the order of its keys.

    It finds what accident and carelessness change: a bad disk, an editor, a merge. It is no signature; whoever means
    to deceive can work it out anew.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def strict_json(text: str | bytes) -> Any:
    """Content of JSON text without constants that are no numbers, and without keys that stand twice.

    Raises:
        ValueError: it is no such text.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """Content of a regular file: a pipe would wait for ever, and a device has no end.

    Args:
        path: the file; a link to one is followed.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        data = file.read(found.st_size + 1) if found.st_size <= most else b""  # room for that much is taken at once
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most // 2**20} MiB", str(path))
        return data
