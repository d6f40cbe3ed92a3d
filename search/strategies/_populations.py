"""The two populations of SMEM-NAS, and children of their members."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search._arrays import FloatArray, IntArray
from search._domain import Domain
from search._pareto import nondominated

__all__ = ["Populations", "children", "crowding_distances", "split_populations"]

_CROSSOVER = 0.9


@dataclass(frozen=True)
class Populations:
    """Places of the members of both populations among the rows that were split.

    Attributes:
        main: The first front ``(e,)``, e >= 1: it guides the search.
        vice: Rows of the rest ``(f,)`` that lie far from others: they keep the search diverse.
    """

    main: IntArray
    vice: IntArray

    @property
    def everyone(self) -> IntArray:
        """The members of both ``(e + f,)``."""
        return np.concatenate([self.main, self.vice])

    def pairs(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw parents ``(n, 2)``: one of the main population, and one of either population with equal chances."""
        first = rng.choice(self.main, size=n)
        second = rng.choice(self.main, size=n)
        if len(self.vice):
            second = np.where(rng.random(n) < 0.5, rng.choice(self.vice, size=n), second)
        return np.stack([first, second], axis=1)


def split_populations(points: FloatArray, size: int, vice: bool) -> Populations:
    """Split rows into a main and a vice population (SMEM-NAS, arXiv 2407.15600).

    Args:
        points: Predicted objectives ``(n, m)``, maximised, n >= 1.
        size: Most members of each population; those of higher crowding distance are kept.
        vice: Whether there is a vice population.
    """
    front = nondominated(points)
    main, rest = np.flatnonzero(front), np.flatnonzero(~front)
    if len(main) > size:
        main = main[np.sort(_most_distant(points[main], size))]
    rest = rest[np.sort(_most_distant(points[rest], size))] if vice else rest[:0]
    return Populations(main, rest)


def _most_distant(points: FloatArray, n: int) -> IntArray:
    """Find the rows of points ``(k, m)`` with the highest crowding distances, indices of at most `n`."""
    return np.argsort(-crowding_distances(points), kind="stable")[:n]


def crowding_distances(points: FloatArray) -> FloatArray:
    """Compute crowding distances ``(n,)`` of points ``(n, m)`` (Deb et al. 2002, doi 10.1109/4235.996017, III-B).

    The distance of a point is the sum, over the objectives, of the range between its two neighbours, in units of the
    whole range; it is infinite for the extremes.
    """
    distances = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        ranked = column[order]
        if len(order) < 3 or ranked[-1] == ranked[0]:
            continue
        distances[order[1:-1]] += (ranked[2:] - ranked[:-2]) / (ranked[-1] - ranked[0])
        distances[order[[0, -1]]] = np.inf
    return distances


def children(domain: Domain, parents: IntArray, rng: np.random.Generator) -> IntArray:
    """Make a child of each pair: uniform crossover with probability .9, then each choice is redrawn with 1/d.

    Args:
        domain: The domain.
        parents: Codes ``(n, 2, d)``.
        rng: Random generator of the batch.

    Returns:
        Codes ``(n, d)``, not canonicalised.
    """
    n, _, d = parents.shape
    crossed = (rng.random((n, d)) < 0.5) & (rng.random((n, 1)) < _CROSSOVER)
    rows = np.where(crossed, parents[:, 1], parents[:, 0])
    redrawn = rng.random((n, d)) < 1.0 / d
    result: IntArray = np.where(redrawn, domain.random(n, rng), rows)
    return result
