from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_toys import CARDS, merge_mirror, price, toy_problem

from search import Constraint, Domain, Objective, Problem, ProblemError, SearchError, Study, Suggestion

CARDINALITIES = st.lists(st.integers(1, 6), min_size=1, max_size=8).map(tuple)


@given(CARDINALITIES, st.integers(0, 99))
def test_one_hot_has_one_one_per_choice_and_is_injective(cards, seed):
    domain = Domain(cards)
    codes = domain.random(20, np.random.default_rng(seed))
    hot = domain.one_hot(codes)
    assert hot.shape == (20, sum(cards))
    start = 0
    for column, card in enumerate(cards):
        assert (hot[:, start : start + card].argmax(axis=1) == codes[:, column]).all()
        start += card
    assert (hot.sum(axis=1) == len(cards)).all()


@given(CARDINALITIES, st.integers(0, 99))
def test_neighbours_are_all_rows_at_distance_one(cards, seed):
    domain = Domain(cards)
    code = domain.random(1, np.random.default_rng(seed))[0]
    near = domain.neighbours(code)
    assert len(near) == sum(cards) - len(cards)
    assert len(np.unique(near, axis=0)) == len(near)
    assert ((near != code).sum(axis=1) == 1).all()
    domain.check(near)


@given(CARDINALITIES, st.integers(0, 99))
def test_mutation_changes_exactly_one_choice_where_there_is_one(cards, seed):
    domain = Domain(cards)
    rng = np.random.default_rng(seed)
    codes = domain.random(30, rng)
    mutated = domain.check(domain.mutate(codes, rng))
    assert ((mutated != codes).sum(axis=1) == (1 if max(cards) > 1 else 0)).all()


def test_mutation_reaches_every_neighbour():
    domain = Domain(CARDS)
    code = np.array([0, 1, 1, 4])
    mutated = domain.mutate(np.repeat(code[None], 800, axis=0), np.random.default_rng(0))
    assert {tuple(r) for r in mutated} == {tuple(r) for r in domain.neighbours(code)}


def test_size_is_exact_beyond_64_bits():
    assert Domain((7,) * 30).size == 7**30


def test_enumeration_lists_every_class_once():
    rows = Domain(CARDS, canonical=merge_mirror).enumerate()
    assert len(rows) == 4 * 5 + 2 * 4 * 2 * 5
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert (merge_mirror(rows) == rows).all()
    with pytest.raises(ProblemError, match="too large to enumerate"):
        Domain((10,) * 10).enumerate()


@pytest.mark.parametrize("bad", [(), (3, 0), (2, -1)])
def test_bad_cardinalities_are_refused(bad):
    with pytest.raises(ProblemError):
        Domain(bad)


@pytest.mark.parametrize("bad", [[[0, 0, 0]], [[0, 0, 0, 5]], [[-1, 0, 0, 0]], [0, 0, 0, 0]])
def test_bad_codes_are_refused(bad):
    with pytest.raises(ProblemError):
        Domain(CARDS).check(np.array(bad))


@pytest.mark.parametrize(
    "keys",
    [
        {"direction": "up"},
        {"direction": "max", "worst": 1.0},
        {"direction": "max", "worst": 1.0, "best": 0.0},
        {"direction": "min", "worst": 1.0, "best": 2.0},
        {"direction": "min", "worst": float("inf"), "best": 2.0},
    ],
)
def test_bad_objectives_are_refused(keys):
    with pytest.raises(ProblemError):
        Objective("x", **keys)


def test_bad_problems_are_refused():
    domain = Domain((2,))
    with pytest.raises(ProblemError, match="at least one"):
        Problem(domain, ())
    with pytest.raises(ProblemError, match="differ"):
        Problem(domain, (Objective("x", "max"), Objective("x", "min")))


def test_violation_is_the_relative_excess_and_nan_is_never_admissible():
    def odd_is_unknown(codes):
        return np.where(codes[:, 0] % 2 == 1, np.nan, codes[:, 0].astype(float))

    domain = Domain((6,))
    codes = np.arange(6)[:, None]
    problem = Problem(domain, (Objective("y", "max"),), (Constraint("c", odd_is_unknown, 2.0),))
    assert problem.violation(codes).tolist() == [0.0, np.inf, 0.0, np.inf, 1.0, np.inf]
    assert problem.admissible(codes).tolist() == [True, False, True, False, False, False]
    unpriced = Problem(domain, (Objective("c", "min", cost_function=odd_is_unknown),))
    assert unpriced.admissible(codes).tolist() == [True, False] * 3


def test_known_values_leave_expensive_columns_empty():
    problem = toy_problem()
    codes = problem.domain.enumerate()
    values = problem.known_values(codes)
    assert np.isnan(values[:, 0]).all()
    assert (values[:, 1] == price(codes)).all()
    assert problem.expensive == (0,)


def test_a_small_domain_may_have_more_choices_than_numpy_has_axes():
    domain = Domain((1,) * 66 + (3, 1, 3))
    rows = domain.enumerate()
    assert rows.shape == (9, 69)
    assert sorted(map(tuple, rows[:, [66, 68]].tolist())) == [(i, j) for i in range(3) for j in range(3)]
    assert Domain((1, 1)).enumerate().tolist() == [[0, 0]]


def test_costs_on_a_logarithmic_scale_are_positive():
    def cost(codes):
        return codes.sum(axis=1) * 1.0

    for worst, best in ((10.0, 0.0), (0.0, -1.0)):
        with pytest.raises(ProblemError, match="log needs a cost function with positive values"):
            Objective("c", "min", cost, worst=worst, best=best, log=True)
    problem = Problem(Domain((4, 4)), (Objective("a", "max"), Objective("c", "min", cost, log=True)))
    assert problem.admissible(np.array([[0, 0], [0, 1]])).tolist() == [False, True]


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e200])
def test_features_that_are_no_usable_numbers_are_named(value):
    def features(codes):
        table = codes.astype(float)
        table[codes[:, 0] == 1, 1] = value
        return table

    domain = Domain((2, 3), features=features)
    assert domain.encode(np.array([[0, 2]])).tolist() == [[0.0, 2.0]]
    with pytest.raises(ProblemError, match=r"features must be numbers .*in column 1 of codes \[1, 2\]"):
        domain.encode(np.array([[0, 0], [1, 2]]))


def test_what_is_no_suggestion_is_one_line_and_an_empty_one_is_none():
    class Forgets:
        name = "mine"

        def __init__(self, returned):
            self.returned = returned

        def propose(self, context, n, rng):
            return self.returned

    problem = Problem(Domain((3, 3)), (Objective("a", "max"),))
    for returned in (None, Suggestion([])):
        study = Study(problem, Forgets(returned), batch=2, initial=3, seed=0)
        for proposal in study.ask():
            study.tell(proposal.number, {"a": 1.0})
        if returned is None:
            with pytest.raises(
                SearchError, match=r"strategy mine: propose must return a search\.Suggestion, got NoneType"
            ):
                study.ask()
        else:
            assert len(study.ask()) == 2  # random ones
