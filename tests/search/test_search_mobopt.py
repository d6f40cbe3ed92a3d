"""ParEGO and MOBOpt: the scalarised expected improvement, the policies, and both searches on a known problem."""

from __future__ import annotations

import numpy as np
import pytest
from search_toys import advance, toy_problem

from search import Domain, Objective, Problem, Study, Trial, hypervolume, make_strategy
from search._candidates import Candidates
from search._context import Context
from search.bayes import Scalarisation, random_weights, scalarise
from search.models import LogTarget
from search.strategies._policies import ARSSettings, cluster, encode_codes, round_to_codes, train_policies

DOMAIN = Domain((9,) * 6)
OPTIMA = np.array([0.25, 0.75])
"""Each objective is minus the squared distance of the coordinates to one of these on every axis."""


def quadratic(codes):
    """Both objectives ``(n, 2)`` of rows ``(n, 6)``; the front lies between the optima."""
    coordinates = encode_codes(np.asarray(codes), DOMAIN)
    return -((coordinates[:, :, None] - OPTIMA) ** 2).mean(axis=1)


def reached(name: str, seed: int, expensive: int) -> float:
    """Hypervolume after 40 evaluations of the quadratic problem."""
    second = (lambda codes: quadratic(codes)[:, 1]) if expensive == 1 else None
    problem = Problem(DOMAIN, (Objective("a", "max"), Objective("b", "max", cost_function=second)))
    study = Study(problem, make_strategy(name), seed=seed, initial=10, batch=5)
    while len(study.trials) < 40:
        for proposal in study.ask():
            a, b = quadratic([proposal.codes])[0]
            study.tell(proposal.number, {"a": float(a), "b": float(b)})
    return hypervolume(quadratic([trial.codes for trial in study.trials]), np.array([-0.3, -0.3]))


@pytest.mark.parametrize("name", ["mobopt", "parego", "parego-learned"])
def test_they_beat_random_on_a_quadratic_problem(name):
    ours = [reached(name, seed, expensive=1) for seed in range(3)]
    assert np.mean(ours) > max(reached("random", seed, expensive=1) for seed in range(3))


def test_several_expensive_objectives_are_learned():
    assert reached("mobopt", 0, expensive=2) > reached("random", 0, expensive=2)


@pytest.mark.parametrize("shortest", [0.02, 0.3, 2.0])
def test_the_expected_improvement_is_the_mean_of_sampled_improvements(shortest):
    """Before and behind the kink of the distance, and without an improvement in most samples."""
    scalarisation = Scalarisation(np.array([0.6, 0.1, 0.3]), np.array([1.0, 1.1, 0.9]), shortest)
    target, mean, std = LogTarget(1.2), np.array([0.5, 1.5]), np.array([0.4, 0.2])
    points = np.array([[np.nan, 0.2, 0.3], [np.nan, 0.9, 0.8]])
    closed = scalarisation.expected_improvement(points, 0, mean, std, target)
    draws = np.random.default_rng(0).standard_normal(200_000)
    for row in range(2):
        samples = np.repeat(points[row : row + 1], len(draws), axis=0)
        samples[:, 0] = target.inverse(mean[row] + std[row] * draws)
        gains = np.maximum(shortest - scalarisation.distances(samples), 0.0)
        assert closed[row] == pytest.approx(gains.mean(), abs=5 * gains.std() / len(draws) ** 0.5 + 1e-12)


def test_one_objective_alone_has_a_plain_expected_improvement():
    scalarisation = Scalarisation(np.array([2.0]), np.array([1.0]), 0.84)
    target, mean, std = LogTarget(1.2), np.array([0.5]), np.array([0.4])
    level = np.array([1.0 - 0.84 / (2.0 * 1.05)])
    expected = 2.0 * 1.05 * target.expected_excess(mean, std, level)[:, 0]
    assert scalarisation.expected_improvement(np.array([[np.nan]]), 0, mean, std, target) == pytest.approx(expected)


def test_a_trade_off_has_the_scale_of_the_archive():
    archive = np.array([[0.9, 0.0], [0.5, 0.02], [0.1, 0.04]])
    scalarisation = scalarise(archive, np.array([0.5, 0.5]))
    # On the scale of the archive the middle point has gaps of 0.7 in both objectives, the ends of 0.2 and 1.2.
    assert scalarisation.distances(archive) == pytest.approx([0.635, 0.385, 0.635], abs=1e-12)
    assert scalarisation.shortest == pytest.approx(0.385)


