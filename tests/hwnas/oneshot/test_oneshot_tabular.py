"""`TabularExpectation`: the exact expectation of a table of all architectures."""

import itertools

import numpy as np
import pytest
import torch
from oneshot_toys import drawn, space_named

from hwnas._errors import SpaceError
from hwnas.oneshot._tabular import TabularExpectation


def table_of(space, seed=0):
    rows = np.array(list(itertools.product(*map(range, space.cardinalities))))
    return rows, np.random.default_rng(seed).uniform(size=len(rows))


def test_it_is_the_sum_over_all_architectures():
    space = space_named("stairs")
    rows, values = table_of(space)
    expectation = TabularExpectation(space, values)
    for seed in range(3):
        distribution = drawn(space, seed)
        weights = np.prod([p.numpy()[rows[:, c]] for c, p in enumerate(distribution)], axis=0)
        assert float(expectation(distribution)) == pytest.approx(float(weights @ values), rel=1e-12)
    assert expectation.at(rows[7].tolist()) == values[7]


def test_gradients_are_those_of_finite_differences():
    space = space_named("stairs")
    expectation = TabularExpectation(space, table_of(space)[1])
    assert torch.autograd.gradcheck(lambda *p: expectation(p), drawn(space, 1, requires_grad=True))


def test_rows_of_a_table_come_in_any_order_and_must_be_complete():
    space = space_named("stairs")
    rows, values = table_of(space)
    archs = [space.format(space.decode(row)) for row in rows]
    if len(set(archs)) < len(archs):  # absent blocks are not written
        archs = [str(number) for number in range(len(rows))]
        space = _Numbered(space, rows)
    order = np.random.default_rng(1).permutation(len(rows))
    expectation = TabularExpectation.of_rows(space, [archs[i] for i in order], values[order])
    np.testing.assert_array_equal(expectation.values.reshape(-1), values)
    with pytest.raises(SpaceError, match="a value is needed for every architecture, 1 of 486 have none"):
        TabularExpectation.of_rows(space, archs[1:], values[1:])
    with pytest.raises(SpaceError, match="486 values are needed, got 485"):
        TabularExpectation(space, values[1:])


class _Numbered:
    """A space whose architectures are written as numbers."""

    def __init__(self, space, rows):
        self.name, self.cardinalities, self._space, self._rows = space.name, space.cardinalities, space, rows

    def parse(self, text):
        return self._space.decode(self._rows[int(text)])

    def encode(self, arch):
        return self._space.encode(arch)
