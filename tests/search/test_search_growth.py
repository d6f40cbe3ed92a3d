"""What a trial costs does not depend on those before it, and what is kept for that changes no proposal."""

import numpy as np
import pytest
from search_toys import advance, evaluate, large_problem, toy_problem

from search import Standing, Study, dominance_numbers, make_strategy, nondominated
from search._context import Context
from search._history import History


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_front_is_what_no_point_dominates(objectives):
    rng = np.random.default_rng(objectives)
    for size in [0, 1, 2, *rng.integers(2, 300, size=40)]:
        coarse = rng.integers(0, 6, size=(size, objectives)).astype(float)  # many equals
        for points in (coarse, rng.normal(size=(size, objectives))):
            assert (nondominated(points) == (dominance_numbers(points) == 0)).all()


@pytest.mark.parametrize("strategy", ["nsga2", "nsga3", "moead"])
def test_what_a_strategy_keeps_changes_no_proposal(strategy):
    kept = advance(Study(toy_problem(), make_strategy(strategy), seed=3), 60)
    fresh = Study(toy_problem(), make_strategy(strategy), seed=3)
    while len(fresh.trials) < len(kept.trials) and (proposals := fresh.ask()):
        fresh.strategy = make_strategy(strategy)
        for proposal in proposals:
            fresh.tell(proposal.number, evaluate(proposal))
    assert kept.trials == fresh.trials


def test_what_a_strategy_keeps_of_one_study_is_not_used_for_another():
    strategy = make_strategy("nsga2")
    advance(Study(toy_problem(), strategy, seed=1), 40)
    used = advance(Study(toy_problem(), strategy, seed=2), 40)
    assert used.trials == advance(Study(toy_problem(), make_strategy("nsga2"), seed=2), 40).trials


def test_a_batch_takes_in_its_own_trials_alone(monkeypatch):
    taken, add = [], History.add

    def counted(self, trials, batches):
        taken.append(len(trials))
        add(self, trials, batches)

    monkeypatch.setattr(History, "add", counted)
    study = advance(Study(large_problem(), make_strategy("random"), seed=0), 410)
    assert sum(taken) == len(study.trials) >= 410
    assert max(taken) == 10


def test_a_context_stays_as_it_was():
    study = advance(Study(large_problem(), make_strategy("random"), seed=0), 20)
    context = study.context()
    trials, seen = study.trials, set(context.seen)
    advance(study, 80)
    assert context.trials == trials
    assert len(context.codes) == len(context.successful) == len(context.values) == len(context.batches) == 20
    assert set(context.seen) == seen
    assert len(context.seen) == 20
    assert not any(key in context.seen for key in set(study.context().seen) - seen)
    with pytest.raises(ValueError, match="read-only"):
        context.values[0, 0] = 1.0


def test_the_standing_of_a_study_is_that_of_its_context():
    study = Study(toy_problem(), make_strategy("random"), seed=4)
    standing = Standing(study)
    assert (standing.best, len(standing.front), standing.full) == (None, 0, 0)
    while len(study.trials) < 60 and (proposals := study.ask()):
        for proposal in proposals:
            values = evaluate(proposal, fail_every=7)
            study.tell(proposal.number, values, failed=None if values else "no")
            standing.update()
            context = study.context()
            assert standing.full == len(study.trials)
            if context.successful:
                front = context.values[nondominated(context.values * study.problem.signs)]
                assert set(map(tuple, standing.front)) == set(map(tuple, front))
                assert standing.best == context.values[:, 0].max()


def test_a_status_looks_at_new_trials_alone(monkeypatch):
    study = advance(Study(large_problem(), make_strategy("random"), seed=0), 200)
    standing = Standing(study)
    front = standing.front
    monkeypatch.setattr(Context, "of", lambda *a: pytest.fail("all trials were looked at"))
    standing.update()
    assert (standing.front == front).all()


def test_a_standing_counts_each_trial_once_however_they_are_told():
    study = Study(toy_problem(), make_strategy("random"), seed=4)
    standing = Standing(study)
    rng = np.random.default_rng(0)
    for _ in range(6):
        proposals = study.ask()
        for i in rng.permutation(len(proposals)):
            study.tell(proposals[i].number, evaluate(proposals[i]))
            if rng.random() < 0.7:
                standing.update()
    standing.update()
    values = study.context().values
    assert standing.full == len(study.trials)
    assert standing.best == values[:, 0].max()
    front = values[nondominated(values * study.problem.signs)]
    assert set(map(tuple, standing.front)) == set(map(tuple, front))


def test_nsga3_proposes_the_same_with_what_it_has_kept_and_without():
    def proposals(fresh):
        strategy, seen = make_strategy("nsga3"), []
        study = Study(large_problem(), strategy, seed=1)
        for _ in range(12):
            if fresh:
                study.strategy = make_strategy("nsga3")
            batch = study.ask()
            seen.append([one.codes for one in batch])
            for proposal in batch:
                study.tell(proposal.number, evaluate(proposal))
        return seen

    assert proposals(fresh=True) == proposals(fresh=False)


@pytest.mark.parametrize(("upper", "size"), [(None, 38), (30.0, 10)])
def test_a_first_batch_holds_what_the_constraints_admit_and_the_strategy_goes_on(upper, size):
    problem = large_problem(upper=upper)
    first = np.random.default_rng(0).integers(0, 4, (40, 30))
    first[:3, 1:] = 0  # cheap ones
    study = Study(problem, make_strategy("random"), seed=0, initial=10, batch=5, first=first)
    batch = study.ask()
    rows = problem.domain.canonical(first)
    admitted = [tuple(row) for row in rows[problem.admissible(rows)].tolist()]
    admitted = list(dict.fromkeys(admitted))
    assert len(batch) == max(size, len(admitted))
    assert [one.codes for one in batch[: len(admitted)]] == admitted
    for proposal in batch:
        study.tell(proposal.number, evaluate(proposal))
    assert len(study.ask()) == 5
    again = Study.from_state(problem, make_strategy("random"), study.state())
    assert [one.codes for one in again.ask()] == [one.codes for one in study.ask()]
