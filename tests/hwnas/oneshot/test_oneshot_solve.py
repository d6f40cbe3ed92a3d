"""`solve`: the best of an enumeration, never over budget, with a gap where the search was cut short."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from oneshot_toys import costs_of, drawn, space_named

from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import BudgetError, SpaceError
from hwnas.oneshot import Solver, one_hot, solve, uniform
from hwnas.oneshot._resources import Resources
from hwnas.spaces import make_space
from latency_tables import Correction


def listed(space, costs, keys):
    """All codes that are networks, with their costs by key."""
    rows = np.array(list(itertools.product(*map(range, space.cardinalities))))
    rows = rows[space.valid_codes(rows)]
    return rows, {key: costs.cost(key)(rows) for key in keys}


def log_probability(distribution, rows):
    with np.errstate(divide="ignore"):
        return sum(np.log(p.numpy())[rows[:, c]] for c, p in enumerate(distribution))


@pytest.mark.parametrize("sides", [None, "random"])
@pytest.mark.parametrize("name", ["stairs", "holes"])
@pytest.mark.parametrize("names", [("latency",), ("latency", "params"), ("memory", "macs")])
def test_it_is_the_best_of_an_enumeration(name, sides, names):
    space, costs = space_named(name), costs_of(name, sides)
    keys = {"latency": "latency_ms", "params": "params", "memory": "peak_memory_bytes", "macs": "macs"}
    rows, values = listed(space, costs, [keys[n] for n in names])
    solver, rng = Solver(costs), np.random.default_rng(4)
    for seed in range(84):
        distribution = drawn(space, seed)
        budgets = {n: float(np.quantile(values[keys[n]], max(0.0, rng.uniform(-0.02, 1.0)) ** 2)) for n in names}
        kept = np.all([values[keys[n]] <= budgets[n] for n in names], axis=0)
        if not kept.any():
            with pytest.raises(BudgetError, match="no architecture"):
                solver.solve(distribution, budgets)
            continue
        solution = solver.solve(distribution, budgets)
        best = float(log_probability(distribution, rows[kept]).max())
        assert solution.log_probability == pytest.approx(best, abs=1e-9)
        assert solution.gap == 0
        code = space.encode(solution.architecture)[None]
        for n in names:
            price = float(costs.cost(keys[n])(code)[0])
            assert price == pytest.approx(solution.costs[keys[n]], rel=1e-12)
            assert price <= budgets[n]


def test_it_is_the_best_of_the_cells_of_nasbench201():
    space = make_space("nasbench201", image_size=8, cells=1, channels=4)
    costs = SpaceCosts(space, None)
    rows, values = listed(space, costs, ["macs"])
    solver, rng = Solver(costs), np.random.default_rng(0)
    for seed in range(100):
        distribution = drawn(space, seed)
        budget = float(np.quantile(values["macs"], rng.uniform()))
        solution = solver.solve(distribution, {"macs": budget})
        best = log_probability(distribution, rows[values["macs"] <= budget]).max()
        assert solution.log_probability == pytest.approx(float(best), abs=1e-9)
        assert float(costs.cost("macs")(space.encode(solution.architecture)[None])[0]) <= budget


@pytest.mark.parametrize("name", ["mobilenetv3", "convnet1d", "derived"])
def test_large_spaces_are_solved_within_budget(name):
    space, costs = space_named(name), costs_of(name, "random")
    rows = np.array([space.encode(arch) for arch in space.sample(100, np.random.default_rng(0))])
    latencies = costs.latency_ms(rows)
    solver = Solver(costs)
    for seed in range(6):
        distribution = drawn(space, seed)
        budget = float(np.quantile(latencies, 0.1 * seed))
        solution = solver.solve(distribution, {"latency": budget})
        assert float(costs.latency_ms(space.encode(solution.architecture)[None])[0]) <= budget
        within = rows[latencies <= budget]
        assert solution.log_probability >= log_probability(distribution, within).max() - 1e-9
        assert solution.bound >= solution.log_probability


def test_without_a_binding_budget_every_choice_has_its_most_probable_value():
    space, costs = space_named("mobilenetv3"), costs_of("mobilenetv3")
    distribution = drawn(space, 7)
    codes = np.array([int(p.argmax()) for p in distribution])
    for budgets in ({}, {"latency": 1e6}):
        solution = solve(distribution, budgets, costs)
        assert solution.architecture == space.canonical(space.decode(codes))
        assert solution.gap == 0


def test_a_search_cut_short_states_its_gap():
    space, costs = space_named("convnet1d"), costs_of("convnet1d")
    rows = np.array([space.encode(arch) for arch in space.sample(100, np.random.default_rng(0))])
    budget = {
        "latency": float(np.quantile(costs.latency_ms(rows), 0.05)),
        "params": float(np.median(costs.cost("params")(rows))),
    }
    for seed in range(6):
        exact = Solver(costs).solve(drawn(space, seed), budget)
        cut = Solver(costs, most_labels=1).solve(drawn(space, seed), budget)
        assert cut.log_probability <= exact.log_probability + 1e-9 <= cut.bound + 2e-9


@pytest.mark.parametrize("correction", [Correction(), Correction(-2.0, -0.1, 0.05), Correction(0.5, 0.2, 0.05)])
def test_the_largest_sum_of_prices_within_a_budget_follows_the_tables_correction(monkeypatch, correction):
    costs = costs_of("stairs")
    pricing = dataclasses.replace(costs.table.pricing, correction=correction)
    monkeypatch.setattr(type(costs.table), "pricing", property(lambda table: pricing))
    resources = Resources.of(costs, {"latency": 0.4})
    sums, maxima = np.zeros(len(resources.sums)), np.zeros(len(resources.maxima))
    number = resources.sums.index("op_ms")
    capacity = resources.capacities(sums, maxima)[number]
    for factor, kept in ((1 - 1e-6, True), (1 + 1e-6, False)):
        sums[number] = capacity * factor
        assert bool(resources.within(sums[None], maxima[None])[0]) == kept


def test_choices_of_probability_0_are_never_taken():
    space, costs = space_named("stairs"), costs_of("stairs")
    arch = space.sample(1, np.random.default_rng(2))[0]
    price = float(costs.latency_ms(space.encode(arch)[None])[0])
    solution = solve(one_hot(space, arch), {"latency": price}, costs)
    assert solution.architecture == arch
    assert solution.log_probability == 0
    with pytest.raises(BudgetError, match="latency"):
        solve(one_hot(space, arch), {"latency": 0.99 * price}, costs)


def test_bad_budgets_and_distributions_are_refused():
    space, costs = space_named("stairs"), costs_of("stairs")
    with pytest.raises(BudgetError, match="must be a positive number"):
        solve(uniform(space), {"latency": -1.0}, costs)
    with pytest.raises(SpaceError, match="sum to 1"):
        solve([torch.ones(3), *uniform(space)[1:]], {"latency": 1.0}, costs)
