"""Memory of a training on a CPU: what one step frees, the next one gets again."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` (glibc's ``malloc.h``)."""
_NEVER, _USUAL = (2**31 - 1, 2**30), (2**26, 2**25)
"""Bytes of both while a training runs, and after it: what glibc itself arrives at in a process with large tensors."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the process keep the memory that tensors free, and give it back to the system at the end.

    By default glibc returns freed tensors of some megabytes to the system. Every step then gets its activations as new
    pages, and the system clears each of them first: up to a tenth of the time of a training step. Other C libraries are
    left alone. No result depends on it.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    _set(library, *_NEVER)
    try:
        yield
    finally:
        _set(library, *_USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, trim: int, mmap: int) -> None:
    library.mallopt(_TRIM_THRESHOLD, trim)
    library.mallopt(_MMAP_THRESHOLD, mmap)
