from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from search_toys import advance, large_problem, toy_problem

from search import (
    Domain,
    Objective,
    Problem,
    Study,
    TreeSummary,
    dominance_numbers,
    hypervolume,
    make_strategy,
)
from search.bayes import improvement_grid
from search.lamoo import (
    LaMOO,
    MutationSampler,
    RandomSampler,
    TreeSettings,
    build_tree,
    label_good,
    select,
    ucb,
)
from search.lamoo._region import Regions, inside
from search.lamoo._split import Scaler, fit_split

POINTS = arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.integers(0, 6).map(float))


@given(POINTS)
def test_labels_keep_the_front_and_never_split_ties(points):
    numbers = dominance_numbers(points)
    good = label_good(points)
    assert good[numbers == 0].all()
    assert good.all() or numbers[good].max() < numbers[~good].min()


@given(POINTS)
def test_labels_are_as_near_to_a_half_as_ties_allow(points):
    numbers = dominance_numbers(points)
    half = len(points) / 2
    best = min(abs((numbers <= level).sum() - half) for level in numbers)
    assert abs(label_good(points).sum() - half) == best


def test_labels_do_not_depend_on_the_order():
    points = np.random.default_rng(0).integers(0, 5, size=(40, 2)).astype(float)
    order = np.random.default_rng(1).permutation(40)
    assert (label_good(points)[order] == label_good(points[order])).all()


def test_ucb_is_the_formula_of_the_paper():
    assert ucb(0.5, 0.03, 40, 10) == pytest.approx(0.5 + 2 * 0.03 * math.sqrt(2 * math.log(40) / 10))
    assert ucb(0.5, 0.0, 40, 10) == 0.5
    assert ucb(0.5, 0.1, 40, 5) > ucb(0.5, 0.1, 40, 20)


@pytest.mark.parametrize("kernel", ["rbf", "poly"])
def test_our_decisions_are_those_of_scikit_learn(kernel):
    from sklearn.svm import SVC

    rng = np.random.default_rng(5)
    x = rng.integers(0, 2, size=(60, 12)).astype(float)
    good = x[:, 0] + x[:, 3] * x[:, 5] > rng.random(60)
    split = fit_split(x, good, kernel, 10.0)
    assert split is not None
    machine = SVC(C=10.0, kernel=kernel, degree=4, coef0=1.0, gamma="scale").fit(x, good)
    new = rng.integers(0, 2, size=(5000, 12)).astype(float)
    assert (split.good(new) == machine.predict(new)).all()
    assert split.accuracy == machine.score(x, good)


def test_what_cannot_be_split_is_not():
    x = np.eye(4)
    assert fit_split(x, np.ones(4, dtype=bool), "rbf", 1.0) is None
    assert fit_split(x, np.zeros(4, dtype=bool), "rbf", 1.0) is None
    assert fit_split(np.ones((4, 3)), np.array([True, False, True, False]), "rbf", 1.0) is None


def grown(problem=None, budget=40, settings=None, seed=1):
    study = advance(Study(problem or toy_problem(upper=None), make_strategy("random"), seed=seed), budget)
    context = study.context()
    scaler = Scaler.identity(context.encodings.shape[1])
    settings = settings or TreeSettings()
    return context, scaler, build_tree(context, settings, scaler)


def test_children_partition_their_parent_by_the_decision_function():
    context, scaler, root = grown()
    inner = [node for node in root.walk() if node.children]
    assert len(inner) >= 2
    for node in inner:
        good, bad = node.children
        assert sorted([*good.members, *bad.members]) == sorted(node.members)
        scaled = scaler(context.encodings)
        assert node.split.good(scaled[good.members]).all()
        assert not node.split.good(scaled[bad.members]).any()


