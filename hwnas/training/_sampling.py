"""Which subnets a supernet's step trains: uniform ones, or the best or the worst of several of one cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.spaces import Architecture, Space

SAMPLINGS = ("uniform", "bestup", "worstup")
NEAR = 0.05
"""Candidates cost as much as their target up to this share of it."""
_POOL, _ROUNDS = 256, 4

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CostFunction:
    """What networks cost.

    Attributes:
        name: Differs where the costs do: a supernet trained by one is not one trained by another.
        of: Codes ``(n, d)`` to positive costs ``(n,)`` in any unit.
    """

    name: str
    of: Callable[[IntArray], npt.NDArray[np.float64]]


def draw_near(space: Space, cost: CostFunction, count: int, rng: np.random.Generator) -> list[Architecture]:
    """Return up to `count` different networks of nearly one cost, the cost drawn from the space's own distribution.

    A uniform network sets the target (its cost is a draw from the distribution that uniform networks have) and is the
    first candidate; the others are uniform networks too, those rejected whose cost is not within `NEAR` of it: the
    rejection sampling of AttentiveNAS (Wang et al. 2021, arXiv 2011.09011, section 3.2) with measured latencies in the
    place of FLOPs. After `_ROUNDS` pools of `_POOL` draws the nearest have to do.

    Args:
        space: The space.
        cost: What its networks cost.
        count: Candidates wanted; fewer come where the draws hold no more different networks.
        rng: Source of the draws.
    """
    target = space.canonical_codes(space.encode(space.sample(1, rng)[0])[None])
    goal = float(cost.of(target)[0])
    rows, gaps = target, np.zeros(1)
    for _ in range(_ROUNDS):
        drawn = rng.integers(0, space.cardinalities, size=(_POOL, len(space.choices)))
        drawn = space.canonical_codes(drawn[space.valid_codes(drawn)])
        rows, first = np.unique(np.concatenate([rows, drawn]), axis=0, return_index=True)
        gaps = np.concatenate([gaps, np.abs(cost.of(drawn) - goal)])[first]
        order = np.argsort(first)  # in the order of the draws: the target comes first
        rows, gaps = rows[order], gaps[order]
        if np.count_nonzero(gaps <= NEAR * goal) >= count:
            return [space.decode(row) for row in rows[gaps <= NEAR * goal][:count]]
    nearest = np.sort(np.argsort(gaps, kind="stable")[:count])
    return [space.decode(row) for row in rows[nearest]]
