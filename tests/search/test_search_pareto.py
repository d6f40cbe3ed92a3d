from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from search import dominance_numbers, hypervolume, nondominated

GRID = 5


def grid_points(m: int):
    shape = st.tuples(st.integers(1, 12), st.just(m))
    return shape.flatmap(lambda s: arrays(np.float64, s, elements=st.integers(0, GRID).map(float)))


POINTS = st.integers(1, 4).flatmap(grid_points)


@given(POINTS)
def test_dominance_numbers_match_the_definition(points):
    expected = []
    for y in points:
        expected.append(sum(bool((z >= y).all() and (z > y).any()) for z in points))
    assert dominance_numbers(points).tolist() == expected


@given(POINTS)
def test_nondominated_points_are_those_that_nobody_dominates(points):
    keep = nondominated(points)
    assert keep.any()
    for y, kept in zip(points, keep, strict=True):
        assert kept == (not any((z >= y).all() and (z > y).any() for z in points))


@given(POINTS)
def test_hypervolume_counts_the_unit_cells_below_the_points(points):
    m = points.shape[1]
    corners = np.indices((GRID,) * m).reshape(m, -1).T + 1.0
    covered = (points[:, None, :] >= corners[None]).all(axis=2).any(axis=0).sum()
    assert hypervolume(points, np.zeros(m)) == pytest.approx(covered)


@given(POINTS, st.integers(-2, 3))
def test_hypervolume_moves_with_the_reference(points, shift):
    m = points.shape[1]
    assert hypervolume(points + shift, np.full(m, float(shift))) == pytest.approx(hypervolume(points, np.zeros(m)))


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_agrees_with_moocore(m):
    moocore = pytest.importorskip("moocore")
    points = np.random.default_rng(m).normal(size=(60, m))
    reference = np.full(m, -0.5)
    expected = moocore.hypervolume(points, ref=reference, maximise=True)
    assert hypervolume(points, reference) == pytest.approx(float(expected))


def test_points_on_or_below_the_reference_add_nothing():
    points = np.array([[0.0, 5.0], [-1.0, 9.0], [2.0, 3.0]])
    assert hypervolume(points, np.zeros(2)) == 6.0
    assert hypervolume(points[:2], np.zeros(2)) == 0.0
    assert hypervolume(np.empty((0, 3)), np.zeros(3)) == 0.0


def test_dominance_numbers_in_blocks_are_the_same(monkeypatch):
    points = np.random.default_rng(0).integers(0, 9, size=(57, 3)).astype(float)
    whole = dominance_numbers(points)
    monkeypatch.setattr("search._pareto._CHUNK_CELLS", 57 * 4)
    assert (dominance_numbers(points) == whole).all()