def test_equal_improvements_leave_the_shortest_distance():
    scalarisation = Scalarisation(np.array([0.5, 0.5]), np.array([1.0, 1.0]), 0.1)
    points = np.array([[0.1, 0.1], [0.8, 0.7], [0.6, 0.6], [0.9, 0.9]])
    assert scalarisation.best(np.array([0.0, 0.2, 0.3, 0.1]), points) == 2
    assert scalarisation.best(np.zeros(4), points) == 3
    assert scalarisation.best(np.zeros(4), points, np.array([True, True, True, False])) == 1


def test_parego_proposes_the_nearest_candidate_where_none_is_expected_to_improve():
    """Both objectives are computed, and the whole front was tried: no candidate improves."""
    domain = Domain((5, 4, 4))
    costs = [lambda codes, k=k: codes @ np.roll([1.0, -0.5, 0.25], k) for k in range(2)]
    problem = Problem(domain, tuple(Objective(f"o{k}", "min", cost_function=cost) for k, cost in enumerate(costs)))
    rows = domain.enumerate()
    points = problem.known_values(rows)
    dominated = (points[None] < points[:, None]).all(axis=2).any(axis=1)
    tried = rows[~dominated]
    values = [{"o0": a, "o1": b} for a, b in points[~dominated].tolist()]
    trials = [Trial(i, tuple(row), y) for i, (row, y) in enumerate(zip(tried.tolist(), values, strict=True))]
    context = Context(Candidates(problem), trials, [0] * len(trials))
    rest = rows[dominated]
    for seed in range(5):
        weights = random_weights(1, 2, np.random.default_rng(seed))[0]
        distances = scalarise(context.points[context.archive], weights).distances(context.normaliser(points[dominated]))
        proposed = make_strategy("parego").propose(context, 1, np.random.default_rng(seed)).codes
        assert distances[(rest == proposed).all(axis=1)] == pytest.approx(distances.min())
        assert distances[0] > distances.min()


def test_a_row_of_weights_is_the_same_draw_alone_and_among_others():
    rows = random_weights(3, 4, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    assert rows.sum(axis=1) == pytest.approx(1.0)
    assert np.array_equal(rows, [rng.dirichlet(np.ones(4)) for _ in range(3)])


def test_coordinates_round_to_their_codes():
    domain = Domain((1, 2, 5, 3))
    codes = domain.enumerate()
    coordinates = encode_codes(codes, domain)
    assert coordinates.min() == 0.0
    assert coordinates.max() == 1.0
    assert (round_to_codes(coordinates, domain) == codes).all()
    assert (round_to_codes(np.clip(coordinates + 0.1, 0.0, 1.0), domain) == codes).all()


def test_clusters_are_found():
    points = np.concatenate([np.full((5, 2), 0.1), np.full((3, 2), 0.9)]) + np.linspace(0, 0.01, 8)[:, None]
    centres = cluster(points, 2, np.random.default_rng(0))
    assert sorted(centres[:, 0]) == pytest.approx([points[:5, 0].mean(), points[5:, 0].mean()])
    assert len(cluster(points[:1], 4, np.random.default_rng(0))) == 1


def test_training_raises_the_return_of_policies():
    def reward(codes):
        return encode_codes(codes, DOMAIN).mean(axis=1)

    starts = np.full((4, DOMAIN.dimension), 0.5)
    returns = train_policies(starts, DOMAIN, reward, ARSSettings(iterations=60), np.random.default_rng(0))
    assert returns.shape == (61, 4)
    assert returns[-1].mean() > returns[0].mean() + 0.5
    assert returns[-1].min() > returns[0].min()


def test_without_a_reward_policies_stay_as_they_are():
    starts = np.full((2, DOMAIN.dimension), 0.5)
    returns = train_policies(
        starts, DOMAIN, lambda codes: np.zeros(len(codes)), ARSSettings(), np.random.default_rng(0)
    )
    assert (returns == 0.0).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [("mobopt", {"policies": 1, "horizon": 2}), ("mobopt", {"model": "hamming"}), ("parego", {"model": "forest"})],
)
def test_options_change_the_search_and_resume(name, options):
    def study(trials=None):
        strategy, sizes = make_strategy(name, **options), {"seed": 3, "initial": 6, "batch": 3}
        if trials is None:
            return Study(toy_problem(), strategy, **sizes)
        return Study.restore(toy_problem(), strategy, trials=trials, **sizes)

    whole = advance(study(), 24, fail_every=5).trials
    plain = advance(Study(toy_problem(), make_strategy(name), seed=3, initial=6, batch=3), 24, fail_every=5).trials
    assert whole != plain
    assert advance(study(whole[:17]), 24, fail_every=5).trials == whole
