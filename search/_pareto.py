"""Pareto dominance and hypervolume. Every objective is maximised here; negate those to minimise."""

from __future__ import annotations

import numpy as np

from search._arrays import BoolArray, FloatArray

__all__ = ["added_volumes", "dominance_numbers", "hypervolume", "nondominated"]

_CHUNK_CELLS = 4_000_000
_BLOCK = 128


def dominance_numbers(points: FloatArray) -> FloatArray:
    """Count the points that dominate each point: o(x) of LaMOO (arXiv 2110.03173, section 3.1).

    A point dominates another when it is no worse in every objective and better in at least one, so
    equal points do not dominate each other.

    Args:
        points: Finite objective values ``(n, m)``, maximised.

    Returns:
        Counts ``(n,)`` as floats; 0 for exactly the non-dominated points.
    """
    n, m = points.shape
    counts = np.zeros(n)
    step = max(1, _CHUNK_CELLS // max(1, n))
    for start in range(0, n, step):
        block = points[start : start + step]
        # Point i dominates point j of the block when no_worse[i, j] in all objectives and better[i, j] in one.
        no_worse = np.ones((n, len(block)), dtype=bool)
        better = np.zeros((n, len(block)), dtype=bool)
        for k in range(m):
            column = points[:, k][:, None]
            no_worse &= column >= block[:, k]
            better |= column > block[:, k]
        counts[start : start + step] = (no_worse & better).sum(axis=0)
    return counts


def nondominated(points: FloatArray) -> BoolArray:
    """Find the points that no other point dominates; equal points are all kept.

    In descending lexicographic order a point comes after all that dominate it, and dominance is transitive. So it is
    enough to compare each point with the front of those before it: this is exact and needs no n x n comparison.

    Args:
        points: Finite objective values ``(n, m)``, maximised.

    Returns:
        Which points ``(n,)`` are non-dominated.
    """
    order = np.lexsort(-points.T[::-1])
    ranked = points[order]
    keep = _kept_2d(ranked) if points.shape[1] == 2 else _kept(ranked)
    result: BoolArray = np.empty(len(points), dtype=bool)
    result[order] = keep
    return result


def _kept_2d(ranked: FloatArray) -> BoolArray:
    """Keep, for two objectives, the points that are highest among their equals in the first and above all before."""
    first, second = ranked.T
    if not len(first):
        return np.empty(0, dtype=bool)
    # Groups of points with the same first objective: start of each group, and group of each point.
    starts = np.flatnonzero(np.diff(first, prepend=np.inf))
    group = np.cumsum(np.bincount(starts, minlength=len(first))) - 1
    # Largest second objective among all points with a larger first objective, -inf for the first group.
    highest = np.maximum.accumulate(second)
    before = np.concatenate([[-np.inf], highest[starts[1:] - 1]])
    # In a group the second objective descends, so its first point is the highest.
    kept: BoolArray = (second == second[starts][group]) & (second > before[group])
    return kept


def _kept(ranked: FloatArray) -> BoolArray:
    """Compare, for any number of objectives, with the front so far, a block at a time."""
    keep = np.ones(len(ranked), dtype=bool)
    front = ranked[:0]
    for start in range(0, len(ranked), _BLOCK):
        block = ranked[start : start + _BLOCK]
        rivals = np.concatenate([front, block])
        no_worse = (rivals[:, None] >= block).all(axis=2)
        better = (rivals[:, None] > block).any(axis=2)
        # Points of the block are rivals of each other too; a dominated rival changes nothing (transitivity).
        here = ~(no_worse & better).any(axis=0)
        keep[start : start + _BLOCK] = here
        front = np.concatenate([front, block[here]])
    return keep


def hypervolume(points: FloatArray, reference: FloatArray) -> float:
    """Compute the volume that the points dominate above the reference point, all objectives maximised.

    Points that are not better than the reference in every objective add nothing. One and two objectives have closed
    forms; more are computed exactly by moocore.

    Args:
        points: Objective values ``(n, m)``; n may be 0.
        reference: The reference point ``(m,)``.

    Returns:
        The dominated volume, 0.0 for no points.
    """
    above = points[(points > reference).all(axis=1)]
    if len(above) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(above.max() - reference[0])
    if points.shape[1] == 2:
        return _hypervolume_2d(above, reference)
    import moocore

    return float(moocore.hypervolume(above, ref=reference, maximise=True))


def added_volumes(points: FloatArray, candidates: FloatArray, reference: FloatArray) -> FloatArray:
    """Compute how much each candidate alone would add to the hypervolume of the points, ``(p,)``.

    Args:
        points: Objective values ``(n, m)``, maximised; n may be 0.
        candidates: Those of the candidates ``(p, m)``.
        reference: The reference point ``(m,)``.
    """
    level = hypervolume(points, reference)
    return np.array([hypervolume(np.vstack([points, row]), reference) - level for row in candidates])


def _hypervolume_2d(above: FloatArray, reference: FloatArray) -> float:
    """Sweep over the first objective: exact, and faster than a call into a library for small sets."""
    # From the largest first objective down, points raise the height h_i = max(y_1, ..., y_i).
    rows = above[np.lexsort((-above[:, 1], -above[:, 0]))]
    height = np.maximum.accumulate(rows[:, 1])
    # Point i adds the rectangle of width x_i - r_x and height h_i - h_(i-1), with h_0 = r_y.
    gain = np.diff(height, prepend=reference[1])
    return float(np.sum(gain * (rows[:, 0] - reference[0])))
