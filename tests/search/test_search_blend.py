"""Noisy told values: strategies see them combined with corrected estimates, users see them as told."""

import json

import numpy as np
import pytest
from search_toys import price, score

from search import (
    Advisor,
    Constraint,
    Domain,
    Objective,
    Problem,
    RestoreError,
    Study,
    TellError,
    hypervolume,
    make_strategy,
)
from search._blend import combined_values
from search._estimate import EstimateModel, fit_estimate
from search._trial import Trial

DOMAIN = Domain((3, 4, 2, 5))
NOISE = 0.05


def made(budget=None):
    objectives = (Objective("score", "max"), Objective("price", "min", price, estimated=True))
    return Problem(DOMAIN, objectives, () if budget is None else (Constraint("price", price, budget, estimated=True),))


def true_price(codes):
    return 1.2 * price(np.array([codes]))[0]


def run(study, budget, *, noise=NOISE, deviation=NOISE, seed=0):
    """Tells 20 % more than the estimate, with noise; `deviation` is what is told of that, None nothing."""
    while len(study.trials) < budget and (proposals := study.ask()):
        for p in proposals[: budget - len(study.trials)]:
            error = np.random.default_rng([seed, p.number]).normal(0, noise)
            ms = float(true_price(p.codes) * np.exp(error))
            deviations = None if deviation is None else {"price": deviation * ms}
            study.tell(p.number, {"score": float(score(np.array([p.codes]))[0]), "price": ms}, deviations=deviations)
    return study


def study_of(problem=None, name="random"):
    return Study(problem or made(), make_strategy(name), seed=2, initial=10, batch=5)


def fitted(spread, noise, n=40, seed=0):
    rng = np.random.default_rng(seed)
    estimates = rng.uniform(1.0, 5.0, n)
    told = estimates * 1.1 * np.exp(rng.normal(0, spread, n) + rng.normal(0, noise, n))
    return estimates, told, fit_estimate(estimates, told, np.zeros((n, 1)))


def share_of_told(spread, noise, seed=0):
    """How much of the difference between a told value and its estimate is kept."""
    _, told, model = fitted(spread, noise, seed=seed)
    combined = combined_values(told, noise * told, model)
    corrected = told * np.exp(-model.errors)
    return float(np.median(np.log(combined / corrected) / np.log(told / corrected)))


def test_the_weight_follows_the_two_variances():
    assert share_of_told(0.1, 0.01) > 0.97
    assert share_of_told(0.005, 0.05) < 0.15
    assert np.mean([share_of_told(0.03, 0.03, seed) for seed in range(10)]) == pytest.approx(0.5, abs=0.12)


def test_combined_values_are_nearer_to_the_truth_than_told_ones_and_than_estimates():
    for spread, noise in ((0.02, 0.03), (0.05, 0.015), (0.03, 0.03)):
        errors = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            estimates = rng.uniform(1.0, 5.0, 40)
            truth = estimates * 1.1 * np.exp(rng.normal(0, spread, 40))
            told = truth * np.exp(rng.normal(0, noise, 40))
            model = fit_estimate(estimates, told, np.zeros((40, 1)))
            values = (combined_values(told, noise * told, model), told, model(estimates))
            errors.append([np.square(np.log(value / truth)).mean() for value in values])
        combined, of_told, of_estimates = np.mean(errors, axis=0)
        assert combined < 0.95 * min(of_told, of_estimates)


def test_an_estimate_that_is_far_off_gives_way_to_the_told_value():
    estimates, told, _ = fitted(0.01, 0.03)
    told[7] *= 1.5
    model = fit_estimate(estimates, told, np.zeros((40, 1)))
    combined = combined_values(told, 0.03 * told, model)
    assert combined[7] == pytest.approx(told[7], rel=0.06)
    assert np.median(np.abs(np.log(combined / told)[np.arange(40) != 7])) > 0.01


def test_a_trial_is_compared_with_what_the_others_say():
    estimates, told, model = fitted(0.0, 0.03, n=12)
    rest = np.arange(12) != 3
    others = fit_estimate(estimates[rest], told[rest], np.zeros((11, 1)))
    assert model.errors[3] == pytest.approx(np.log(told[3] / others(estimates[3:4])[0]), abs=0.005)


def test_exact_unknown_and_unusable_values_stay():
    estimates, told, model = fitted(0.02, 0.03)
    assert combined_values(told, np.full(40, np.nan), model) is told
    assert combined_values(told, np.zeros(40), model).tolist() == told.tolist()
    some = np.where(np.arange(40) % 2, 0.03 * told, np.nan)
    changed = combined_values(told, some, model) != told
    assert changed.tolist() == (np.arange(40) % 2 == 1).tolist()
    assert combined_values(np.ones(0), np.ones(0), EstimateModel()).tolist() == []
    holes = np.where(np.arange(40) == 5, np.nan, told)
    gappy = fit_estimate(estimates, holes, np.zeros((40, 1)))
    combined = combined_values(holes, 0.03 * told, gappy)
    assert np.flatnonzero(np.isnan(combined)).tolist() == [5]


def test_differences_are_combined_where_values_are_not_positive():
    rng = np.random.default_rng(1)
    estimates = rng.normal(0, 10.0, 60)
    told = estimates + 1.5 + rng.normal(0, 0.5, 60)
    model = fit_estimate(estimates, told, np.zeros((60, 1)))
    assert not model.logarithmic
    combined = combined_values(told, np.full(60, 0.5), model)
    assert np.abs(combined - estimates - 1.5).mean() < 0.6 * np.abs(told - estimates - 1.5).mean()


