from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from search_toys import advance, large_problem, toy_problem

from search import Domain, Objective, Problem, Study, hypervolume, make_strategy
from search.bayes import expected_improvement, greedy_batch, improvement_grid, make_pool, whole_pool
from search.lamoo import EHVISampler, TreeSettings, build_tree, select
from search.lamoo._region import Regions
from search.lamoo._split import Scaler
from search.models import Ensemble, Forest, GaussianProcess, Inputs, LogTarget, fit_target


def inputs(x: np.ndarray) -> Inputs:
    return Inputs(x, x)


def improvements(archive, reference, learned, known, samples):
    """Hypervolume improvement of one candidate at each sampled value of its learned objective."""
    base = hypervolume(archive, reference)
    others = [k for k in range(len(reference)) if k != learned]
    point = np.empty(len(reference))
    point[others] = known
    gains = []
    for value in samples:
        point[learned] = value
        gains.append(hypervolume(np.vstack([archive, point]), reference) - base)
    return np.array(gains)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("learned", [0, -1])
def test_expected_improvement_agrees_with_sampling(m, learned):
    rng = np.random.default_rng(m)
    learned %= m
    archive = rng.random((6, m))
    reference = np.full(m, 0.1)
    target = fit_target(archive[:, learned], 0.1)
    known = rng.random((5, m - 1)) * 1.2
    mean, std = target.transform(rng.random(5)), rng.uniform(0.1, 0.6, 5)
    grid = improvement_grid(archive, reference, learned)
    exact = expected_improvement(grid, known, mean, std, target)
    quantiles = (np.arange(4000) + 0.5) / 4000
    from scipy.special import ndtri

    for j in range(5):
        samples = target.inverse(mean[j] + std[j] * ndtri(quantiles))
        sampled = improvements(archive, reference, learned, known[j], samples).mean()
        assert exact[j] == pytest.approx(sampled, rel=0.01, abs=2e-5)
    assert (exact > 0).any()


def test_certain_candidates_improve_by_their_exact_hypervolume():
    rng = np.random.default_rng(1)
    archive, reference = rng.random((12, 3)), np.zeros(3)
    target = LogTarget(ceiling=1.3)
    candidates = rng.random((40, 3))
    grid = improvement_grid(archive, reference, 0)
    gains = expected_improvement(grid, candidates[:, 1:], target.transform(candidates[:, 0]), np.full(40, 1e-7), target)
    base = hypervolume(archive, reference)
    for gain, point in zip(gains, candidates, strict=True):
        assert gain == pytest.approx(hypervolume(np.vstack([archive, point]), reference) - base, abs=1e-6)


def test_thinned_grids_overrate_but_little(monkeypatch):
    rng = np.random.default_rng(2)
    archive, reference = rng.random((40, 3)), np.zeros(3)
    target = LogTarget(ceiling=1.3)
    known, mean, std = rng.random((30, 2)), target.transform(rng.random(30)), np.full(30, 0.2)
    exact = expected_improvement(improvement_grid(archive, reference, 0), known, mean, std, target)
    monkeypatch.setitem(__import__("search.bayes._ehvi", fromlist=["x"])._AXIS_LIMIT, 2, 20)
    thinned = expected_improvement(improvement_grid(archive, reference, 0), known, mean, std, target)
    assert (thinned >= exact - 1e-12).all()
    assert (thinned > exact).any()
    assert np.abs(thinned - exact).max() < 0.1


def test_the_log_target_spreads_the_top_and_inverts():
    values = np.array([0.0, 0.5, 0.9, 0.95, 1.0])
    target = fit_target(values, 0.0)
    assert target.ceiling == pytest.approx(1.05)
    z = target.transform(values)
    assert target.inverse(z) == pytest.approx(values)
    assert (z[4] - z[3]) / 0.05 > 5 * (z[1] - z[0]) / 0.5
    assert fit_target(values, 0.0, cap=1.02).ceiling == pytest.approx(1.02)
    assert fit_target(values, 0.0, cap=1.0).ceiling == pytest.approx(1.01)
    assert fit_target(np.zeros(3), 0.0).ceiling > 0


def test_expected_excess_agrees_with_sampling():
    rng = np.random.default_rng(0)
    target = LogTarget(ceiling=1.05)
    mean, std = target.transform(np.array([0.2, 0.8, 0.95])), np.array([0.5, 0.3, 1.0])
    levels = np.array([-0.1, 0.5, 0.9, 1.04])
    draws = target.inverse(mean[:, None] + std[:, None] * rng.standard_normal((3, 200_000)))
    sampled = np.maximum(draws[:, None, :] - levels[None, :, None], 0).mean(axis=2)
    assert target.expected_excess(mean, std, levels) == pytest.approx(sampled, abs=4e-3)


