"""The correction of estimates by told values: what is recovered, what is ignored, when a residual is learned."""

import time

import numpy as np
import pytest

from search._estimate import EstimateModel, fit_estimate


def made(n, *, shift=0.08, tilt=0.0, structured=0.0, noise=0.02, width=12, seed=0):
    """Estimates, told values and encodings; `structured` and `noise` are standard deviations of log ratios."""
    rng = np.random.default_rng(seed)
    encodings = rng.integers(0, 4, size=(n, width)).astype(float)
    estimates = np.exp(rng.normal(0.5, 0.5, n))
    slopes = np.zeros(width)
    slopes[:3] = structured / np.sqrt(3 * 1.25)  # 1.25: the variance of a number from 0 to 3
    change = shift + tilt * (np.log(estimates) - 0.5) + (encodings - 1.5) @ slopes + rng.normal(0, noise, n)
    return estimates, estimates * np.exp(change), encodings


def test_without_trials_estimates_stay_as_they_are():
    model = fit_estimate(np.empty(0), np.empty(0), np.empty((0, 3)))
    assert model == EstimateModel()
    assert model(np.array([1.0, -2.0, np.nan])).tolist()[:2] == [1.0, -2.0]


def test_shift_and_tilt_are_recovered():
    model = fit_estimate(*made(200, shift=0.08, tilt=0.05))
    assert model.logarithmic
    assert model.shift == pytest.approx(0.08, abs=0.006)
    assert model.tilt == pytest.approx(0.05, abs=0.008)
    estimates, told, encodings = made(200, shift=0.08, tilt=0.05, seed=1)
    assert np.abs(np.log(told / model(estimates, encodings))).mean() < 0.018


def test_few_trials_are_shrunk_towards_no_correction():
    one = fit_estimate(np.array([2.0]), np.array([3.0]), np.zeros((1, 2)))
    assert 0 < one.shift < np.log(1.5)
    assert one.tilt == 0.0
    near = fit_estimate(np.array([2.0, 2.1]), np.array([2.0, 2.31]), np.zeros((2, 2)))
    assert abs(near.tilt) < 0.1  # least squares would give 1.95


def test_a_few_trials_far_off_hardly_count():
    estimates, told, encodings = made(60)
    clean = fit_estimate(estimates, told, encodings)
    told[::10] *= 3.0
    dirty = fit_estimate(estimates, told, encodings)
    assert dirty.shift == pytest.approx(clean.shift, abs=0.01)
    assert dirty.tilt == pytest.approx(clean.tilt, abs=0.02)


def test_values_that_are_not_all_positive_are_corrected_by_differences():
    rng = np.random.default_rng(0)
    estimates = rng.normal(0, 10.0, 80)
    told = estimates + 1.5 + rng.normal(0, 0.1, 80)
    model = fit_estimate(estimates, told, np.zeros((80, 2)))
    assert not model.logarithmic
    corrected = model(np.array([-5.0, 0.0, 5.0]))
    np.testing.assert_allclose(corrected, [-3.5, 1.5, 6.5], atol=0.1)
    assert 0.1 < model.half_width < 0.25


@pytest.mark.parametrize("n", [20, 40, 150])
def test_no_residual_is_learned_from_noise(n):
    models = [fit_estimate(*made(n, noise=0.05, seed=seed)) for seed in range(40)]
    assert sum(model.learned for model in models) <= 2
    assert all(np.isfinite(model.error_with) for model in models)


def test_a_residual_is_learned_where_errors_follow_the_architecture():
    for seed in range(10):
        model = fit_estimate(*made(40, structured=0.05, noise=0.01, seed=seed))
        assert model.learned
        assert model.error_with < 0.5 * model.error_without
        estimates, told, encodings = made(200, structured=0.05, noise=0.01, seed=100 + seed)
        assert np.abs(np.log(told / model(estimates, encodings))).mean() < 0.02


def test_too_few_trials_teach_no_residual():
    model = fit_estimate(*made(14, structured=0.2, noise=0.0))
    assert not model.learned
    assert np.isnan(model.error_with)


@pytest.mark.parametrize(("n", "structured"), [(20, 0.0), (100, 0.0), (100, 0.05)])
def test_the_interval_holds_nine_of_ten_new_values(n, structured):
    held = []
    for seed in range(20):
        estimates, told, encodings = made(n + 200, structured=structured, noise=0.03, seed=seed)
        model = fit_estimate(estimates[:n], told[:n], encodings[:n])
        errors = np.log(told[n:] / model(estimates[n:], encodings[n:]))
        held.append(np.mean(np.abs(errors) <= model.half_width))
    assert 0.85 < np.mean(held) < 0.96


def test_the_interval_is_unknown_with_few_trials():
    assert fit_estimate(*made(8)).half_width == np.inf
    assert fit_estimate(*made(9)).half_width < np.inf


def test_errors_are_those_of_trials_left_out():
    estimates, told, encodings = made(30, noise=0.05)
    errors = []
    for i in range(30):
        rest = np.arange(30) != i
        model = fit_estimate(estimates[rest], told[rest], encodings[rest])
        errors.append(abs(np.log(told[i] / model(estimates[i : i + 1], encodings[i : i + 1])[0])))
    assert fit_estimate(estimates, told, encodings).error_without == pytest.approx(np.mean(errors), rel=0.05)


def test_a_row_is_corrected_alone_as_among_others():
    model = fit_estimate(*made(60, structured=0.05, noise=0.01))
    assert model.learned
    estimates, _, encodings = made(500, seed=3)
    whole = model(estimates, encodings)
    assert [model(estimates[i : i + 1], encodings[i : i + 1])[0] for i in range(500)] == whole.tolist()


def test_corrections_end_where_the_trials_end():
    estimates, told, encodings = made(60, tilt=0.1, structured=0.05, noise=0.01)
    model = fit_estimate(estimates, told, encodings)
    far = model(np.array([1e6, 1e-6]), np.full((2, 12), 1e3)) / [1e6, 1e-6]
    assert (np.abs(np.log(far)) < 0.5).all()


def test_what_cannot_be_used_is_left_out_and_left_as_it_is():
    estimates, told, encodings = made(30)
    holes = told.copy()
    holes[::3] = np.nan
    kept = np.isfinite(holes)
    model = fit_estimate(estimates, holes, encodings)
    assert model == fit_estimate(estimates[kept], told[kept], encodings[kept])
    assert model.trials == 20
    corrected = model(np.array([0.0, -1.0, np.nan, 1.0]))
    assert corrected[:2].tolist() == [0.0, -1.0]
    assert np.isnan(corrected[2])
    assert corrected[3] == pytest.approx(1.08, abs=0.03)


def test_500_trials_are_fitted_quickly():
    data = made(500, width=100, structured=0.05)
    fit_estimate(*data)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        fit_estimate(*data)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05
