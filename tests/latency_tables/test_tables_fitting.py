"""Prices of ops from latencies of whole networks alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_tables.fitting import AdditiveFit, clock_quantum

SESSION_MS = 0.3
OPS, KINDS = 12, 3


def make_work(rng, ops=OPS):
    """Each op does random amounts of three quantities, all in one kind."""
    work = np.zeros((ops, KINDS, 3))
    work[np.arange(ops), rng.integers(0, KINDS, ops)] = rng.uniform(1.0, 10.0, (ops, 3)) * [1e6, 1e4, 0.1]
    return work


def make_counts(rng, networks, ops=OPS):
    return rng.integers(0, 5, (networks, ops)).astype(float)


def structured_prices(rng, work):
    """A cost of every unit of each quantity, for each kind of op."""
    return np.einsum("pkf,kf->p", work, rng.uniform(0.5, 2.0, (KINDS, 3)) * [1e-8, 1e-6, 0.1])


def worst_error(fit, counts, latency):
    return np.abs(fit.prices.predict(counts) / latency - 1).max()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_enough_networks_give_the_prices_of_any_additive_device(seed):
    rng = np.random.default_rng(seed)
    counts, prices = make_counts(rng, 100), rng.uniform(0.01, 1.0, OPS)
    latency = SESSION_MS + counts @ prices
    fit = AdditiveFit(counts[:60], make_work(rng), latency[:60])
    assert fit.refined
    assert worst_error(fit, counts[60:], latency[60:]) < 2e-3
    assert fit.prices.prices_ms == pytest.approx(prices, abs=5e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_ten_networks_suffice_where_prices_follow_what_the_ops_do(seed):
    from scipy.optimize import nnls

    rng = np.random.default_rng(seed)
    work, counts = make_work(rng, 40), make_counts(rng, 210, 40)
    latency = SESSION_MS + counts @ structured_prices(rng, work)
    fit = AdditiveFit(counts[:10], work, latency[:10])
    plain, _ = nnls(counts[:10] / latency[:10, None], np.ones(10))
    error = np.abs(fit.prices.predict(counts[10:]) / latency[10:] - 1).mean()
    assert error < 0.1
    assert error < np.abs(counts[10:] @ plain / latency[10:] - 1).mean()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([10.0, 0.1]))
def test_one_wild_measurement_does_not_bend_the_prices(seed, factor):
    rng = np.random.default_rng(seed)
    work, counts = make_work(rng), make_counts(rng, 100)
    latency = SESSION_MS + counts @ structured_prices(rng, work)
    given_ms = latency[:40] * np.where(np.arange(40) == 7, factor, 1.0)
    fit = AdditiveFit(counts[:40], work, given_ms)
    assert np.abs(fit.prices.predict(counts[40:]) / latency[40:] - 1).mean() < 0.03
    assert fit.weights.argmin() == 7
    assert fit.weights[7] < 0.2


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_whole_millisecond_clock_is_an_interval(seed):
    rng = np.random.default_rng(seed)
    work, counts = make_work(rng), make_counts(rng, 150)
    latency = SESSION_MS + counts @ structured_prices(rng, work)
    latency *= 12.0 / np.median(latency)
    read = np.maximum(1.0, np.round(latency[:50]))
    fit = AdditiveFit(counts[:50], work, read, quantum_ms=clock_quantum(read))
    assert clock_quantum(read) == 1.0
    assert np.abs(fit.prices.predict(counts[:50]) - read).max() < 0.75
    assert np.abs(fit.prices.predict(counts[50:]) - latency[50:]).mean() < 0.25


def test_latencies_inside_their_intervals_pull_at_nothing():
    counts, work = np.array([[1.0], [1.0]] * 5), np.ones((1, 1, 3))
    read = np.array([10.0, 11.0] * 5)
    exact, ticking = AdditiveFit(counts, work, read), AdditiveFit(counts, work, read, quantum_ms=2.0)
    assert exact.weights.min() < 1.0 or exact.error > 1e-3
    assert ticking.weights.min() > 0.8
    assert 10.0 <= ticking.prices.predict(counts)[0] <= 11.0


def test_an_op_in_no_sample_costs_what_its_work_costs_elsewhere():
    rng = np.random.default_rng(0)
    work, counts = make_work(rng), make_counts(rng, 60)
    work[3] = 2 * work[4]
    counts[:, 3] = 0
    fit = AdditiveFit(counts, work, SESSION_MS + counts @ structured_prices(rng, work))
    assert fit.prices.prices_ms[3] == pytest.approx(fit.prices.of_work(work)[3])
    assert fit.prices.prices_ms[3] == pytest.approx(2 * fit.prices.of_work(work)[4])
    assert fit.prices.prices_ms[3] == pytest.approx(2 * fit.prices.prices_ms[4], rel=0.05)


def test_ops_that_always_occur_together_share_their_sum_by_their_work():
    rng = np.random.default_rng(1)
    work, counts = make_work(rng), make_counts(rng, 60)
    counts[:, 1] = 2 * counts[:, 0]
    prices = rng.uniform(0.1, 1.0, OPS)
    fit = AdditiveFit(counts, work, SESSION_MS + counts @ prices)
    found, prior = fit.prices.prices_ms, fit.prices.of_work(work)
    assert found[0] + 2 * found[1] == pytest.approx(prices[0] + 2 * prices[1], rel=0.01)
    assert found[0] / found[1] == pytest.approx(prior[0] / prior[1], rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), networks=st.integers(10, 40))
def test_prices_are_not_negative_and_follow_the_unit(seed, scale, networks):
    rng = np.random.default_rng(seed)
    work, counts = make_work(rng), make_counts(rng, networks)
    latency = rng.uniform(1.0, 10.0, networks)
    fit, scaled = AdditiveFit(counts, work, latency), AdditiveFit(counts, work, scale * latency)
    assert fit.prices.session_ms >= 0
    assert (fit.prices.prices_ms >= 0).all()
    assert (fit.prices.of_work(work) >= 0).all()
    assert (fit.weights <= 1).all()
    assert scaled.prices.predict(counts) == pytest.approx(scale * fit.prices.predict(counts), rel=1e-4)


def test_the_left_out_error_is_that_of_new_networks():
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        work, counts = make_work(rng), make_counts(rng, 230)
        latency = (SESSION_MS + counts @ structured_prices(rng, work)) * rng.lognormal(0, 0.05, 230)
        fit = AdditiveFit(counts[:30], work, latency[:30], refine=False)
        ratios.append(fit.error / np.mean((fit.prices.predict(counts[30:]) / latency[30:] - 1) ** 2))
    assert 0.6 < np.median(ratios) < 1.6


def test_resampled_prices_spread_with_the_noise_and_come_again_with_the_seed():
    rng = np.random.default_rng(2)
    work, counts = make_work(rng), make_counts(rng, 40)
    latency = SESSION_MS + counts @ structured_prices(rng, work)
    spreads = []
    for noise in (0.0, 0.05):
        fit = AdditiveFit(counts, work, latency * np.random.default_rng(3).lognormal(0, noise, 40))
        draws = np.array([prices.prices_ms for prices in fit.resampled(40, seed=5)])
        assert (draws == [prices.prices_ms for prices in fit.resampled(40, seed=5)]).all()
        spreads.append(draws.std(axis=0).mean() / fit.prices.prices_ms.mean())
    assert spreads[0] < 0.01 < spreads[1] < 0.5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 500), min_size=10, max_size=30), st.integers(-3, 3))
def test_a_coarse_clock_is_recognised(ticks, power):
    values = np.array([*ticks, 7.0]) * 10.0**power
    expected = 10.0**power if np.median([*ticks, 7]) <= 200 else 0.0
    assert clock_quantum(values) == pytest.approx(expected)


def test_a_fine_clock_is_left_alone():
    assert clock_quantum([10.7544, 12.9003, 11.6822]) == 0.0
    assert clock_quantum([0.5, 1.0, 2.5]) == pytest.approx(0.1)
    assert clock_quantum([20.0, 30.0, 40.0]) == pytest.approx(10.0)
