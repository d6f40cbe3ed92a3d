"""The contract of every strategy. A new strategy is one file in `search/strategies` and one line here."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from search_toys import advance, evaluate, large_problem, price, toy_problem

from hwnas.testing import check_strategy
from hwnas.testing._leaf_samplers import check_choices
from hwnas.testing._strategies import STRATEGY_CHECKS
from search import (
    STRATEGIES,
    Constraint,
    Domain,
    Objective,
    Problem,
    RestoreError,
    SearchError,
    Study,
    TellError,
    Trial,
    make_strategy,
    strategy_names,
)
from search.lamoo._make_sampler import LEAF_SAMPLERS, make_leaf_sampler
from search.models import MODELS, make_model

FAST = [
    "lamoo-random",
    "lamoo-mutation",
    "lamoo-faithful",
    "lamoo-cmaes",
    "random",
    "mutation",
    "cmaes",
    "nsga2",
    "nsga3",
    "moead",
    "tpe",
    "optuna-nsga2",
    "lamoo",
    "lamoo-qehvi",
    "qehvi",
    "qehvi-learned",
    "lamoo-cheap",
    "lamoo-low-fidelity",
    "qehvi-hamming",
    "lamoo-hamming",
    "smem",
    "controller",
    "parego",
    "parego-learned",
    "mobopt",
]
SLOW = ["qlognehvi", "qlognehvi-known"]
MODEL_BASED = ["lamoo", "lamoo-qehvi", "qehvi", "smem", "controller", "parego", "mobopt"]
BRIEF = ["smem-single", "smem-regression", "smem-svc"]
ALL = [*FAST, *SLOW, *BRIEF]

PACKAGES = {"cmaes": "cmaes", "lamoo-cmaes": "cmaes", "tpe": "optuna", "optuna-nsga2": "optuna"}
PACKAGES |= dict.fromkeys(("nsga2", "nsga3", "moead"), "pymoo") | dict.fromkeys(SLOW, "botorch")


def strategies(names):
    """The names as parameters, skipped where their package is not installed."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(missing(name), reason=f"needs {PACKAGES.get(name)}"))
        for name in names
    ]


def missing(name: str) -> bool:
    return name in PACKAGES and find_spec(PACKAGES[name]) is None


every_strategy = pytest.mark.parametrize("name", strategies(FAST))


def study_of(name: str, problem: Problem | None = None, seed: int = 3, **sizes: int) -> Study:
    sizes = {"initial": 6, "batch": 3, **sizes}
    return Study(problem or toy_problem(), make_strategy(name), seed=seed, **sizes)


def restore(name: str, trials, problem: Problem | None = None, seed: int = 3) -> Study:
    return Study.restore(problem or toy_problem(), make_strategy(name), seed=seed, trials=trials, initial=6, batch=3)


def test_the_contract_covers_the_registry():
    assert sorted(ALL) == sorted(strategy_names())
    assert set(STRATEGIES) <= set(ALL)


@pytest.mark.parametrize("name", strategies(ALL))
def test_names_agree(name):
    assert make_strategy(name).name == name


@pytest.mark.slow
@every_strategy
@pytest.mark.parametrize("check", STRATEGY_CHECKS, ids=lambda check: check.__name__)
def test_contract(check, name):
    check(lambda: make_strategy(name))


@pytest.mark.parametrize("name", LEAF_SAMPLERS)
def test_leaf_samplers_choose_inside_their_region(name):
    if name == "cmaes":
        pytest.importorskip("cmaes")
    check_choices(lambda: make_leaf_sampler(name, make_model(MODELS[0]), hedge=0.0))


@pytest.mark.parametrize("name", strategies([*SLOW, *BRIEF]))
def test_contract_in_short(name):
    check_strategy(lambda: make_strategy(name), costly=True)


def test_the_initial_design_is_the_same_for_every_strategy():
    designs = {tuple(p.codes for p in study_of(name).ask()) for name in strategy_names() if not missing(name)}
    assert len(designs) == 1
    assert len(designs.pop()) == 6