def test_values_and_bounds_of_the_nodes():
    context, _, root = grown(settings=TreeSettings(exploration=0.07))
    assert root.value == context.hypervolume == root.ucb
    for node in root.walk()[1:]:
        assert node.value == hypervolume(context.points[node.members], context.reference)
        expected = ucb(node.value, 0.07 * context.hypervolume, len(node.parent.members), len(node.members))
        assert node.ucb == expected


def test_small_regions_are_not_split():
    _, _, root = grown(settings=TreeSettings(min_split=15))
    for node in root.walk():
        assert len(node.members) >= 15 or not node.children
    _, _, shallow = grown(settings=TreeSettings(max_depth=1))
    assert max(node.depth for node in shallow.walk()) == 1
    _, _, single = grown(settings=TreeSettings(min_split=41))
    assert single.walk() == [single]


def test_path_and_leaf_selection():
    _, _, root = grown(budget=60)
    leaves = [node for node in root.walk() if not node.children]
    assert select(root, "leaf").ucb == max(leaf.ucb for leaf in leaves)
    assert select(root, "leaf") in leaves
    chosen = select(root, "path")
    for step in chosen.path[1:]:
        assert step.ucb == max(child.ucb for child in step.parent.children)
    assert chosen in leaves


def test_the_region_of_a_leaf_is_exactly_the_unseen_pool_inside_it():
    context, scaler, root = grown()
    leaf = select(root, "path")
    region = Regions(context, scaler, np.random.default_rng(0)).narrow(leaf, 1)
    assert region.node is leaf
    everything = context.problem.domain.enumerate()
    within = inside(leaf, scaler(context.problem.domain.encode(everything)))
    tried = {tuple(row) for row in context.codes}
    expected = {tuple(row) for row in everything[within]} - tried
    assert {tuple(row) for row in region.pool} == expected
    assert 0 < len(expected) < len(everything) / 2
    assert region.contains(everything).tolist() == within.tolist()


def test_regions_of_the_leaves_partition_the_domain():
    context, scaler, root = grown()
    scaled = scaler(context.problem.domain.encode(context.problem.domain.enumerate()))
    leaves = [node for node in root.walk() if not node.children]
    assert (sum(inside(leaf, scaled).astype(int) for leaf in leaves) == 1).all()


def test_backing_off_takes_the_nearest_ancestor_with_enough():
    context, scaler, root = grown()
    leaf = select(root, "path")
    sizes = {}
    for node in leaf.path:
        sizes[node.identity] = len(Regions(context, scaler, np.random.default_rng(0)).narrow(node, 1).pool)
    want = sizes[leaf.identity] + 1
    region = Regions(context, scaler, np.random.default_rng(0)).narrow(leaf, want)
    enough = [node for node in leaf.path if sizes[node.identity] >= want]
    assert region.node is enough[-1]
    assert region.node.depth < leaf.depth


@pytest.mark.parametrize("sampler", [RandomSampler(), MutationSampler()])
@pytest.mark.parametrize("problem", [toy_problem(upper=None), large_problem()], ids=["small", "large"])
def test_samples_stay_inside_the_region(sampler, problem):
    context, scaler, root = grown(problem, budget=50)
    leaf = select(root, "path")
    assert leaf.depth > 0
    rng = np.random.default_rng(2)
    region = Regions(context, scaler, rng).narrow(leaf, 5)
    chosen = sampler.sample(region, context, 5, rng)
    assert len(np.unique(chosen, axis=0)) == 5
    assert region.contains(chosen).all()
    assert len(context.admit(chosen)) == 5


def test_the_mutation_sampler_stays_near_the_archive():
    context, scaler, root = grown(large_problem(), budget=50)
    rng = np.random.default_rng(2)
    region = Regions(context, scaler, rng).narrow(root, 5)
    chosen = MutationSampler().sample(region, context, 5, rng)
    elite = context.codes[context.archive]
    distances = (chosen[:, None, :] != elite[None]).sum(axis=2).min(axis=1)
    assert distances.max() <= 2


