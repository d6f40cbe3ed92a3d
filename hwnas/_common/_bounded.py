"""Packed files of unknown origin: what they unpack to is bounded by their own size."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from latency_tables import open_regular

PACKED = 100
"""Most bytes that a byte of a packed file may unpack to; images and tables reach some ten."""
SMALL = 64 * 2**20
"""Bytes that any file may unpack to, however small it is."""
_CHUNK = 2**20


class UnpackedSizeError(ValueError):
    """A packed file would fill the memory."""


def most_unpacked(packed: int) -> int:
    """Return bytes that a file of `packed` bytes may unpack to."""
    return max(SMALL, PACKED * packed)


def read_unpacked(path: str | Path) -> bytes:
    """Return the content of a regular file, unpacked where its name ends in ``.gz``.

    Raises:
        UnpackedSizeError: It unpacks to more than `most_unpacked` of its size.
        gzip.BadGzipFile, EOFError, zlib.error: The gzip file is damaged.
        OSError: It is not a regular file or cannot be read.
    """
    with open_regular(path) as file:
        if Path(path).suffix.lower() != ".gz":
            return file.read()
        most = most_unpacked(os.fstat(file.fileno()).st_size)
        content = bytearray()
        with gzip.GzipFile(fileobj=file) as unpacked:
            while chunk := unpacked.read(_CHUNK):
                content += chunk
                if len(content) > most:
                    raise UnpackedSizeError(f"unpacks to more than {most:,} bytes, {PACKED} times its size")
    return bytes(content)
