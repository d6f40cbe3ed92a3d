"""How often to do what costs time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Says when something is due again: not too often, and for a small share of the time whatever it costs.

    Args:
        least_s: Seconds from the end of one time to the next, at least.
        share: Largest share of the time that it may take.
        now: Returns a time in seconds.
    """

    def __init__(self, least_s: float, share: float, now: Callable[[], float] = time.monotonic) -> None:
        self._least_s, self._share, self._now = least_s, share, now
        self._next_s = now() + least_s

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return self._now() >= self._next_s

    @contextmanager
    def spend(self) -> Iterator[None]:
        """Time what is done inside; the next time is set by how long it took."""
        began = self._now()
        try:
            yield
        finally:
            ended = self._now()
            self._next_s = ended + max(self._least_s, (ended - began) / self._share)