def test_large_regions_report_their_share_and_are_filled_by_mutation():
    context, scaler, root = grown(large_problem(), budget=60)
    leaf = select(root, "path")
    regions = Regions(context, scaler, np.random.default_rng(0))
    region = regions.narrow(leaf, 5)
    rate = regions.rates[region.node.identity]
    assert 0 <= rate < 1
    assert region.uniform == round(rate * 1024)
    assert len(region.pool) > region.uniform
    assert region.contains(region.pool).all()


def test_the_report_describes_the_tree():
    study = advance(Study(toy_problem(upper=None), make_strategy("lamoo-random"), seed=0), 45)
    study.ask()
    report = study.report
    assert isinstance(report, TreeSummary)
    root = report.nodes[0]
    assert root.size == 45
    assert root.acceptance == 1.0
    by_id = {node.identity: node for node in report.nodes}
    assert len(by_id) == len(report.nodes)
    assert by_id[report.leaf].svm_accuracy is None
    for node in report.nodes:
        children = [child for child in report.nodes if child.parent == node.identity]
        assert (node.svm_accuracy is None) == (not children)
        if children:
            assert sum(child.size for child in children) == node.size
            assert node.svm_accuracy > 0.5
        if children and node.selected:
            assert sum(child.acceptance for child in children) == pytest.approx(node.acceptance)
    selected = [node for node in report.nodes if node.selected]
    assert [node.depth for node in selected] == list(range(len(selected)))


def test_the_partition_of_a_study_puts_every_sample_where_its_region_is():
    strategy = LaMOO(RandomSampler())
    study = advance(Study(toy_problem(upper=None), strategy, seed=0), 45)
    context = study.context()
    partition = strategy.partition(context)
    assert partition.trials.tolist() == [trial.number for trial in context.successful]
    sizes = {n.identity: n.size for n in partition.summary.nodes}
    for leaf in set(partition.leaves.tolist()):
        assert sizes[leaf] == (partition.leaves == leaf).sum()
    scaler = strategy._scaler(context)
    for node in build_tree(context, strategy.settings, scaler).walk():
        if not node.children:
            assert (inside(node, scaler(context.encodings)) == (partition.leaves == node.identity)).all()


def test_the_partition_beats_random_search_on_a_structured_problem():
    """The tree has to be worth something: more hypervolume than its own sampler without it."""

    def mean_volume(strategy):
        volumes = []
        for seed in range(6):
            study = advance(Study(large_problem(12), strategy, seed=seed), 80)
            context = study.context()
            volumes.append(hypervolume(context.points, context.reference))
        return np.mean(volumes)

    assert mean_volume(LaMOO(RandomSampler())) > 1.02 * mean_volume(make_strategy("random"))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.7])
def test_columns_that_are_constant_up_to_rounding_are_not_blown_up(value):
    for count in range(10, 24):
        scaled = Scaler.fit(np.full((count, 1), value))(np.array([[1.0]]))
        assert scaled[0, 0] == pytest.approx(1.0 - value)


@pytest.mark.parametrize("strategy", ["lamoo", "qehvi"])
def test_many_costs_take_no_time_that_grows_with_each(strategy, monkeypatch):
    def cells(points, reference, learned):
        assert len(reference) <= 5, "a sum over cells of so many costs takes minutes"
        return improvement_grid(points, reference, learned)

    monkeypatch.setattr("search.bayes._select.improvement_grid", cells)
    objectives = [Objective("a", "max")]
    for i in range(6):
        objectives.append(Objective(f"c{i}", "min", cost_function=lambda codes, i=i: 1.0 + codes[:, i % 4] + i))
    problem = Problem(Domain((5,) * 4), tuple(objectives))
    study = Study(problem, make_strategy(strategy), batch=5, initial=10, seed=0)
    for _ in range(4):
        for proposal in study.ask():
            study.tell(proposal.number, {"a": float(sum(proposal.codes)) % 7})
    assert len({trial.codes for trial in study.trials}) == len(study.trials) >= 25
