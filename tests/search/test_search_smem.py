"""The surrogate of SMEM-NAS, its two populations, and what its options change."""

import numpy as np
import pytest
from search_toys import advance, large_problem, toy_problem

from search import Constraint, Domain, Objective, Problem, Study, make_strategy, nondominated
from search.models import Inputs, fit_pair_classifier, fit_ranking
from search.models._ranking import _maximise, _pair_weights
from search.strategies._populations import children, crowding_distances, split_populations
from search.strategies._surrogate import SURROGATES, Surrogate

DOMAIN = Domain((4,) * 6)
WEIGHTS = np.random.default_rng(7).normal(size=(6, 4))


def known(codes):
    """A function with an optimum: each choice counts, and two of them act together."""
    return WEIGHTS[np.arange(6), codes].sum(axis=1) + 0.8 * (codes[:, 0] == codes[:, 1])


def inputs(codes):
    return Inputs(DOMAIN.encode(codes), DOMAIN.one_hot(codes))


def share_in_order(scores, values):
    """The share of pairs with different values that the scores put in the right order."""
    first, second = np.nonzero(values[:, None] > values)
    return np.mean(scores[first] > scores[second])


def random_rows(n, seed=0):
    return np.unique(np.random.default_rng(seed).integers(0, 4, size=(2 * n, 6)), axis=0)[:n]


@pytest.mark.parametrize(("fit", "least"), [(fit_ranking, 0.85), (fit_pair_classifier, 0.8)])
def test_comparisons_order_what_was_not_evaluated(fit, least):
    rows = np.random.default_rng(1).permutation(random_rows(300))
    train, rest = rows[:60], rows[60:]
    assert share_in_order(fit(inputs(train), known(train))(inputs(rest)), known(rest)) > least
    shuffled = np.random.default_rng(2).permutation(known(train))
    assert share_in_order(fit(inputs(train), shuffled)(inputs(rest)), known(rest)) < 0.7


@pytest.mark.parametrize("fit", [fit_ranking, fit_pair_classifier])
def test_only_the_order_of_values_counts(fit):
    rows = random_rows(30)
    values = known(rows)
    scores = fit(inputs(rows), values)(inputs(rows))
    assert np.array_equal(fit(inputs(rows), np.exp(3.0 * values))(inputs(rows)), scores)
    assert not np.allclose(fit(inputs(rows), -values)(inputs(rows)), scores)


@pytest.mark.parametrize("fit", [fit_ranking, fit_pair_classifier])
def test_one_trial_and_equal_trials_say_nothing(fit):
    for n in (1, 2, 5):
        scores = fit(inputs(random_rows(n)), np.ones(n))(inputs(random_rows(9, seed=3)))
        assert np.array_equal(scores, np.zeros(9))
    two = fit(inputs(random_rows(2)), np.array([0.0, 1.0]))(inputs(random_rows(2)))
    assert two[0] < two[1]


def test_the_utility_is_the_minimum():
    rng = np.random.default_rng(0)
    x, values = rng.normal(size=(12, 3)), rng.normal(size=12)
    kernel = np.exp(-((x[:, None] - x) ** 2).sum(axis=2))
    signs = np.sign(values[:, None] - values)
    weights = rng.random((12, 12))
    weights += weights.T
    a = _maximise(kernel, signs, weights)

    def loss(a):
        f = kernel @ a
        better = signs > 0
        return (weights * np.logaddexp(0.0, f - f[:, None]))[better].sum() + 0.5 * a @ f

    for _ in range(40):
        assert loss(a) < loss(a + 0.05 * rng.normal(size=12))


def test_pairs_of_the_best_count_most():
    weights = _pair_weights(np.array([3.0, 9.0, 1.0, 5.0]))
    assert weights.mean() == pytest.approx(250.0)
    assert np.array_equal(weights, weights.T)
    ratios = weights / weights[2, 2]  # of the worst, which has rank 4
    assert ratios[1] == pytest.approx([4.0, 4.0, 4.0, 4.0])
    assert ratios[3] == pytest.approx([2.0, 4.0, 2.0, 2.0])


