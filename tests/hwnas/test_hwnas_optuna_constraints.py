"""Constraints of Optuna's trials, however they were set, and studies whose storage is damaged."""

import math
import warnings

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402
from optuna.trial import FrozenTrial, TrialState, create_trial  # noqa: E402

from hwnas import HwnasError  # noqa: E402
from hwnas._optuna_constraints import violations  # noqa: E402
from hwnas.optuna import LaMOOSampler  # noqa: E402

UNIT = FloatDistribution(0.0, 1.0)
KIND = CategoricalDistribution(["a", "b"])
NAMED = hasattr(FrozenTrial, "set_constraint")


@pytest.fixture(autouse=True)
def _quiet():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    optuna.logging.set_verbosity(level)


def study_of(sampler, objective, trials):
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def corner(trial):
    """Feasible in a quarter of the square, and best just outside of it."""
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    trial.set_constraint("x", 0.6 - x)
    trial.set_constraint("y", 0.4 - y)
    return x, y


def feasible_late(study):
    late = study.trials[20:]
    return sum(t.params["x"] >= 0.6 and t.params["y"] >= 0.4 for t in late) / len(late)


@pytest.mark.skipif(not NAMED, reason="Optuna before 5 sets no constraints on trials")
def test_constraints_set_on_the_trial_are_kept():
    shares = [feasible_late(study_of(LaMOOSampler(seed=seed), corner, 50)) for seed in range(3)]
    genetic = [
        feasible_late(study_of(optuna.samplers.NSGAIISampler(seed=seed, population_size=10), corner, 50))
        for seed in range(3)
    ]
    assert np.mean(shares) > max(0.5, np.mean(genetic))


@pytest.mark.skipif(not NAMED, reason="Optuna before 5 sets no constraints on trials")
def test_a_trial_that_lacks_a_constraint_does_not_violate_it():
    def objective(trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        trial.set_constraint("first", 0.5 - x)
        if trial.number % 2:
            trial.set_constraint("second", 0.5 - y)
        if trial.number % 7 == 3:
            trial.set_constraint("far", math.inf)
        return x, y

    study = study_of(LaMOOSampler(seed=0), objective, 45)
    assert np.mean([t.params["x"] >= 0.5 for t in study.trials[20:]]) > 0.6


def test_a_constraints_func_may_give_as_many_numbers_as_it_likes():
    def several(trial):
        first = [0.6 - trial.params["x"]]
        return first if trial.number % 3 else [*first, 0.4 - trial.params["y"], -1.0]

    def objective(trial):
        return trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)

    study = study_of(LaMOOSampler(seed=0, constraints_func=several), objective, 40)
    assert np.mean([t.params["x"] >= 0.6 for t in study.trials[20:]]) > 0.5


@pytest.mark.parametrize("given", [[0.1, math.nan], 0.5, "abc", ["x"], None])
def test_a_constraints_func_must_give_numbers(given):
    study = optuna.create_study(
        directions=["minimize"] * 2, sampler=LaMOOSampler(seed=0, constraints_func=lambda trial: given)
    )
    with pytest.raises(HwnasError, match=r"constraints_func of trial 0: .* it must return numbers") as caught:
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=1)
    assert "\n" not in str(caught.value)


def with_trials(*attributes, sampler=None, values=(0.5, 0.5)):
    """A study of a dozen whole trials, and one for each of the given system attributes."""
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler or LaMOOSampler(seed=0, initial=2))
    for i, more in enumerate([*({} for _ in range(12)), *attributes]):
        x = i / 20
        study.add_trial(
            create_trial(params={"x": x}, distributions={"x": UNIT}, values=[x, 1 - x] if not more else list(values))
        )
        study._storage._get_trial(study.trials[-1]._trial_id).system_attrs.update(more)
    return study


@pytest.mark.parametrize(
    "damaged",
    [
        {"constraints": "abc"},
        {"constraints": 7},
        {"constraints": ["x"]},
        {"constraints": [None]},
        {"constraints": [math.nan]},
        {"constraints": {"a": 1}},
        {"constraints:a": "x"},
        {"constraints:a": None},
        {"constraints:a": [1]},
        {"constraints:a": math.nan},
    ],
)
def test_damaged_constraints_of_a_storage_are_one_line(damaged):
    with pytest.raises(HwnasError, match=r"constraints of trial 12: .* is not a .*number.*damaged") as caught:
        with_trials(damaged).ask({"x": UNIT})
    assert "\n" not in str(caught.value)


def test_a_trial_whose_constraints_failed_is_not_feasible():
    from hwnas._optuna_constraints import constraints_of

    study = with_trials({"constraints": None})
    found = violations([constraints_of(trial, None) for trial in study.trials])
    assert found[-1] > 0
    assert not found[:-1].any()
    study.ask({"x": UNIT})


def test_violations_are_shares_whatever_the_units():
    found = violations([{"a": 1.0, "b": 1e9}, {"a": 0.5}, {}, {"b": -3.0}, {"a": math.inf, "b": 0.0}, {"a": 1e-320}])
    assert found.tolist() == [1.0, 0.25, 0.0, 0.0, 0.5, pytest.approx(0.0)]
    assert found[-1] > 0
    assert violations([{}, {}]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "change",
    [
        {"_values": None},
        {"_values": [1.0]},
        {"_values": [1.0, math.nan]},
        {"params": {"x": None}},
        {"params": {"x": [1]}},
        {"params": {"x": "a"}},
        {"params": {"x": math.nan}},
        {"params": {"other": 3}},
        {"params": {}},
    ],
)
def test_trials_that_are_damaged_or_of_another_space_are_left_out(change):
    study = with_trials({"seen": True})
    broken = study._storage._get_trial(study.trials[-1]._trial_id)
    for name, value in change.items():
        object.__setattr__(broken, name, value)
    assert 0 <= study.ask({"x": UNIT}).params["x"] <= 1


def test_trials_of_other_distributions_do_not_stop_a_study():
    study = optuna.create_study(directions=["minimize"] * 2, sampler=LaMOOSampler(seed=0, initial=2))
    for i in range(6):
        for distribution, value in ((IntDistribution(0, 50), 40 + i), (IntDistribution(0, 9), i)):
            study.add_trial(create_trial(params={"n": value}, distributions={"n": distribution}, values=[i, -i]))
        study.add_trial(create_trial(params={"k": "a"}, distributions={"k": KIND}, values=[i, i]))
    asked = study.ask({"n": IntDistribution(0, 9), "k": KIND})
    assert asked.params["n"] in range(10)


def test_values_near_the_largest_double_do_not_stop_a_study():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        huge = 1.7e308 if x > 0.8 else -1.7e308 if x < 0.1 else x
        return huge, 1 - x

    study = study_of(LaMOOSampler(seed=0, initial=3), objective, 16)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