MODELS = [
    GaussianProcess("encodings"),
    GaussianProcess("encodings", relevance=0.3),
    GaussianProcess("one_hot"),
    Forest(16),
    Ensemble(GaussianProcess("encodings"), Forest(16)),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_models_learn_and_repeat_themselves(model):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, size=(160, 6)).astype(float)
    y = x[:, 0] - 0.5 * x[:, 1] ** 2 + 0.05 * rng.standard_normal(160)
    first = model.fit(inputs(x[:80]), y[:80]).posterior(inputs(x[80:]))
    again = model.fit(inputs(x[:80]), y[:80]).posterior(inputs(x[80:]))
    assert (first.mean == again.mean).all()
    assert (first.std == again.std).all()
    assert (first.std > 0).all()
    assert np.corrcoef(first.mean, y[80:])[0, 1] > 0.8


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_models_survive_tiny_and_flat_data(model, n):
    x = np.arange(n * 3, dtype=float).reshape(n, 3) % 2
    posterior = model.fit(inputs(x), np.ones(n)).posterior(inputs(np.ones((4, 3))))
    assert np.isfinite(posterior.mean).all()
    assert np.isfinite(posterior.std).all()
    assert posterior.mean == pytest.approx(np.ones(4), abs=1e-6)


def test_relevance_finds_the_columns_that_matter():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((90, 12))
    y = np.sin(2 * x[:, 0])
    errors = []
    for relevance in (None, 0.1):
        posterior = GaussianProcess("encodings", relevance).fit(inputs(x[:60]), y[:60]).posterior(inputs(x[60:]))
        errors.append(np.mean((posterior.mean - y[60:]) ** 2))
    assert errors[1] < 0.5 * errors[0]


