"""`ExpectedCost`: exact at one-hot probabilities and for sums, within its stated error otherwise."""

import itertools
import time

import numpy as np
import pytest
import torch
from oneshot_toys import MAKERS, costs_of, drawn, space_named, table_of

from hwnas._errors import SpaceError
from hwnas.oneshot import ExpectedCost, one_hot, sample_codes, uniform
from hwnas.spaces import make_space
from latency_tables import CacheCurve, Correction

NAMES = sorted(MAKERS)


@pytest.mark.parametrize("sides", [None, "random"])
@pytest.mark.parametrize("name", NAMES)
def test_one_hot_probabilities_give_the_price(name, sides):
    space, table = space_named(name), table_of(name, sides)
    expected = ExpectedCost(space, table, costs=costs_of(name, sides))
    for arch in space.sample(12, np.random.default_rng(1)):
        price = table.price(space.graph(arch)).value_ms
        assert float(expected(one_hot(space, arch))) == pytest.approx(price, rel=1e-9)


@pytest.mark.parametrize("cost", ["macs", "params", "memory"])
@pytest.mark.parametrize("name", NAMES)
def test_one_hot_probabilities_give_every_other_cost(name, cost):
    space = space_named(name)
    expected = ExpectedCost(space, cost=cost, costs=costs_of(name))
    rows = np.array([space.encode(arch) for arch in space.sample(12, np.random.default_rng(1))])
    real = expected.costs.cost(expected.key)(rows)
    ours = [float(expected(one_hot(space, space.decode(row)))) for row in rows]
    np.testing.assert_allclose(ours, real, rtol=1e-9)


def test_a_sum_has_exactly_the_expectation_over_all_architectures():
    space = space_named("stairs")
    distribution = drawn(space, 3)
    rows = np.array(list(itertools.product(*map(range, space.cardinalities))))
    weights = np.prod([p.numpy()[rows[:, c]] for c, p in enumerate(distribution)], axis=0)
    for cost in ("macs", "params"):
        expected = ExpectedCost(space, cost=cost, costs=costs_of("stairs"))
        real = expected.costs.cost(expected.key)(rows)
        assert float(expected(distribution)) == pytest.approx(float(weights @ real), rel=1e-12)


@pytest.mark.parametrize("name", ["stairs", "holes"])
def test_peak_memory_has_exactly_the_expectation_over_all_networks(name):
    space = space_named(name)
    expected = ExpectedCost(space, cost="memory", costs=costs_of(name))
    rows = np.array(list(itertools.product(*map(range, space.cardinalities))))
    rows = rows[space.valid_codes(rows)]
    real = expected.costs.cost(expected.key)(rows)
    for seed in range(3):
        distribution = drawn(space, seed)
        weights = np.prod([p.numpy()[rows[:, c]] for c, p in enumerate(distribution)], axis=0)
        assert float(expected(distribution)) == pytest.approx(float(weights @ real / weights.sum()), rel=1e-9)


@pytest.mark.parametrize("cost", ["macs", "memory"])
def test_a_vector_of_another_kind_is_taken_as_well(cost):
    expected = ExpectedCost(space_named("stairs"), cost=cost, costs=costs_of("stairs"))
    distribution = drawn(space_named("stairs"), 0)
    halved = [vector.float() for vector in distribution]
    assert float(expected(halved)) == pytest.approx(float(expected(distribution)), rel=1e-5)


def test_where_some_architectures_are_no_networks_it_is_the_expectation_over_networks():
    space = space_named("holes")
    distribution = drawn(space, 3)
    rows = np.array(list(itertools.product(*map(range, space.cardinalities))))
    valid = space.valid_codes(rows)
    assert not valid.all()
    weights = np.prod([p.numpy()[rows[:, c]] for c, p in enumerate(distribution)], axis=0) * valid
    expected = ExpectedCost(space, cost="macs", costs=costs_of("holes"))
    real = np.nan_to_num(expected.costs.cost("macs")(rows))
    assert float(expected(distribution)) == pytest.approx(float(weights @ real / weights.sum()), rel=1e-9)


