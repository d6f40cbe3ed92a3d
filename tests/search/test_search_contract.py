"""The contract of every strategy. A new strategy is one file in `search/strategies` and one line here."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from search_toys import advance, evaluate, large_problem, merge_mirror, price, toy_problem

from search import (
    ENUMERATION_LIMIT,
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
    "qehvi-hamming",
    "lamoo-hamming",
]
SLOW = ["qlognehvi", "qlognehvi-known"]
ALL = [*FAST, *SLOW]

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


@every_strategy
def test_same_seed_same_trials_and_another_seed_others(name):
    first = advance(study_of(name), 20).trials
    assert first == advance(study_of(name), 20).trials
    assert first != advance(study_of(name, seed=4), 20).trials


def test_the_initial_design_is_the_same_for_every_strategy():
    designs = {tuple(p.codes for p in study_of(name).ask()) for name in strategy_names() if not missing(name)}
    assert len(designs) == 1
    assert len(designs.pop()) == 6


@every_strategy
@pytest.mark.parametrize("features", [False, True])
def test_no_duplicates_and_no_violations(name, features):
    problem = toy_problem(upper=8.0, features=features)
    study = advance(study_of(name, problem), 40, fail_every=7)
    rows = np.array([t.codes for t in study.trials])
    assert len(rows) == 40
    assert (merge_mirror(rows) == rows).all()
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert (price(rows) <= 8.0).all()


@every_strategy
def test_resume_after_every_trial(name):
    budget = 18
    whole = advance(study_of(name), budget, fail_every=5, nan_every=8).trials
    assert sum(not t.ok for t in whole) == 6
    for cut in range(budget):
        restored = restore(name, whole[:cut])
        assert restored.trials == whole[:cut]
        assert advance(restored, budget, fail_every=5, nan_every=8).trials == whole


@every_strategy
def test_resume_with_results_out_of_order(name):
    """Within a batch in flight any subset may have finished."""
    budget = 15
    whole = advance(study_of(name), budget).trials
    finished = [*whole[:9], whole[10]]
    restored = restore(name, list(reversed(finished)))
    assert [p.number for p in restored.ask()] == [9, 11]
    assert [p.codes for p in restored.ask()] == [whole[9].codes, whole[11].codes]
    assert advance(restored, budget).trials == whole


@every_strategy
def test_state_survives_json(name):
    study = advance(study_of(name), 11, fail_every=4)
    state = json.loads(json.dumps(study.state()))
    again = Study.from_state(toy_problem(), make_strategy(name), state)
    assert again.trials == study.trials
    assert again.ask() == study.ask()
    assert again.state() == study.state()


@every_strategy
def test_a_small_space_is_exhausted_and_then_ask_is_empty(name):
    problem = toy_problem(upper=4.0)
    feasible = problem.domain.enumerate()
    feasible = feasible[price(feasible) <= 4.0]
    study = advance(study_of(name, problem), 1000)
    assert 20 < len(feasible) < 60
    assert {t.codes for t in study.trials} == {tuple(r) for r in feasible}
    assert len(study.trials) == len(feasible)
    assert study.ask() == []
    assert study.ask() == []


@every_strategy
def test_one_feasible_point(name):
    study = advance(study_of(name, toy_problem(upper=1.0)), 10)
    assert [t.codes for t in study.trials] == [(0, 0, 0, 0)]


@every_strategy
def test_no_feasible_point(name):
    assert study_of(name, toy_problem(upper=0.5)).ask() == []


@every_strategy
def test_all_values_equal(name):
    domain = Domain((3, 3, 3))
    problem = Problem(domain, (Objective("score", "max"), Objective("cost", "min")))
    study = study_of(name, problem)
    while len(study.trials) < 27:
        for p in study.ask():
            study.tell(p.number, {"score": 1.0, "cost": 2.0})
    assert len(study.front()) == 27


@every_strategy
def test_everything_fails(name):
    study = study_of(name)
    for _ in range(4):
        for p in study.ask():
            study.tell(p.number, failed="always")
    assert len(study.trials) == 6 + 3 * 3
    assert len({t.codes for t in study.trials}) == 15
    assert study.front() == ()


@every_strategy
def test_one_success_among_failures(name):
    study = study_of(name)
    for _ in range(3):
        for p in study.ask():
            if p.number == 2:
                study.tell(p.number, {"score": 1.0})
            else:
                study.tell(p.number, failed="mostly")
    assert [t.number for t in study.front()] == [2]


@every_strategy
def test_a_budget_below_the_initial_design(name):
    study = advance(study_of(name, initial=10), 4)
    assert [t.number for t in study.trials] == [0, 1, 2, 3]
    assert [p.number for p in study.ask()] == [4, 5, 6, 7, 8, 9]


@every_strategy
@pytest.mark.parametrize("m", [1, 3, 4])
def test_any_number_of_objectives(name, m):
    weights = np.random.default_rng(m).normal(size=(m, 4))

    def cost_function(k):
        return (lambda codes: codes @ weights[k]) if k else None

    objectives = tuple(Objective(f"y{k}", "max" if k % 3 else "min", cost_function=cost_function(k)) for k in range(m))
    study = study_of(name, Problem(Domain((3, 4, 2, 5)), objectives))
    while len(study.trials) < 24:
        for p in study.ask():
            study.tell(p.number, {f"y{k}": float(np.array(p.codes) @ weights[k]) for k in range(m)})
    assert len({t.codes for t in study.trials}) == 24


@pytest.mark.parametrize("name", strategies(["lamoo", "lamoo-qehvi", "qehvi", *SLOW]))
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


@pytest.mark.parametrize("name", strategies(SLOW))
def test_costly_strategies_repeat_resume_and_keep_the_rules(name):
    """The contract in short, for strategies whose batches take seconds."""
    problem = toy_problem(upper=8.0)
    whole = advance(study_of(name, problem), 12, fail_every=7).trials
    rows = np.array([t.codes for t in whole])
    assert (merge_mirror(rows) == rows).all()
    assert len(np.unique(rows, axis=0)) == len(rows) == 12
    assert (price(rows) <= 8.0).all()
    restored = restore(name, whole[:10], problem)
    assert advance(restored, 12, fail_every=7).trials == whole


@every_strategy
def test_expensive_constraints_are_told_and_kept_from_the_front(name):
    problem = Problem(
        Domain((3, 4, 2, 5)),
        (Objective("score", "max"), Objective("price", "min", cost_function=price)),
        (Constraint("memory", None, 3.0),),
    )
    study = study_of(name, problem)
    while len(study.trials) < 24:
        for p in study.ask():
            values = evaluate(p)
            study.tell(p.number, {**values, "memory": float(sum(p.codes)) - 1.0})
    feasible = [t for t in study.trials if sum(t.codes) <= 4]
    assert 0 < len(feasible) < 24
    assert all(t.values["memory"] == sum(t.codes) - 1.0 for t in study.trials)
    assert {t.number for t in study.front()} <= {t.number for t in feasible}
    assert [t.number for t in study.context().successful] == [t.number for t in feasible]
    with pytest.raises(TellError, match="the value of 'memory' is missing"):
        study.tell(study.ask()[0].number, {"score": 1.0})


@every_strategy
def test_a_domain_of_single_values(name):
    study = study_of(name, Problem(Domain((1, 1)), (Objective("score", "max"),)))
    (only,) = study.ask()
    study.tell(only.number, {"score": 0.0})
    assert study.ask() == []


@every_strategy
def test_large_domains_are_searched_without_enumeration(name):
    problem = large_problem(upper=30.0)
    assert problem.domain.size == 4**30
    study = advance(study_of(name, problem), 24, fail_every=6)
    rows = np.array([t.codes for t in study.trials])
    assert len(np.unique(rows, axis=0)) == 24
    assert (problem.admissible(rows)).all()
    assert restore(name, study.trials[:20], problem).ask()[0].codes == study.trials[20].codes


@every_strategy
def test_a_large_domain_with_few_feasible_points_is_exhausted(name):
    def total(codes):
        assert len(codes) > 0
        return codes.sum(axis=1) * 1.0

    def features(codes):
        assert len(codes) > 0
        return codes * 1.0

    domain = Domain((10,) * 6, features=features)
    objectives = (Objective("score", "max"), Objective("total", "min", cost_function=total))
    study = study_of(name, Problem(domain, objectives, (Constraint("total", total, 1.0),)))
    assert domain.size > ENUMERATION_LIMIT
    advance(study, 100)
    assert sorted(sum(t.codes) for t in study.trials) == [0, 1, 1, 1, 1, 1, 1]
    assert study.ask() == []


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