def test_the_populations_are_the_first_front_and_the_most_distant_of_the_rest():
    points = np.random.default_rng(0).random((60, 2))
    both = split_populations(points, 12, vice=True)
    assert set(both.main) == set(np.flatnonzero(nondominated(points)))
    rest = np.setdiff1d(np.arange(60), both.main)
    assert len(both.vice) == 12
    assert set(both.vice) <= set(rest)
    distances = dict(zip(rest, crowding_distances(points[rest]), strict=True))
    left_out = set(rest) - set(both.vice)
    assert min(distances[i] for i in both.vice) >= max(distances[i] for i in left_out)
    alone = split_populations(points, 12, vice=False)
    assert np.array_equal(alone.main, both.main)
    assert len(alone.vice) == 0
    pairs = both.pairs(400, np.random.default_rng(1))
    assert set(pairs[:, 0]) == set(both.main)
    assert set(pairs[:, 1]) == set(both.everyone)
    assert set(alone.pairs(400, np.random.default_rng(1)).ravel()) == set(both.main)


def test_crowding_distances_by_hand():
    points = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0], [2.0, 2.0]])
    assert np.array_equal(crowding_distances(points), [np.inf, 1.0, np.inf, 1.5])


def test_children_have_the_choices_of_their_parents_but_for_few():
    rows = np.array([[0] * 6, [3] * 6])
    born = children(DOMAIN, np.repeat(rows[None], 2000, axis=0), np.random.default_rng(0))
    assert 0.04 < np.mean((born == 1) | (born == 2)) < 0.13  # 1/6 redrawn, half of it to another value
    assert 0.3 < np.mean(born == 3) < 0.6


def large_study(seed=0, **options):
    return Study(large_problem(), make_strategy("smem", **options), seed=seed)


@pytest.mark.parametrize("options", [{"vice_population": False}, {"surrogate": "regression"}, {"surrogate": "svc"}])
def test_each_switch_of_the_ablation_changes_proposals(options):
    default = [trial.codes for trial in advance(large_study(), 20).trials]
    assert [trial.codes for trial in advance(large_study(**options), 20).trials] != default


def test_smem_beats_random_search():
    best = {name: [] for name in ("smem", "random")}
    for name, reached in best.items():
        for seed in range(3):
            objectives = (
                Objective("y", "max"),
                Objective("cost", "min", cost_function=lambda codes: codes.sum(axis=1)),
            )
            study = Study(Problem(DOMAIN, objectives), make_strategy(name), seed=seed)
            while len(study.trials) < 40:
                for proposal in study.ask():
                    study.tell(proposal.number, {"y": float(known(np.array([proposal.codes]))[0])})
            reached.append(study.context().hypervolume)
    assert min(best["smem"]) > max(best["random"])


def test_costs_are_exact_and_expensive_objectives_predicted():
    context = advance(Study(toy_problem(), make_strategy("random"), seed=0), 30).context()
    codes = context.candidates.codes
    prices = context.normaliser(context.problem.known_values(codes))[:, 1]
    for kind in SURROGATES:
        surrogate = Surrogate(context, kind)
        assert np.array_equal(surrogate.points(codes)[:, 1], prices)
        assert np.array_equal(surrogate.values(codes)[:, 1], prices)
        order = np.argsort(surrogate.points(codes)[:, 0], kind="stable")
        assert (np.diff(surrogate.values(codes)[order, 0]) >= 0).all()


def test_trials_that_break_a_later_budget_still_teach():
    """They count for no front, but the surrogate learns from their scores."""
    study = advance(Study(toy_problem(upper=None), make_strategy("smem"), seed=0), 30)
    before = Surrogate(study.context(), "pairs").points(study.context().codes)[:, 0]
    codes = study.context().codes
    study.change(toy_problem(upper=4.0))
    context = study.context()
    assert context.outside
    after = Surrogate(context, "pairs").points(codes)[:, 0]
    assert np.corrcoef(before, after)[0, 1] > 0.99


def test_smem_resumes_within_a_large_domain_and_keeps_its_budget():
    problem = large_problem(upper=30.0)
    whole = advance(Study(problem, make_strategy("smem"), seed=1), 25).trials
    assert problem.admissible(np.array([trial.codes for trial in whole])).all()
    restored = Study.restore(problem, make_strategy("smem"), seed=1, trials=whole[:17])
    assert advance(restored, 25).trials == whole


def test_a_measured_constraint_and_three_objectives():
    cost = Objective("cost", "min", cost_function=lambda codes: codes @ np.arange(1.0, 7.0))
    objectives = (Objective("y", "max"), Objective("z", "max"), cost)
    problem = Problem(DOMAIN, objectives, (Constraint("memory", None, 10.0),))
    study = Study(problem, make_strategy("smem"), seed=0)
    while len(study.trials) < 30:
        for proposal in study.ask():
            row = np.array([proposal.codes])
            values = {"y": float(known(row)[0]), "z": float(known(row[:, ::-1])[0]), "memory": float(row.sum())}
            study.tell(proposal.number, values)
    assert len({trial.codes for trial in study.trials}) == 30