@pytest.mark.parametrize("cost", ["macs", "memory"])
@pytest.mark.parametrize("name", ["mobilenetv3", "convnet1d", "derived"])
def test_sums_and_maxima_are_the_mean_over_drawn_networks_within_its_error(name, cost):
    space = space_named(name)
    expected = ExpectedCost(space, cost=cost, costs=costs_of(name))
    error = expected.error(drawn(space, 5), networks=100_000)
    assert abs(error.expected - error.sampled.mean) < 4 * error.sampled.standard_error
    assert error.sampled.standard_error < 0.005 * error.sampled.mean


@pytest.mark.parametrize("sides", [None, "random"])
@pytest.mark.parametrize("name", ["mobilenetv3", "convnet1d", "derived"])
def test_the_latency_is_within_a_few_hundredths_of_the_mean(name, sides):
    expected = ExpectedCost(space_named(name), table_of(name, sides), costs=costs_of(name, sides))
    assert abs(expected.error(drawn(space_named(name), 5), networks=10_000).relative) < 0.03


@pytest.mark.parametrize(("cost", "sides"), [("latency", None), ("latency", "random"), ("memory", None)])
@pytest.mark.parametrize("name", ["stairs", "holes", "derived"])
def test_gradients_are_those_of_finite_differences(name, cost, sides):
    space = space_named(name)
    expected = ExpectedCost(space, table_of(name, sides), cost, costs=costs_of(name, sides))
    distribution = drawn(space, 2, requires_grad=True)
    scale = float(expected(distribution).detach())
    assert torch.autograd.gradcheck(lambda *p: expected(p) / scale, distribution, eps=1e-5, atol=1e-5, rtol=1e-4)


def test_a_large_space_is_milliseconds_fast():
    space = make_space("mobilenetv3", preset="imagenet")
    assert space.size > 1e19
    expected = ExpectedCost(space, cost="macs")
    distribution = uniform(space)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        expected(distribution)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.02  # about 0.3 ms on one core at rest
    assert expected.preparation_s < 30


def test_what_is_no_distribution_is_refused():
    space = space_named("stairs")
    expected = ExpectedCost(space, cost="macs", costs=costs_of("stairs"))
    with pytest.raises(SpaceError, match="must have 6 vectors"):
        expected(uniform(space)[:-1])
    with pytest.raises(SpaceError, match=r"width must have the shape \(3,\)"):
        expected([torch.ones(2), *uniform(space)[1:]])
    with pytest.raises(SpaceError, match="sum to 1"):
        expected.monte_carlo([torch.ones(3, dtype=torch.float64), *uniform(space)[1:]])
    with pytest.raises(SpaceError, match="needs a latency table"):
        ExpectedCost(space)


def test_drawn_codes_follow_the_distribution():
    space = space_named("stairs")
    distribution = drawn(space, 1)
    codes = sample_codes(distribution, 20_000, np.random.default_rng(0))
    for column, vector in enumerate(distribution):
        shares = np.bincount(codes[:, column], minlength=len(vector)) / len(codes)
        np.testing.assert_allclose(shares, vector.numpy(), atol=0.02)


def test_slopes_of_the_cache_curve_and_the_correction():
    curve = CacheCurve(500, (0.0, 20_000.0, 60_000.0), (0.0, 0.1, 0.5))
    np.testing.assert_allclose(curve.slope([10.0, 30_000.0, 90_000.0]), [5e-6, 1e-5, 1e-5])
    correction = Correction(0.1, 0.2, 3.0)
    rise = (correction.apply(2.0 + 1e-6) - correction.apply(2.0 - 1e-6)) / 2e-6
    assert float(correction.slope(2.0)) == pytest.approx(float(rise), rel=1e-6)
