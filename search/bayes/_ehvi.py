"""Expected hypervolume improvement in closed form: one objective learned, the others known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from search._arrays import FloatArray
from search.models import LogTarget

__all__ = ["ImprovementGrid", "expected_improvement", "improvement_grid"]

_AXIS_LIMIT = {1: 100_000, 2: 64, 3: 14}
_AXIS_LIMIT_MANY = 8
_CHUNK = 2048


@dataclass(frozen=True)
class ImprovementGrid:
    """The archive as a step function over the known objectives.

    The space of the known objectives (all but the learned one) is cut into cells at the archive's own
    coordinates; in each cell the archive reaches one level of the learned objective.

    Attributes:
        edges: For each known objective the lower ends of its intervals, ascending, the reference first;
            the last interval is open.
        levels: Distinct levels of the learned objective, ascending, the reference first (k,).
        cells: Index into `levels` for each cell, one axis for each known objective.
    """

    edges: tuple[FloatArray, ...]
    levels: FloatArray
    cells: np.ndarray


def improvement_grid(points: FloatArray, reference: FloatArray, learned: int) -> ImprovementGrid:
    """Cuts the archive into cells.

    Axes with more distinct coordinates than can be afforded (64 for two known objectives, 14 for three,
    8 for more) are thinned, which overrates improvements a little; otherwise the grid is exact.

    Args:
        points: Normalised archive (n, m), maximised.
        reference: Reference point (m,).
        learned: Index of the learned objective.
    """
    above = points[(points > reference).all(axis=1)]
    others = [k for k in range(len(reference)) if k != learned]
    limit = _AXIS_LIMIT.get(len(others), _AXIS_LIMIT_MANY)
    edges = tuple(_axis(above[:, k], float(reference[k]), limit) for k in others)
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
    for axis in range(height.ndim):
        height = np.flip(np.maximum.accumulate(np.flip(height, axis), axis=axis), axis)
    levels, cells = np.unique(np.append(height.ravel(), reference[learned]), return_inverse=True)
    return ImprovementGrid(edges, levels, cells[:-1].reshape(height.shape))


def _axis(values: FloatArray, reference: float, limit: int) -> FloatArray:
    """Interval ends: the reference and the distinct coordinates, thinned to `limit`."""
    distinct = np.unique(values)
    if len(distinct) > limit:
        distinct = distinct[np.round(np.linspace(0, len(distinct) - 1, limit)).astype(np.int64)]
    return np.append(reference, distinct)


def expected_improvement(
    grid: ImprovementGrid, known_values: FloatArray, mean: FloatArray, std: FloatArray, target: LogTarget
) -> FloatArray:
    """Expected hypervolume improvement (p,) of each candidate alone.

    Sum over the cells of (the cell's volume below the candidate's known objectives) times
    E[(y - level of the cell)+], exact for normal marginals of the target.

    Args:
        grid: The archive.
        known_values: Normalised known objectives (p, m - 1), in the order of the grid's axes.
        mean: Posterior means (p,) of the target.
        std: Posterior standard deviations (p,).
        target: How the target maps to the normalised learned objective.
    """
    result = np.zeros(len(mean))
    for start in range(0, len(mean), _CHUNK):
        part = slice(start, start + _CHUNK)
        excess = target.expected_excess(mean[part], std[part], grid.levels)
        result[part] = _integrate(grid, known_values[part], excess)
    return result


def _integrate(grid: ImprovementGrid, known_values: FloatArray, excess: FloatArray) -> FloatArray:
    if not grid.edges:
        first: FloatArray = excess[:, int(grid.cells)]
        return first
    lengths = [_overlap(edge, known_values[:, k]) for k, edge in enumerate(grid.edges)]
    total = np.zeros(len(known_values))
    for outer in product(*(range(len(edge)) for edge in grid.edges[:-1])):
        width = np.ones(len(known_values))
        for axis, index in enumerate(outer):
            width = width * lengths[axis][:, index]
        if width.any():
            total += width * np.einsum("pk,pk->p", excess[:, grid.cells[outer]], lengths[-1])
    return total


def _overlap(edge: FloatArray, value: FloatArray) -> FloatArray:
    """Length of each interval (k) below each candidate's value (p,): (p, k)."""
    upper = np.append(edge[1:], np.inf)
    length: FloatArray = np.maximum(np.minimum(value[:, None], upper) - edge, 0.0)
    return length
