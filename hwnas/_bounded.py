"""Files of unknown origin: only regular ones are opened, and what they unpack to is bounded by their own size."""

from __future__ import annotations

import errno
import gzip
import os
import stat
from pathlib import Path
from typing import BinaryIO

PACKED = 100
"""Most bytes that a byte of a packed file may unpack to; images and tables reach some ten."""
SMALL = 64 * 2**20
"""Bytes that any file may unpack to, however small it is."""
_CHUNK = 2**20


class NotRegularError(OSError):
    """A path names something that is opened but never ends, waits or acts: a named pipe, a device, a folder."""


class UnpackedSizeError(ValueError):
    """A packed file would fill the memory."""


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; nothing else is opened, waited for or run.

    Raises:
        NotRegularError: it is a named pipe, a device, a socket or a folder.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, opening a named pipe waits for its writer; whether it is one can only be told reliably after.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a device can act on it
        raise NotRegularError(errno.EINVAL, "no regular file", str(path))
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotRegularError(errno.EINVAL, "no regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def most_unpacked(packed: int) -> int:
    """Bytes that a file of `packed` bytes may unpack to."""
    return max(SMALL, PACKED * packed)


def read_unpacked(path: str | Path) -> bytes:
    """The content of a regular file, unpacked where its name ends in ``.gz``.

    Raises:
        UnpackedSizeError: it unpacks to more than `most_unpacked` of its size.
        gzip.BadGzipFile, EOFError, zlib.error: the gzip file is damaged.
        OSError: it is no regular file or cannot be read.
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
