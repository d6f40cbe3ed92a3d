"""Proposals from trials that somebody else proposed."""

import numpy as np
import pytest

from search import Advisor, Constraint, Domain, Objective, Problem, Suggestion, Trial, hypervolume, make_strategy
from search.lamoo import LaMOO, RandomSampler, ScalarSampler
from search.models import GaussianProcess

CARDINALITIES = (8, 8, 8)


def problem(objectives=2):
    def features(codes):
        return codes / 7.0

    names = [Objective(f"f{i}", "max") for i in range(objectives)]
    return Problem(Domain(CARDINALITIES, features=features), tuple(names))


def values(row, objectives=2):
    x = np.array(row) / 7.0
    found = [-float(((x - goal) ** 2).sum()) for goal in (0.2, 0.8, 0.5)]
    return {f"f{i}": found[i] for i in range(objectives)}


def loop(strategy, seed, trials=40, objectives=2, **settings):
    advisor, done = Advisor(problem(objectives), **settings), []
    for number in range(trials):
        rng = np.random.default_rng([seed, number])
        (row,) = advisor.propose(strategy, done, 1, rng)
        done.append(Trial(number, tuple(row.tolist()), values(row, objectives)))
    return done


def volume(trials):
    return hypervolume(np.array([list(trial.values.values()) for trial in trials]), np.full(2, -1.5))


def scalar(hedge=0.4):
    return LaMOO(ScalarSampler(GaussianProcess("encodings", relevance=0.3), hedge=hedge))


@pytest.mark.parametrize("hedge", [0.0, 0.4, 1.0])
def test_trade_offs_beat_random_candidates_of_the_same_regions(hedge):
    ours = [volume(loop(scalar(hedge), seed)) for seed in range(3)]
    others = [volume(loop(LaMOO(RandomSampler()), seed)) for seed in range(3)]
    assert all(a > b for a, b in zip(ours, others, strict=True))


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_nothing_is_proposed_twice_and_the_seed_decides(objectives):
    trials = loop(scalar(), 0, trials=25, objectives=objectives)
    assert len({trial.codes for trial in trials}) == 25
    assert loop(scalar(), 0, trials=25, objectives=objectives) == trials


def test_failed_trials_are_not_proposed_again_and_do_not_count_as_first_ones():
    advisor = Advisor(problem(), initial=3)
    failed = [Trial(i, (i, 0, 0), failed="no") for i in range(8)]
    asked = []

    class Spy:
        name = "spy"

        def propose(self, context, n, rng):
            asked.append(context.batches.tolist())
            return make_strategy("random").propose(context, n, rng)

    good = [Trial(10 + i, (i, 1, 1), values((i, 1, 1))) for i in range(5)]
    for done in (failed + good[:2], failed + good):
        rows = advisor.propose(Spy(), done, 400, np.random.default_rng(0)).tolist()
        assert not {tuple(row) for row in rows} & {trial.codes for trial in done}
    assert asked == [[0, 0, 0, 1, 1]]


def test_when_nothing_is_left_nothing_is_proposed():
    small = Problem(Domain((2, 2)), (Objective("f0", "max"),))
    done = [Trial(i, (i // 2, i % 2), {"f0": float(i)}) for i in range(4)]
    assert len(Advisor(small, initial=2).propose(scalar(), done, 3, np.random.default_rng(0))) == 0
    assert len(Advisor(small, initial=2).propose(scalar(), done[:2], 3, np.random.default_rng(0))) == 2


def test_trials_over_an_exact_budget_are_no_front_and_no_network_is_proposed_twice():
    class Look:
        name = "look"

        def propose(self, context, n, rng):
            self.context = context
            return Suggestion(context.codes[:0])

    def cost(codes):
        return codes.sum(axis=1) + 1.0

    domain = Domain((4, 4), canonical=lambda codes: np.sort(codes, axis=1))
    bounded = Problem(domain, (Objective("a", "max"), Objective("cost", "min", cost)), (Constraint("cost", cost, 3.0),))
    rows = [(0, 0), (3, 3), (1, 0)]
    trials = [Trial(i, row, {"a": float(sum(row)), "cost": sum(row) + 1.0}) for i, row in enumerate(rows)]
    look = Look()
    proposed = Advisor(bounded, initial=2).propose(look, trials, 9, np.random.default_rng(0))
    assert look.context.codes.tolist() == [[0, 0], [0, 1]]
    assert sorted(map(tuple, proposed.tolist())) == [(0, 2), (1, 1)]  # within the budget, and not tried as (1, 0)