@pytest.mark.parametrize("name", strategies([*MODEL_BASED, *SLOW]))
@pytest.mark.parametrize("expensive", [0, 2])
def test_model_based_strategies_with_no_or_several_expensive_objectives(name, expensive):
    if expensive > 1:
        pytest.importorskip("botorch")
    weights = np.random.default_rng(0).normal(size=(2, 4))

    def cost_function(k):
        return (lambda codes: codes @ weights[k]) if k >= expensive else None

    objectives = tuple(Objective(f"y{k}", "max", cost_function=cost_function(k)) for k in range(2))
    problem = Problem(Domain((3, 4, 2, 5)), objectives)
    study = study_of(name, problem)
    while len(study.trials) < 9:
        for p in study.ask():
            study.tell(p.number, {f"y{k}": float(np.array(p.codes) @ weights[k]) for k in range(2)})
    assert len({t.codes for t in study.trials}) == 9


def test_hardly_feasible_large_domains_are_still_entered():
    """Fewer than one row in 10^13 keeps the bound, which rejection alone would never find."""
    problem = large_problem(upper=4.0)
    study = study_of("random", problem)
    proposals = study.ask()
    assert len(proposals) == 6
    assert problem.admissible(np.array([p.codes for p in proposals])).all()


def test_tell_refuses_what_does_not_fit():
    study = study_of("random")
    first = study.ask()[0]
    with pytest.raises(TellError, match="not in flight"):
        study.tell(99, {"score": 1.0})
    with pytest.raises(TellError, match="either"):
        study.tell(first.number)
    with pytest.raises(TellError, match="either"):
        study.tell(first.number, {"score": 1.0}, failed="both")
    with pytest.raises(TellError, match="the value of 'score' is missing"):
        study.tell(first.number, {})
    with pytest.raises(TellError, match="unknown objective 'speed'"):
        study.tell(first.number, {"score": 1.0, "speed": 1.0})
    with pytest.raises(TellError, match=r"price must be .* by its cost function"):
        study.tell(first.number, {"score": 1.0, "price": first.known_values["price"] + 1})
    told = study.tell(first.number, {"score": 1.0, "price": first.known_values["price"]})
    assert told.values == {"score": 1.0, "price": first.known_values["price"]}
    with pytest.raises(TellError, match="not in flight"):
        study.tell(first.number, {"score": 1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_fail_the_trial(value):
    study = study_of("random")
    trial = study.tell(study.ask()[0].number, {"score": value})
    assert not trial.ok
    assert "score is" in str(trial.failed)
    assert trial.values == {}


def test_restore_refuses_another_seed_strategy_problem_or_a_gap():
    trials = advance(study_of("mutation"), 15).trials
    with pytest.raises(RestoreError, match="seed 4"):
        restore("mutation", trials, seed=4)
    with pytest.raises(RestoreError, match="'random'"):
        restore("random", trials)
    with pytest.raises(RestoreError, match="trial"):
        restore("mutation", trials, toy_problem(upper=6.0))
    with pytest.raises(RestoreError, match="gap"):
        restore("mutation", [*trials[:3], *trials[6:]])
    with pytest.raises(RestoreError, match="trial 2 is in the journal twice"):
        restore("mutation", [*trials[:3], trials[2]])
    changed = Trial(1, trials[1].codes, {**trials[1].values, "price": 0.125})
    with pytest.raises(RestoreError, match="does not match the problem"):
        restore("mutation", [trials[0], changed])
    with pytest.raises(RestoreError, match="version"):
        Study.from_state(toy_problem(), make_strategy("random"), {"version": 0})
    state = study_of("random").state()
    with pytest.raises(RestoreError, match="must be from strategy 'nsga2', got 'random'"):
        Study.from_state(toy_problem(), make_strategy("nsga2"), state)
    with pytest.raises(RestoreError, match="cannot read a trial"):
        Study.from_state(toy_problem(), make_strategy("random"), {**state, "trials": [{"number": 1}]})


def test_errors_name_the_choice():
    with pytest.raises(SearchError, match="unknown strategy 'bogus'; choose from"):
        make_strategy("bogus")
    with pytest.raises(SearchError):
        Study(toy_problem(), make_strategy("random"), seed=-1)
    with pytest.raises(SearchError):
        Study(toy_problem(), make_strategy("random"), seed=0, batch=0)


def test_proposals_carry_known_objectives():
    for proposal in study_of("random").ask():
        assert proposal.known_values == {"price": float(price(np.array([proposal.codes]))[0])}
        assert evaluate(proposal) is not None


def test_a_bad_constraint_bound_is_not_a_crash():
    problem = Problem(
        Domain((4, 4)),
        (Objective("score", "max"),),
        (Constraint("c", lambda c: c[:, 0] * 1.0, float("nan")),),
    )
    assert study_of("random", problem).ask() == []