def test_strategies_see_combined_values_and_users_told_ones():
    study = run(study_of(), 40)
    context = study.context()
    told = np.array([[t.values["score"], t.values["price"]] for t in context.successful])
    truth = np.array([true_price(t.codes) for t in context.successful])
    assert context.told.tolist() == told.tolist()
    assert context.values[:, 0].tolist() == told[:, 0].tolist()
    off = [np.abs(np.log(values[:, 1] / truth)).mean() for values in (context.values, told)]
    assert off[0] < 0.5 * off[1]
    signs = study.problem.signs
    best = [t.number for t in study.trials if not any(_beats(other, t, signs) for other in study.trials)]
    assert [t.number for t in study.front()] == best
    assert [context.successful[i].number for i in np.flatnonzero(context.front)] == best
    with pytest.raises(ValueError, match="read-only"):
        context.values[0, 0] = 1.0


def test_a_lucky_measurement_is_on_the_front_of_users_and_not_in_the_archive_of_strategies():
    study, lucky = study_of(), 23
    while len(study.trials) < 60:
        for p in study.ask():
            ms = true_price(p.codes) * np.exp(np.random.default_rng(p.number).normal(0, 0.02))
            value = true_price(p.codes)  # the better, the more it costs
            if p.number == lucky:
                ms, value = 0.88 * true_price(p.codes), value - 0.3
            study.tell(p.number, {"score": value, "price": ms}, deviations={"price": NOISE * ms})
    context = study.context()
    place = [t.number for t in context.successful].index(lucky)
    assert context.front[place]
    assert not context.archive[place]
    assert lucky in [t.number for t in study.front()]
    assert context.hypervolume < hypervolume(context.told_points, context.reference)


def _beats(one, other, signs):
    a, b = (np.array([t.values["score"], t.values["price"]]) * signs for t in (one, other))
    return bool((a >= b).all() and (a > b).any())


def test_the_budget_binds_told_values_and_rows_keep_their_places():
    study = run(study_of(made(8.0)), 40)
    context = study.context()
    assert context.outside
    assert [t.number for t in context.successful] == [t.number for t in study.trials if t.values["price"] <= 8.0]
    assert len(context.values) == len(context.successful)
    truth = np.array([true_price(t.codes) for t in context.successful])
    assert np.abs(np.log(context.values[:, 1] / truth)).max() < 0.06


@pytest.mark.parametrize("deviation", [None, 0.0])
def test_without_known_noise_values_are_those_that_were_told(deviation):
    context = run(study_of(), 20, deviation=deviation).context()
    assert context.values.tolist() == context.told.tolist()
    assert context.archive.tolist() == context.front.tolist()
    if deviation is None:
        assert context.values is context.told
        assert context.points is context.told_points


def test_where_nothing_is_estimated_values_are_the_same_array():
    study = study_of(Problem(DOMAIN, (Objective("score", "max"), Objective("price", "min", price))))
    for proposal in study.ask():
        study.tell(proposal.number, {"score": 1.0})
    context = study.context()
    assert context.values is context.told
    assert context.told_points is context.points


@pytest.mark.parametrize("name", ["lamoo", "qehvi"])
def test_a_study_with_noise_is_restored_exactly_and_one_without_it_replays_as_before(name):
    whole = run(study_of(name=name), 30)
    for cut in (12, 20, 27):
        state = json.loads(json.dumps({**whole.state(), "trials": [t.to_json() for t in whole.trials[:cut]]}))
        assert run(Study.from_state(made(), make_strategy(name), state), 30).trials == whole.trials
    # the trials of an earlier version have no deviations; what follows them may have
    earlier = run(study_of(name=name), 20, deviation=None)
    state = json.loads(json.dumps(earlier.state()))
    assert all("deviations" not in trial for trial in state["trials"])
    restored = run(Study.from_state(made(), make_strategy(name), state), 30)
    assert restored.trials[:20] == earlier.trials
    again = Study.from_state(made(), make_strategy(name), json.loads(json.dumps(restored.state())))
    assert (again.trials, again.ask()) == (restored.trials, restored.ask())


def test_an_advisor_reads_deviations():
    seen = []

    class Watching:
        name = "watching"

        def propose(self, context, n, rng):
            seen.append(context.values is context.told)
            return make_strategy("random").propose(context, n, rng)

    for deviations in ({}, {"price": 0.2}):
        rows = DOMAIN.enumerate()[::7].tolist()
        trials = [
            Trial(i, tuple(row), {"score": i % 5, "price": 1.2 * true_price(row)}, deviations=deviations)
            for i, row in enumerate(rows)
        ]
        Advisor(made()).propose(Watching(), trials, 3, np.random.default_rng(0))
    assert seen == [True, False]


def test_a_deviation_must_be_that_of_a_told_estimated_value():
    study = study_of()
    number = study.ask()[0].number
    values = {"score": 1.0, "price": 2.0}
    with pytest.raises(TellError, match="trial 0: 'score' has a deviation, but no told value of an estimated"):
        study.tell(number, values, deviations={"score": 0.1})
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(TellError, match="trial 0: the deviation of 'price' must be finite and 0 or more"):
            study.tell(number, values, deviations={"price": wrong})
    assert study.tell(number, values, deviations={"price": 0.1}).deviations == {"price": 0.1}
    with pytest.raises(RestoreError, match="cannot read a trial"):
        Trial.from_json({**study.trials[0].to_json(), "deviations": [1.0]})
