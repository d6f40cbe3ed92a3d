"""Studies whose budget changes on the way: who counts, what is proposed, and exact resumption."""

import json
from dataclasses import replace

import numpy as np
import pytest
from search_toys import evaluate, large_problem, price, toy_problem

from search import Constraint, Domain, Objective, Problem, ProblemError, RestoreError, Study, make_strategy

FIRST, TIGHT, WIDE = (toy_problem(upper=upper) for upper in (9.0, 5.0, 11.0))


def advance(study, budget):
    while len(study.trials) < budget and (proposals := study.ask()):
        for proposal in proposals[: budget - len(study.trials)]:
            study.tell(proposal.number, evaluate(proposal))
    return study


def begun(name, problem=FIRST, trials=11):
    return advance(Study(problem, make_strategy(name), seed=3, initial=6, batch=3), trials)


def restored(name, trials, earlier, problem):
    strategy = make_strategy(name)
    return Study.restore(problem, strategy, seed=3, trials=trials, initial=6, batch=3, earlier=earlier)


@pytest.mark.parametrize("name", ["lamoo", "random", "nsga2", "mutation"])
def test_a_tighter_budget_binds_from_then_on_and_on_the_front(name):
    study = begun(name)
    study.change(TIGHT)
    advance(study, 20)
    assert [trial.number for trial in study.trials] == list(range(20))
    assert all(trial.values["price"] <= 5 for trial in study.trials[11:])
    assert any(trial.values["price"] > 5 for trial in study.trials[:11])
    assert all(trial.values["price"] <= 5 for trial in study.front())
    assert {trial.number for trial in study.context().outside} == {
        trial.number for trial in study.trials if trial.values["price"] > 5
    }
    assert len({trial.codes for trial in study.trials}) == 20


@pytest.mark.parametrize("name", ["lamoo", "random", "nsga2"])
def test_resume_is_exact_at_every_trial_and_after_several_changes(name):
    study = begun(name, trials=8)
    study.change(TIGHT)
    advance(study, 13)
    study.change(WIDE)
    whole = advance(study, 20).trials
    phases = [(8, FIRST), (13, TIGHT)]
    for cut in range(13, 21):
        assert advance(restored(name, whole[:cut], phases, WIDE), 20).trials == whole
    for cut in range(8, 14):
        assert advance(restored(name, whole[:cut], phases[:1], TIGHT), 13).trials == whole[:13]


def test_proposals_in_flight_are_dropped_and_an_unopened_batch_makes_no_difference():
    asked, not_asked = begun("random", trials=9), begun("random", trials=9)
    assert len(asked.ask()) == 3
    for study in (asked, not_asked):
        study.change(TIGHT)
        assert study.pending == ()
    assert asked.ask() == not_asked.ask()
    assert asked.ask()[0].number == 9


def test_a_budget_that_few_trials_meet_begins_with_a_design_of_its_own():
    study = begun("lamoo", large_problem(upper=60.0), trials=7)
    study.change(large_problem(upper=12.0))
    proposals = study.ask()
    assert len(study.context().codes) == 0
    assert len(proposals) == 6
    assert study.front() == ()


def test_the_state_of_a_changed_study_needs_its_earlier_problems():
    study = begun("mutation")
    study.change(TIGHT)
    advance(study, 14)
    state = study.state()
    again = Study.from_state(TIGHT, make_strategy("mutation"), state, earlier=[FIRST])
    assert again.state() == state
    assert advance(again, 20).trials == advance(study, 20).trials
    with pytest.raises(RestoreError, match="the problem changed 1 times; `earlier` must hold 1 problems, got 0"):
        Study.from_state(TIGHT, make_strategy("mutation"), state)


def test_restoring_with_other_changes_is_refused():
    study = begun("mutation")
    study.change(TIGHT)
    trials = advance(study, 17).trials
    with pytest.raises(RestoreError, match="restore with the journal's settings"):
        restored("mutation", trials, [], FIRST)
    with pytest.raises(RestoreError, match="restore with the journal's settings"):
        restored("mutation", trials, [(9, FIRST)], TIGHT)


def test_another_domain_is_refused():
    with pytest.raises(ProblemError, match="must have the same domain and objectives"):
        begun("random").change(large_problem())


def test_models_learn_from_what_a_tighter_budget_leaves_out():
    from search.bayes import training_rows

    study = begun("lamoo")
    study.change(TIGHT)
    context = study.context()
    codes, values = training_rows(context, 0)
    assert len(codes) == len(values) == len(context.trials) == 11
    assert (price(codes[len(context.codes) :]) > 5).all()


def test_trials_without_a_value_for_a_new_measured_constraint_are_not_known_to_keep_it():
    study = begun("lamoo")
    study.change(replace(FIRST, constraints=(*FIRST.constraints, Constraint("watts", None, 5.0))))
    assert not study.front()
    told = {
        proposal.number: study.tell(proposal.number, {**evaluate(proposal), "watts": 1.0}) for proposal in study.ask()
    }
    assert {trial.number for trial in study.front()} <= set(told)
    assert study.front()


@pytest.mark.parametrize("seed", range(4))
def test_a_later_budget_that_leaves_little_of_the_first_batch_hides_no_network_of_the_front(seed):
    domain = Domain((6, 6, 6))
    objectives = (
        Objective("accuracy", "max", ceiling=100.0),
        Objective("latency", "min", cost_function=lambda codes: 1.0 + codes[:, 0] + codes[:, 1]),
    )

    def size(codes):
        return 1.0 + codes[:, 2] + codes[:, 0] * 0.5

    def tell(study, trials):
        while len(study.trials) < trials and (proposals := study.ask()):
            for p in proposals:
                study.tell(p.number, {"accuracy": 60.0 + 3 * p.codes[0] + 1.5 * p.codes[1] + 0.5 * p.codes[2]})

    study = Study(Problem(domain, objectives), make_strategy("lamoo"), seed=seed)
    tell(study, 10)
    sizes = np.sort(size(np.array([trial.codes for trial in study.trials])))
    study.change(Problem(domain, objectives, (Constraint("size", size, float(sizes[1])),)))
    tell(study, 40)
    context = study.context()
    hidden = (context.points <= context.reference).any(axis=1) & context.front
    assert hidden.sum() <= 1
    assert context.front.sum() >= 4


def test_a_study_that_begins_with_no_rows_of_its_own_is_restored():
    problem = Problem(Domain((2, 3)), (Objective("score", "max"),))
    study = Study(problem, make_strategy("random"), seed=0, first=np.empty((0, 2), dtype=np.int64))
    again = Study.from_state(problem, make_strategy("random"), json.loads(json.dumps(study.state())))
    assert again.ask() == study.ask()
