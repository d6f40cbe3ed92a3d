"""Expected hypervolume improvement in closed form: one objective learned, the others computed.

The sum over cells is that of Emmerich, Deutz and Klinkenberg (2011, doi 10.1109/CEC.2011.5949880), with
exact values in all objectives but one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from search._arrays import FloatArray
from search.models import LogTarget

__all__ = ["MOST_COMPUTED", "ImprovementGrid", "expected_improvement", "improvement_grid"]

_AXIS_LIMIT = {1: 100_000, 2: 64, 3: 14}
_AXIS_LIMIT_MANY = 8
_CHUNK = 2048
MOST_COMPUTED = 4
"""Most computed objectives for which the sum over cells is affordable: it grows nine-fold with each one."""


@dataclass(frozen=True)
class ImprovementGrid:
    """The archive as a step function over the computed objectives.

    The space of the computed objectives (all but the learned one) is cut into cells at the archive's own
    coordinates; in each cell the archive reaches one level of the learned objective.

    Attributes:
        edges: For each computed objective the lower ends of its intervals, ascending, the reference first;
            the last interval is open.
        levels: Distinct levels of the learned objective, ascending, the reference first ``(k,)``.
        cells: Index into `levels` for each cell, one axis for each computed objective.
    """

    edges: tuple[FloatArray, ...]
    levels: FloatArray
    cells: np.ndarray


def improvement_grid(points: FloatArray, reference: FloatArray, learned: int) -> ImprovementGrid:
    """Cut the archive into cells.

    Axes with more distinct coordinates than can be afforded (64 for two computed objectives, 14 for three,
    8 for more) are thinned, which overrates improvements a little; otherwise the grid is exact.

    Args:
        points: Normalised archive ``(n, m)``, maximised.
        reference: Reference point ``(m,)``.
        learned: Index of the learned objective.
    """
    # Points that do not exceed the reference in every objective dominate no volume.
    above = points[(points > reference).all(axis=1)]
    others = [k for k in range(len(reference)) if k != learned]
    limit = _AXIS_LIMIT.get(len(others), _AXIS_LIMIT_MANY)
    edges = tuple(_axis(above[:, k], float(reference[k]), limit) for k in others)
    # h(c): level of the learned objective that the archive reaches in cell c, at first for each point's own cell.
    height = np.full(tuple(len(e) for e in edges), float(reference[learned]))
    if len(above) and not others:
        height[()] = above[:, learned].max()
    elif len(above):
        # A point covers an interval when it reaches its upper end, so it covers all below its own edge.
        last = [np.searchsorted(e, above[:, k], side="right") - 2 for e, k in zip(edges, others, strict=True)]
        covers = np.ones(len(above), dtype=bool)
        for index in last:
            covers &= index >= 0
        where = tuple(index[covers] for index in last)
        np.maximum.at(height, where, above[covers, learned])
    # A point that covers a cell covers all cells below it on every axis: a running maximum from the top down.
    for axis in range(height.ndim):
        height = np.flip(np.maximum.accumulate(np.flip(height, axis), axis=axis), axis)
    # Few levels are distinct; the reference is added so that it is always the first, and its own index dropped.
    levels, cells = np.unique(np.append(height.ravel(), reference[learned]), return_inverse=True)
    return ImprovementGrid(edges, levels, cells[:-1].reshape(height.shape))


def _axis(values: FloatArray, reference: float, limit: int) -> FloatArray:
    """List interval ends: the reference and the distinct coordinates, thinned to `limit`."""
    distinct = np.unique(values)
    if len(distinct) > limit:
        distinct = distinct[np.round(np.linspace(0, len(distinct) - 1, limit)).astype(np.int64)]
    return np.append(reference, distinct)


def expected_improvement(
    grid: ImprovementGrid, known_values: FloatArray, mean: FloatArray, std: FloatArray, target: LogTarget
) -> FloatArray:
    """Compute the expected hypervolume improvement of each candidate alone.

    EHVI(x) = sum over cells c of V_c(x) E[(y - h_c)+], where V_c(x) is the volume of the cell below the candidate's
    computed objectives, h_c the archive's level in it and y the learned objective. It is exact for normal marginals of
    the target.

    Args:
        grid: The archive.
        known_values: Normalised computed objectives ``(p, m - 1)``, in the order of the grid's axes.
        mean: Posterior means ``(p,)`` of the target.
        std: Posterior standard deviations ``(p,)``.
        target: Maps the target to the normalised learned objective.

    Returns:
        Expected improvements ``(p,)``.
    """
    result = np.zeros(len(mean))
    for start in range(0, len(mean), _CHUNK):
        part = slice(start, start + _CHUNK)
        # E[(y - l)+] for every distinct level l, (p, k): cells share levels, so each is integrated once.
        excess = target.expected_excess(mean[part], std[part], grid.levels)
        result[part] = _integrate(grid, known_values[part], excess)
    return result


def _integrate(grid: ImprovementGrid, known_values: FloatArray, excess: FloatArray) -> FloatArray:
    """Sum over the cells of volume times expected excess: ``(p,)`` from ``(p, m - 1)`` and ``(p, k)``."""
    if not grid.edges:
        # No computed objective: a single cell of volume 1.
        single: FloatArray = excess[:, int(grid.cells)]
        return single
    # A cell's volume below the candidate is the product of its interval lengths below it, one for each axis.
    lengths = [_overlap(edge, known_values[:, k]) for k, edge in enumerate(grid.edges)]
    total = np.zeros(len(known_values))
    # Loop over all axes but the last; the last one is summed as a vector.
    for outer in product(*(range(len(edge)) for edge in grid.edges[:-1])):
        width = np.ones(len(known_values))
        for axis, index in enumerate(outer):
            width = width * lengths[axis][:, index]
        if width.any():
            # width_p * sum_j E[(y_p - h_j)+] length_pj over the intervals j of the last axis.
            total += width * np.einsum("pk,pk->p", excess[:, grid.cells[outer]], lengths[-1])
    return total


def _overlap(edge: FloatArray, value: FloatArray) -> FloatArray:
    """Measure the length of each interval below each candidate's value: ``(p, k)`` from ``(k,)`` and ``(p,)``."""
    # max(0, min(value, upper end) - lower end).
    upper = np.append(edge[1:], np.inf)
    length: FloatArray = np.maximum(np.minimum(value[:, None], upper) - edge, 0.0)
    return length