def test_conditioning_is_the_posterior_with_one_more_observation():
    """Rank-one update against a refit whose hyperparameters are pinned by the update itself."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((30, 2))
    y = np.sin(x[:, 0]) + 0.1 * rng.standard_normal(30)
    fitted = GaussianProcess("encodings").fit(inputs(x), y)
    pool = np.array([[0.0, 0.0], [0.0, 0.0], [0.3, 0.0], [4.0, 4.0]])
    before = fitted.posterior(inputs(pool))
    mean, std = before.mean.copy(), before.std.copy()
    before.condition(0)
    assert (before.mean == mean).all()
    assert before.std[0] == pytest.approx(before.std[1])
    variance, noise = std[0] ** 2 / fitted.signal, fitted.noise
    assert before.std[0] ** 2 / fitted.signal == pytest.approx(variance * noise / (variance + noise), rel=1e-3)
    assert before.std[2] < std[2]
    assert before.std[3] == pytest.approx(std[3], rel=1e-3)


def grown(problem, budget=40, worst=False):
    study = advance(Study(problem, make_strategy("random"), seed=1), budget)
    context = study.context()
    scaler = Scaler.identity(context.encodings.shape[1])
    root = build_tree(context, TreeSettings(), scaler)
    leaf = select(root, "path")
    if worst:
        leaf = min((node for node in root.walk() if not node.children), key=lambda node: node.value)
    return context, Regions(context, scaler, np.random.default_rng(0)).narrow(leaf, 5)


@pytest.mark.parametrize("problem", [toy_problem(upper=None), large_problem()], ids=["small", "large"])
def test_the_sampler_is_confined_to_the_region_but_for_the_hedge(problem):
    context, region = grown(problem)
    assert region.node.depth > 0
    model = GaussianProcess("encodings")
    confined = EHVISampler(model).sample(region, context, 5, np.random.default_rng(2))
    assert len(np.unique(confined, axis=0)) == 5
    assert region.contains(confined).all()
    hedged = EHVISampler(model, hedge=0.4).sample(region, context, 5, np.random.default_rng(2))
    assert region.contains(hedged[:3]).all()
    assert len(context.admit(hedged)) == 5


def test_the_hedge_may_leave_the_region():
    """With everything hedged the batch is that of the whole space, however bad the region is."""
    context, region = grown(toy_problem(upper=None), worst=True)
    model = GaussianProcess("encodings")
    free = EHVISampler(model, hedge=1.0).sample(region, context, 5, np.random.default_rng(2))
    pool = make_pool(context, *whole_pool(context, np.random.default_rng(2)))
    assert (free == greedy_batch(context, model, pool, 5)).all()
    assert not region.contains(free).all()


def test_known_objectives_are_searched_exactly():
    """With nothing to learn, greedy choices are the candidates that add most hypervolume."""
    weights = np.array([[1.0, -2.0, 0.5], [-1.0, 1.5, 0.25]])
    objectives = tuple(
        Objective(f"y{k}", "max", cost_function=lambda c, k=k: c @ weights[k], worst=-9.0, best=9.0) for k in range(2)
    )
    problem = Problem(Domain((4, 4, 4)), objectives)
    study = advance_known(Study(problem, make_strategy("qehvi"), seed=0, initial=4, batch=1), 4)
    context = study.context()
    best = study.ask()[0]
    everything = context.normaliser(problem.known_values(problem.domain.enumerate()))
    base = context.hypervolume
    gains = [hypervolume(np.vstack([context.points, p]), context.reference) - base for p in everything]
    row = context.normaliser(problem.known_values(np.array([best.codes])))
    mine = hypervolume(np.vstack([context.points, row]), context.reference) - base
    assert mine == pytest.approx(max(gains))
    assert mine > 0


def advance_known(study: Study, budget: int) -> Study:
    while len(study.trials) < budget:
        for proposal in study.ask():
            study.tell(proposal.number, {})
    return study


def test_the_model_beats_random_search_on_a_structured_problem():
    def mean_volume(name):
        volumes = []
        for seed in range(3):
            context = advance(Study(large_problem(12), make_strategy(name), seed=seed), 60).context()
            volumes.append(hypervolume(context.points, context.reference))
        return np.mean(volumes)

    assert mean_volume("lamoo") > 1.05 * mean_volume("random")


def test_nothing_is_compiled_in_a_search(monkeypatch):
    """A compilation that was killed leaves a lock in the user's cache, for which every later search would wait."""
    logei = pytest.importorskip("botorch.acquisition.multi_objective.logei")
    compiled = []
    monkeypatch.setattr(logei, "_load_attempted", False, raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.cpp_extension", SimpleNamespace(load=lambda **k: compiled.append(k)))
    problem = Problem(Domain((3, 3, 3)), (Objective("score", "max"), Objective("cost", "min")))
    study = Study(problem, make_strategy("qlognehvi"), seed=0, initial=6, batch=3)
    for _ in range(3):
        for proposal in study.ask():
            a, b, c = proposal.codes
            study.tell(proposal.number, {"score": float(a + b), "cost": float(b * c)})
    assert len(study.trials) == 12
    assert compiled == []


def test_our_categorical_kernel_is_botorchs_on_one_hot_rows():
    torch = pytest.importorskip("torch")
    kernels = pytest.importorskip("botorch.models.kernels")
    from search.bayes._categorical import hamming_kernel

    domain, rng = Domain((5, 2, 3, 7)), np.random.default_rng(0)
    left, right = domain.random(20, rng), domain.random(9, rng)
    ours, theirs = hamming_kernel(domain.cardinalities).double(), kernels.CategoricalKernel(ard_num_dims=4).double()
    scales = torch.tensor(rng.uniform(0.1, 2.0, (1, 4)))
    ours.base_kernel.lengthscale = theirs.lengthscale = scales

    def rows(codes):
        return torch.as_tensor(codes, dtype=torch.double)

    hot = rows(domain.one_hot(left)), rows(domain.one_hot(right))
    found = ours.base_kernel(*hot).to_dense()
    assert torch.allclose(found, theirs(rows(left), rows(right)).to_dense(), atol=1e-12)
    assert torch.allclose(ours.base_kernel(hot[0], diag=True), torch.ones(20, dtype=torch.double))


@pytest.mark.parametrize("name", ["qlognehvi", "qlognehvi-known"])
def test_botorch_searches_for_one_objective(name):
    problem = Problem(Domain((6, 6)), (Objective("a", "max"),))
    study = Study(problem, make_strategy(name), seed=0, initial=5, batch=3)
    for _ in range(5):
        for proposal in study.ask():
            study.tell(proposal.number, {"a": -float(sum((code - 4) ** 2 for code in proposal.codes))})
    assert study.front()[0].values["a"] >= -1


@pytest.mark.parametrize("name", ["lamoo", "lamoo-hamming"])
def test_a_used_up_space_has_no_proposals_with_two_expensive_objectives(name):
    study = Study(
        Problem(Domain((2,)), (Objective("a", "max"), Objective("b", "min"))), make_strategy(name), seed=0, initial=2
    )
    for proposal in study.ask():
        study.tell(proposal.number, {"a": float(proposal.codes[0]), "b": float(proposal.codes[0])})
    assert study.ask() == []
