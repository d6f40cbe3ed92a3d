import numpy as np
import pytest

from search import Constraint, Domain, Objective, Problem, ProblemError, Study, Trial, make_strategy
from search._context import Normaliser


def price(codes):
    return 10.0 ** codes.sum(axis=1)


def make_problem(**changes):
    objectives = (
        Objective("score", "max", worst=0.0, best=1.0),
        Objective("price", "min", cost_function=price, worst=1e6, best=1.0, log=True),
    )
    return Problem(Domain((3, 3, 3)), objectives, **changes)


def test_equal_ratios_are_worth_the_same_on_a_logarithmic_scale():
    trials = [
        Trial(i, codes, {"score": 0.5, "price": 10.0 ** sum(codes)}) for i, codes in enumerate([(0, 0, 0), (1, 1, 1)])
    ]
    study = Study.restore(
        make_problem(anchors=((0, 0, 0), (1, 1, 1))), make_strategy("random"), seed=0, initial=2, trials=trials
    )
    np.testing.assert_allclose(study.context().points, [[0.5, 1.0], [0.5, 0.5]])
    assert study.context().hypervolume == pytest.approx(0.5)


def test_log_is_refused_where_it_means_nothing():
    with pytest.raises(ProblemError, match="log needs a cost function with positive values"):
        Objective("score", "max", log=True)
    with pytest.raises(ProblemError, match="log needs a cost function with positive values"):
        Objective("price", "min", cost_function=price, worst=1.0, best=-1.0, log=True)


@pytest.mark.parametrize("name", ["random", "lamoo", "nsga2"])
def test_anchors_come_first_where_they_are_admissible(name):
    constraint = Constraint("price", price, upper=1e4)
    problem = make_problem(anchors=((2, 2, 2), (0, 0, 0), (2, 2, 0), (0, 0, 0)), constraints=(constraint,))
    study = Study(problem, make_strategy(name), seed=3, initial=5)
    assert [p.codes for p in study.ask()[:2]] == [(0, 0, 0), (2, 2, 0)]
    assert len({p.codes for p in study.ask()}) == 5


def test_more_anchors_than_the_initial_design_has_places():
    problem = make_problem(anchors=((0, 0, 0), (1, 0, 0), (2, 0, 0)))
    study = Study(problem, make_strategy("random"), seed=0, initial=2)
    assert [p.codes for p in study.ask()] == [(0, 0, 0), (1, 0, 0)]


@pytest.mark.parametrize(
    ("log", "ceiling", "cap"), [(False, 100.0, 1.0), (True, 100.0, 1.0), (True, 10.0, 0.5), (True, 0.0, None)]
)
def test_a_ceiling_is_on_the_scale_of_its_objective(log, ceiling, cap):
    ends = np.array([1.0, 100.0])
    worst, best = np.log(ends) if log else ends
    scale = Normaliser(np.array([worst]), np.array([best - worst]), np.zeros(1), (ceiling,), np.array([log]))
    assert scale.cap(0) == (None if cap is None else pytest.approx(cap))
