"""`hwnas.optuna.LaMOOSampler` in real studies of Optuna."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

from hwnas import HwnasError  # noqa: E402
from hwnas.optuna import LaMOOSampler, _Numbers  # noqa: E402
from search import hypervolume  # noqa: E402
from search.lamoo import MutationSampler  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BOTH = ("minimize", "minimize")
STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAIL": TrialState.FAIL}


@pytest.fixture(autouse=True)
def _quiet():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def mixed(trial):
    """Two objectives of a float, a step, a logarithm, an integer and a category."""
    x = trial.suggest_float("x", 0.0, 1.0)
    y = trial.suggest_float("y", 0.0, 1.0, step=0.25)
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    n = trial.suggest_int("n", 1, 20)
    kind = trial.suggest_categorical("kind", ["a", None, True])
    trial.suggest_int("always", 7, 7)
    extra = {"a": 0.0, None: 0.3, True: 0.6}[kind] + abs(math.log10(rate) + 2) / 8 + y / 4
    return (x - 0.3) ** 2 + extra + n / 40, (x - 0.8) ** 2 + extra / 2 + (20 - n) / 20


def run(seed=0, trials=16, directions=BOTH, objective=mixed, study=None, **settings):
    study = study or optuna.create_study(directions=directions)
    study.sampler = LaMOOSampler(seed=seed, **settings)
    study.optimize(objective, n_trials=trials, catch=(ZeroDivisionError,))
    return study


def told(study):
    return [(trial.params, trial.values, trial.state) for trial in study.trials]


def volume(study):
    values = -np.array([trial.values for trial in study.trials if trial.values is not None])
    return hypervolume(values, np.array([-2.0, -2.0]))


def test_values_are_of_the_distributions_and_the_seed_decides():
    study = run(trials=20)
    for trial in study.trials:
        for name, distribution in trial.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(trial.params[name]))
    assert all(type(trial.params["n"]) is int for trial in study.trials)
    params = [tuple(trial.params.items()) for trial in study.trials]
    assert len(set(params)) == 20
    assert told(run(trials=20)) == told(study)
    assert told(run(trials=20, seed=1)) != told(study)


def test_it_beats_random_sampling():
    ours, random = [], []
    for seed in range(5):
        ours.append(volume(run(seed=seed, trials=40)))
        study = optuna.create_study(directions=BOTH, sampler=optuna.samplers.RandomSampler(seed=seed))
        study.optimize(mixed, n_trials=40)
        random.append(volume(study))
    assert min(ours) > max(random)


def test_directions_are_kept():
    study = run(directions=("maximize", "maximize"), objective=lambda t: tuple(-v for v in mixed(t)), trials=25)
    assert [trial.params for trial in study.trials] == [trial.params for trial in run(trials=25).trials]


def test_one_objective_is_searched_for_its_best():
    for direction, sign in (("minimize", 1.0), ("maximize", -1.0)):
        study = run(directions=(direction,), objective=lambda t, sign=sign: sign * mixed(t)[0], trials=35)
        random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        random.optimize(lambda t: mixed(t)[0], n_trials=35)
        assert sign * study.best_value < random.best_value


def test_a_study_from_a_storage_goes_on_as_the_unbroken_one(tmp_path):
    def stored(name):
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / name))
        storage = optuna.storages.JournalStorage(backend)
        return optuna.create_study(storage=storage, study_name="s", directions=BOTH, load_if_exists=True)

    whole = run(study=stored("whole"), trials=18)
    run(study=stored("broken"), trials=7)
    run(study=stored("broken"), trials=6)
    assert told(run(study=stored("broken"), trials=5)) == told(whole)


def test_trials_of_other_samplers_and_enqueued_ones_are_learned_from():
    study = optuna.create_study(directions=BOTH, sampler=optuna.samplers.RandomSampler(seed=3))
    study.optimize(mixed, n_trials=12)
    before = volume(study)
    run(study=study, trials=20)
    assert volume(study) > before
    best = {"x": 0.3, "y": 0.0, "rate": 0.01, "n": 1, "kind": "a"}
    study.enqueue_trial(best)
    run(study=study, trials=1)
    assert study.trials[-1].params == {**best, "always": 7}
    run(study=study, trials=5)
    seen = [tuple(trial.params.items()) for trial in study.trials]
    assert len(set(seen)) == len(seen)


def test_what_failed_or_was_pruned_is_not_tried_again():
    def objective(trial):
        n = trial.suggest_int("n", 0, 29)
        if n % 3 == 1:
            raise optuna.TrialPruned
        if n % 3 == 2:
            raise ZeroDivisionError
        return float(n) if n else float("inf")

    study = run(directions=("minimize",), objective=objective, trials=30, initial=3)
    first = {t.params["n"] for t in study.trials[: next(i for i, t in enumerate(study.trials) if t.values) + 1]}
    numbers = [trial.params["n"] for trial in study.trials[len(first) :]]
    assert len(set(numbers)) == len(numbers) == 30 - len(first)
    assert not first & set(numbers)
    assert {trial.state for trial in study.trials} == set(STATES.values())


def test_when_all_was_tried_it_goes_on_at_random():
    study = run(objective=lambda t: (t.suggest_int("a", 0, 2), t.suggest_int("b", 0, 1)), trials=15, initial=2)
    assert len({tuple(trial.params.items()) for trial in study.trials[:6]}) == 6
    assert len(study.trials) == 15


def test_conditional_parameters_are_drawn_independently():
    def objective(trial):
        kind = trial.suggest_categorical("kind", ["line", "curve"])
        power = trial.suggest_float("power", 1.0, 3.0) if kind == "curve" else 1.0
        x = trial.suggest_float("x", 0.0, 1.0)
        return x**power, (1 - x) ** power

    study = run(objective=objective, trials=30)
    assert {trial.params["kind"] for trial in study.trials} == {"line", "curve"}
    assert all(("power" in trial.params) == (trial.params["kind"] == "curve") for trial in study.trials)
    space = study.sampler.infer_relative_search_space(study, study.trials[-1])
    assert set(space) == {"kind", "x"}
    assert told(run(objective=objective, trials=30)) == told(study)


def test_a_proposal_in_flight_is_not_proposed_again():
    space = {"a": IntDistribution(0, 4), "b": CategoricalDistribution([0, 1])}
    study = run(objective=lambda t: (t.suggest_int("a", 0, 4), t.suggest_categorical("b", [0, 1])), trials=2, initial=2)
    asked = [study.ask(space) for _ in range(7)]
    seen = [tuple(sorted(trial.params.items())) for trial in study.trials]
    assert len(set(seen)) == 9
    assert [trial.state for trial in study.trials[2:]] == [TrialState.RUNNING] * len(asked)


def test_constraints_are_kept_as_optuna_keeps_them():
    def objective(trial):
        x, y = trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
        trial.set_user_attr("c", (0.6 - x, 0.4 - y))
        return x, y

    study = run(objective=objective, trials=45, constraints_func=lambda trial: trial.user_attrs["c"])
    assert all(trial.system_attrs["constraints"] == trial.user_attrs["c"] for trial in study.trials)
    late = study.trials[25:]
    inside = [t for t in late if max(t.user_attrs["c"]) <= 0]
    assert study.best_trials
    assert all(max(t.user_attrs["c"]) <= 0 for t in study.best_trials)
    assert len(inside) > 0.24 * len(late)  # what random sampling would give
    assert min(x + y for x, y in (t.values for t in inside)) < 1.1
    other = optuna.create_study(directions=BOTH, sampler=optuna.samplers.RandomSampler(seed=0))
    other.optimize(objective, n_trials=12)
    run(study=other, objective=objective, trials=3, constraints_func=lambda trial: trial.user_attrs["c"])
    assert len(other.trials) == 15


def test_an_inner_sampler_of_choice_and_other_seeds():
    study = run(trials=20, sampler=MutationSampler())
    assert told(study) != told(run(trials=20))
    sampler = LaMOOSampler(seed=0)
    sampler.reseed_rng()
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    study.optimize(mixed, n_trials=3)
    assert told(study) != told(run(trials=3))
    assert LaMOOSampler()._seed != LaMOOSampler()._seed


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (IntDistribution(1, 9, step=2), [1, 3, 5, 7, 9]),
        (IntDistribution(0, 1000), [0, 250, 500, 750, 1000]),
        (IntDistribution(1, 10000, log=True), [1, 10, 100, 1000, 10000]),
        (FloatDistribution(0.0, 1.0), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (FloatDistribution(1e-4, 1.0, log=True), [1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        (FloatDistribution(0.0, 0.9, step=0.3), [0.0, 0.3, 0.6, 0.9]),
        (FloatDistribution(0.0, 10.0, step=0.1), [0.0, 2.5, 5.0, 7.5, 10.0]),
    ],
)
def test_numbers_become_a_grid_by_a_stated_rule(distribution, values):
    from hwnas.optuna import _Grid

    grid = _Grid({"p": distribution}, points=5)
    found = [grid.values(np.array([code]))["p"] for code in range(grid.cardinalities[0])]
    assert found == pytest.approx(values)
    assert [grid.row({"p": value}) for value in found] == [(code,) for code in range(len(values))]
    assert grid.features(np.arange(len(values))[:, None])[[0, -1], 0].tolist() == [0.0, 1.0]
    assert grid.row({"p": distribution.high * 2}) is None
    assert grid.row({}) is None


def test_wrong_settings_are_refused_in_one_line():
    with pytest.raises(HwnasError) as caught:
        LaMOOSampler(seed=0, points=1)
    assert str(caught.value) == "LaMOOSampler: points must be 2 or more, got 1"


def test_hwnas_does_not_import_optuna_by_itself():
    code = "import sys, hwnas, search; hwnas.search; assert 'optuna' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("low", [1e-6, 1e-4, 1e-3, 1e-2])
def test_a_trial_at_the_lower_bound_of_a_logarithmic_range_is_learned_from(low):
    column = _Numbers(FloatDistribution(low, 1.0, log=True), 50)
    assert (column.code(low), column.code(1.0)) == (0, column.size - 1)
    assert column.code(low * 0.99) is None
