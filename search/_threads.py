"""One thread for linear algebra and for torch, so that results do not depend on the number of cores."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

__all__ = ["seeded_torch", "single_threaded"]


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


@contextmanager
def seeded_torch() -> Iterator[None]:
    """Use one torch thread and a fixed torch seed, so that results repeat, and show no warnings about scaling."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                yield
        finally:
            torch.set_num_threads(threads)
