"""One thread for linear algebra, so that results do not depend on the number of cores."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["single_threaded"]


_limiter: tuple[int, Any] | None = None
"""Number of modules that were loaded when the libraries of linear algebra were searched, and their limiter."""


def single_threaded() -> AbstractContextManager[object]:
    """Limit linear algebra to one thread.

    The order of its sums, and so a resumed study, must not depend on the number of cores. Searching for the libraries
    takes longer than a random batch, so they are searched again only when modules were loaded since.
    """
    global _limiter
    if _limiter is None or _limiter[0] != len(sys.modules):
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        _limiter = len(sys.modules), ThreadpoolController()
    limits: AbstractContextManager[object] = _limiter[1].limit(limits=1)
    return limits
