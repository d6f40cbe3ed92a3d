"""A search for the best value of the first objective: what its strategy sees, and what it finds."""

import numpy as np
import pytest
from search_toys import large_problem

from hwnas.testing import check_strategy
from search import Constraint, Domain, FirstObjective, Objective, Problem, Study, make_strategy

CHOICES, OPTIONS, BOUND = 14, 5, 32.0
GAINS = np.random.default_rng(0).normal(size=(CHOICES, OPTIONS)) + 0.3 * np.arange(OPTIONS)
"""Higher options are better in the mean, and dearer: the best network needs nearly the whole bound."""


def price(codes):
    return 1.0 + codes.sum(axis=1, dtype=np.float64)


def gain(codes):
    return float(GAINS[np.arange(CHOICES), list(codes)].sum())


def trade_off(choices=CHOICES, *, estimated):
    objectives = (
        Objective("gain", "max"),
        Objective("price", "min", price, worst=OPTIONS * choices, best=1.0, log=True, estimated=estimated),
    )
    constraints = (Constraint("price", price, BOUND, estimated=estimated),)
    return Problem(Domain((OPTIONS,) * choices), objectives, constraints)


def searched(strategy, *, seed, estimated, trials=70):
    study = Study(trade_off(estimated=estimated), strategy, seed=seed)
    while len(study.trials) < trials:
        for proposal in study.ask():
            values = {"gain": gain(proposal.codes)}
            if estimated:
                values["price"] = 1.05 * float(price(np.array([proposal.codes]))[0])
            study.tell(proposal.number, values)
    return study


class Looks:
    """Remembers what it was shown, and proposes random rows."""

    name = "looks"

    def __init__(self):
        self.contexts = []

    def propose(self, context, n, rng):
        self.contexts.append(context)
        return make_strategy("random").propose(context, n, rng)


@pytest.mark.parametrize("name", ["lamoo", "mutation", "smem"])
def test_strategies_keep_their_contract_with_the_first_objective_alone(name):
    check_strategy(lambda: FirstObjective(make_strategy(name)), costly=name == "smem")


@pytest.mark.parametrize("estimated", [False, True])
def test_the_strategy_sees_one_objective_and_the_study_all(estimated):
    looks = Looks()
    study = searched(FirstObjective(looks), seed=0, estimated=estimated, trials=20)
    seen, whole = looks.contexts[-1], study.context()
    known = len(seen.successful)
    assert [objective.name for objective in seen.problem.objectives] == ["gain"]
    assert [constraint.name for constraint in seen.problem.constraints] == ["price"]
    assert seen.told.shape == seen.values.shape == seen.points.shape == (known, 1)
    assert seen.told[:, 0].tolist() == whole.told[:known, 0].tolist()
    assert seen.reference.shape == (1,)
    assert seen.hypervolume == pytest.approx(float(seen.points.max() - seen.reference[0]))
    assert set(seen.estimate_models) == ({"price"} if estimated else set())
    assert whole.told.shape[1] == 2
    assert len(study.front()) > 1
    assert seen.archive.sum() == 1


def test_a_view_leaves_the_context_that_it_comes_from_as_it_is():
    context = searched(make_strategy("random"), seed=0, estimated=True).context()
    before = context.points, context.hypervolume, context.front.tolist()
    view = context.of_first_objective()
    assert view.points.shape[1] == 1
    assert view.front.sum() == 1
    assert context.points is before[0]
    assert context.hypervolume == before[1]
    assert context.front.tolist() == before[2]
    assert context.problem.objectives[1].name == "price"
    assert view.of_first_objective().points.tolist() == view.points.tolist()


def test_enumerated_candidates_are_those_of_the_whole_problem():
    study = Study(trade_off(4, estimated=True), make_strategy("random"), seed=0)
    for proposal in study.ask():
        row = np.array([proposal.codes])
        study.tell(proposal.number, {"gain": float(row.sum()), "price": 1.1 * float(price(row)[0])})
    whole = study.context().candidates
    first = study.context().of_first_objective().candidates
    assert first.codes.tolist() == whole.codes.tolist()
    assert first.keys == whole.keys
    assert first.encodings.tolist() == whole.encodings.tolist()
    assert first.known_values.shape == (len(whole.codes), 1)
    assert np.isnan(first.known_values).all()


@pytest.mark.parametrize("estimated", [False, True])
@pytest.mark.parametrize("name", ["lamoo", "parego"])
def test_it_finds_better_values_within_the_bound_than_a_search_for_the_front(name, estimated):
    best = {}
    for kind, wrap in (("front", lambda strategy: strategy), ("best", FirstObjective)):
        studies = [searched(wrap(make_strategy(name)), seed=seed, estimated=estimated) for seed in range(3)]
        best[kind] = [max(trial.values["gain"] for trial in study.context().successful) for study in studies]
    assert np.mean(best["best"]) > np.mean(best["front"])


def test_a_large_problem_is_continued_exactly():
    problem, strategy = large_problem(), FirstObjective(make_strategy("lamoo"))
    whole = Study(problem, strategy, seed=4)
    for _ in range(4):
        for proposal in whole.ask():
            whole.tell(proposal.number, {"score": float(sum(proposal.codes))})
    state = whole.state()
    assert state["strategy"] == "lamoo"
    again = Study.from_state(problem, FirstObjective(make_strategy("lamoo")), state)
    assert [proposal.codes for proposal in again.ask()] == [proposal.codes for proposal in whole.ask()]
