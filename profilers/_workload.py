"""`Workload`: what a profile measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np

from latency_tables import Op, OpGraph


class Workload(Protocol):
    """Networks whose ops a table prices: a search space is one, a fixed list of graphs another."""

    @property
    def name(self) -> str:
        """One word of letters, digits and ``. _ -``, for the table and its file."""

    @property
    def settings(self) -> Mapping[str, object]:
        """JSON-able facts that distinguish it from other workloads of the same name."""

    def ops(self) -> list[Op]:
        """Return every distinct op of every network, as it is executed."""

    def draw(self, rng: np.random.Generator) -> Iterator[tuple[str, OpGraph]]:
        """Draw networks at random, each with a name that stands for the same network in every draw.

        Names may repeat. The iterator may end (a fixed list of networks) or never end (a space).
        """
