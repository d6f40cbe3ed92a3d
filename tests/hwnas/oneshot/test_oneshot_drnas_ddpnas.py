"""Methods by name: options, learning on a toy objective, and the same bits after a state was stored and loaded."""

import itertools
import math

import numpy as np
import pytest
import torch
from oneshot_toys import costs_of, space_named

from hwnas._errors import BudgetError, HwnasError
from hwnas.oneshot import ExpectedCost, Solver
from hwnas.oneshot._methods import METHODS, make_method, method_options, parse_method_options
from hwnas.oneshot._tabular import TabularExpectation, learn_tabular
from hwnas.spaces import make_space

EPOCHS, STEPS = 20, 10
LEARNERS = ("drnas", "ddpnas")


def likeliest(distribution):
    return [int(vector.argmax()) for vector in distribution]


def grid(space):
    return np.array(list(itertools.product(*map(range, space.cardinalities))))


def toy(space):
    """A metric with the best architecture at the last value of each choice but the first."""
    rows = grid(space)
    best = np.array([count - 1 for count in space.cardinalities])
    best[0] = 0
    return TabularExpectation(space, 0.9 - 0.1 * (rows != best).mean(axis=1)), best.tolist()


def run_epochs(method, metric, first, end, rng, cost=None):
    for epoch in range(first, end):
        method.begin_epoch(epoch, rng)
        for step in range(STEPS if method.learns(epoch) else 0):
            share = None if cost is None else cost(method.priced())
            method.step(1 - metric(method.draw(rng)), share, (epoch * STEPS + step) / (EPOCHS * STEPS))
        judged = method.judged()
        value = None if judged is None else metric.at(method.space.encode(judged).tolist())
        method.end_epoch(epoch, value, rng)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_best_architecture_of_a_simple_metric_is_learned(name):
    space = space_named("stairs")
    metric, best = toy(space)
    learned = learn_tabular(make_method(name, space, epochs=EPOCHS), metric, steps=40, rng=np.random.default_rng(0))
    assert likeliest(learned) == best or name == "ddpnas"
    assert metric.at(likeliest(learned)) >= np.quantile(metric.values, 0.95)
    assert all(float(vector.sum()) == pytest.approx(1) for vector in learned)


@pytest.mark.parametrize("options", [{}, {"regulariser": "kl"}, {"goal": "weight", "stages": 3}])
def test_drnas_continues_bit_for_bit(options):
    space, cost = space_named("stairs"), ExpectedCost(space_named("stairs"), cost="macs", costs=costs_of("stairs"))
    metric, _ = toy(space)

    def priced(distribution):
        return cost(distribution) / 2e5

    whole = make_method("drnas", space, epochs=EPOCHS, **options)
    whole.expect_steps(EPOCHS * STEPS)
    rng = np.random.default_rng(5)
    run_epochs(whole, metric, 0, 13, rng, priced)
    stored, random_state = whole.state(), rng.bit_generator.state
    run_epochs(whole, metric, 13, EPOCHS, rng, priced)

    other = make_method("drnas", space, epochs=EPOCHS, **options)
    other.expect_steps(EPOCHS * STEPS)
    other.load_state(stored)
    rng.bit_generator.state = random_state
    run_epochs(other, metric, 13, EPOCHS, rng, priced)
    assert all(torch.equal(a, b) for a, b in zip(whole.distribution(), other.distribution(), strict=True))


def test_ddpnas_continues_bit_for_bit_in_the_middle_of_a_sweep():
    space = space_named("stairs")
    metric, _ = toy(space)
    whole, rng = make_method("ddpnas", space, epochs=15), np.random.default_rng(5)
    run_epochs(whole, metric, 0, 4, rng)
    stored, random_state = whole.state(), rng.bit_generator.state
    run_epochs(whole, metric, 4, 15, rng)
    other = make_method("ddpnas", space, epochs=15)
    other.load_state(stored)
    rng.bit_generator.state = random_state
    run_epochs(other, metric, 4, 15, rng)
    assert all(torch.equal(a, b) for a, b in zip(whole.distribution(), other.distribution(), strict=True))


def test_a_state_does_not_change_when_the_method_goes_on():
    space = space_named("stairs")
    metric, _ = toy(space)
    for name in LEARNERS:
        method, rng = make_method(name, space, epochs=EPOCHS), np.random.default_rng(0)
        run_epochs(method, metric, 0, 8, rng)
        stored = method.state()
        copied = [vector.clone() for part in stored.values() if isinstance(part, list) for vector in _tensors(part)]
        run_epochs(method, metric, 8, EPOCHS, rng)
        now = [vector for part in stored.values() if isinstance(part, list) for vector in _tensors(part)]
        assert all(torch.equal(a, b) for a, b in zip(copied, now, strict=True))


def _tensors(part):
    for own in part:
        if isinstance(own, torch.Tensor):
            yield own
        elif isinstance(own, dict):
            yield from own.values()


def test_drnas_draws_from_the_given_generator_alone():
    space = space_named("stairs")
    method = make_method("drnas", space, epochs=2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = method.draw(np.random.default_rng(3))
    torch.manual_seed(2)
    again = method.draw(np.random.default_rng(3))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_gradient_through_a_draw_is_that_of_its_expectation():
    space = space_named("stairs")
    method, rng = make_method("drnas", space, epochs=2), np.random.default_rng(0)
    alphas, draws = method._alphas.vectors, 4000
    with torch.no_grad():
        alphas[0].copy_(torch.tensor([0.5, -0.5, 0.2]))
    total = sum(method.draw(rng)[0][1] for _ in range(draws)) / draws
    (sampled,) = torch.autograd.grad(total, alphas[:1])
    (exact,) = torch.autograd.grad(method.priced()[0][1], alphas[:1])
    torch.testing.assert_close(sampled, exact, atol=0.01, rtol=0)


def test_drnas_prunes_between_stages_and_waits_at_the_beginning_of_each():
    space = space_named("stairs")
    metric, _ = toy(space)
    method, rng = make_method("drnas", space, epochs=EPOCHS), np.random.default_rng(0)
    assert [epoch for epoch in range(EPOCHS) if not method.learns(epoch)] == [0, 1, 10, 11]
    run_epochs(method, metric, 0, 10, rng)
    before = method.distribution()
    assert all((vector > 0).all() for vector in before)
    method.begin_epoch(10, rng)
    for vector, old in zip(method.distribution(), before, strict=True):
        kept = vector > 0
        assert int(kept.sum()) == max(2, math.ceil(0.6 * len(vector)))
        assert float(old[kept].min()) >= float(old[~kept].max()) if (~kept).any() else True
    run_epochs(method, metric, 10, EPOCHS, rng)
    for alpha, mask in zip(method._alphas.vectors, method._masks, strict=True):
        assert not alpha[mask == 0].any()
    assert all(
        float(own.detach()[mask == 0].sum()) == 0 for own, mask in zip(method.draw(rng), method._masks, strict=True)
    )


def test_the_weight_of_the_cost_follows_the_budget():
    space, cost = space_named("stairs"), ExpectedCost(space_named("stairs"), cost="macs", costs=costs_of("stairs"))
    rows = grid(space)
    macs = costs_of("stairs").cost("macs")(rows)
    metric = TabularExpectation(space, 0.5 + 0.4 * macs / macs.max())  # the dearer, the better
    budget = float(np.quantile(macs, 0.4))
    method = make_method("drnas", space, epochs=EPOCHS, stages=1)
    learned = learn_tabular(method, metric, steps=40, rng=np.random.default_rng(0), cost=cost, budget=budget)
    assert 0.8 * budget < float(cost(learned)) < 1.4 * budget
    free = learn_tabular(
        make_method("drnas", space, epochs=EPOCHS), metric, steps=40, rng=np.random.default_rng(0), cost=None
    )
    assert float(cost(free)) > 1.5 * budget


def test_ddpnas_draws_every_value_in_every_sweep():
    space = space_named("stairs")
    metric, _ = toy(space)
    method, rng = make_method("ddpnas", space, epochs=15), np.random.default_rng(2)
    drawn = []
    for epoch in range(15):  # 3 sweeps of 3 draws, 3 of 2
        run_epochs(method, metric, epoch, epoch + 1, rng)
        drawn.append(likeliest(method.draw(rng)))
    for start in (0, 3, 6):
        for column, count in enumerate(space.cardinalities):
            assert {codes[column] for codes in drawn[start : start + 3]} == set(range(count))
    assert all((vector > 0).sum() == 1 for vector in method.survivors())
    assert likeliest(method.survivors()) == likeliest(method.distribution())


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_ddpnas_prunes_the_worst_values_also_where_they_are_far_below_the_best(unit):
    space = space_named("stairs")
    sizes = space.cardinalities
    column = max(range(len(sizes)), key=sizes.__getitem__)
    worth = -unit * (1.0 + np.arange(sizes[column])[::-1])  # the first value is the worst one, by far
    worth[1] = -50 * unit
    for seed in range(5):
        method, rng = make_method("ddpnas", space, epochs=12), np.random.default_rng(seed)
        for epoch in range(12):
            method.begin_epoch(epoch, rng)
            judged = method.judged()
            value = None if judged is None else float(worth[space.encode(judged)[column]])
            method.end_epoch(epoch, value, rng)
            alive = method.survivors()[column] > 0
            if 0 < int(alive.sum()) < sizes[column]:
                assert not bool(alive[1])
                break


@pytest.mark.parametrize("name", ["stairs", "holes"])
def test_ddpnas_stays_within_budgets(name):
    space, costs = space_named(name), costs_of(name)
    rows = grid(space)[space.valid_codes(grid(space))]
    latency = costs.latency_ms(rows)
    rng = np.random.default_rng(1)
    metric = TabularExpectation(space, rng.uniform(0.8, 0.9, math.prod(space.cardinalities)))
    for quantile in (0.0, 0.03, 0.2):
        budget = {"latency": float(np.quantile(latency, quantile))}
        method = make_method("ddpnas", space, epochs=15)
        method.constrain(Solver(costs), budget)
        for epoch in range(15):
            run_epochs(method, metric, epoch, epoch + 1, rng)
            codes = np.array([likeliest(method.draw(rng))])
            assert float(costs.latency_ms(codes)[0]) <= budget["latency"]
        solution = Solver(costs).solve(method.distribution(), budget)
        ends = np.array([solution.codes, likeliest(method.survivors())])
        assert (costs.latency_ms(ends) <= budget["latency"]).all()
    with pytest.raises(BudgetError, match="no architecture"):
        make_method("ddpnas", space, epochs=15).constrain(Solver(costs), {"latency": 0.5 * float(latency.min())})


def test_drnas_keeps_an_architecture_within_hard_budgets():
    space, costs = space_named("stairs"), costs_of("stairs")
    macs = costs.cost("macs")(grid(space))
    metric = TabularExpectation(space, 0.5 + 0.4 * macs / macs.max())
    for constrained in (False, True):
        method = make_method("drnas", space, epochs=EPOCHS)
        if constrained:
            method.constrain(Solver(costs), {"macs": float(macs.min())})
        learned = learn_tabular(method, metric, steps=20, rng=np.random.default_rng(0))
        if constrained:
            assert Solver(costs).solve(learned, {"macs": float(macs.min())}).costs["macs"] == macs.min()
        else:
            with pytest.raises(BudgetError):
                Solver(costs).solve(learned, {"macs": float(macs.min())})


def test_ddpnas_never_draws_what_is_no_network():
    space = space_named("holes")
    metric = TabularExpectation(space, [0.5] * 9)
    for seed in range(5):
        method, rng = make_method("ddpnas", space, epochs=17), np.random.default_rng(seed)
        for epoch in range(17):
            run_epochs(method, metric, epoch, epoch + 1, rng)
            assert space.valid_codes([likeliest(method.draw(rng))]).all()


def test_schedules_of_ddpnas_fit_the_epochs():
    from hwnas.oneshot._ddpnas import _stages

    assert [(s.draws, s.sweeps, s.left) for s in _stages(5, 42, 3)] == [(5, 3, 4), (4, 3, 3), (3, 3, 2), (2, 3, 1)]
    assert [(s.draws, s.sweeps) for s in _stages(5, 30, 3)] == [(5, 2), (4, 2), (3, 2), (2, 2)]
    assert [(s.draws, s.sweeps, s.left) for s in _stages(5, 9, 3)] == [(5, 1, 3), (3, 1, 1)]
    assert [(s.draws, s.left) for s in _stages(5, 5, 3)] == [(5, 1)]
    assert _stages(1, 3, 3) == []
    with pytest.raises(HwnasError, match="epochs must be 5 or more"):
        _stages(5, 4, 3)


def test_options_are_checked_and_read():
    space = space_named("stairs")
    for name in METHODS:
        defaults = {option.name: option.default for option in method_options(name)}
        assert make_method(name, space, epochs=50, **defaults).name == name
    assert parse_method_options("drnas", ["lr=0.01", "goal=weight"]) == {"lr": 0.01, "goal": "weight"}
    with pytest.raises(HwnasError, match="unknown one-shot method 'darts'; choose from"):
        make_method("darts", space, epochs=5)
    with pytest.raises(HwnasError, match="method drnas has no option 'speed'; its options are lr,"):
        make_method("drnas", space, epochs=5, speed=1)
    with pytest.raises(HwnasError, match="option goal must be one of budget, weight, got 'fast'"):
        make_method("drnas", space, epochs=5, goal="fast")
    with pytest.raises(HwnasError, match="an option must be name=value, got 'lr'"):
        parse_method_options("drnas", ["lr"])
    with pytest.raises(HwnasError, match="option lr is given twice"):
        parse_method_options("drnas", ["lr=1", "lr=2"])
    with pytest.raises(HwnasError, match="epochs must be 1 or more, got 0"):
        make_method("drnas", space, epochs=0)


@pytest.mark.parametrize("bad", [math.nan, -math.inf, None])
def test_what_has_no_value_is_not_the_best_where_less_is_better(bad):
    space, rng = make_space("resnet", image_size=8, image_channels=1), np.random.default_rng(0)
    method = make_method("ddpnas", space, epochs=4, sweeps=1)
    drawn = []
    for epoch in range(4):
        method.begin_epoch(epoch, rng)
        drawn.append(space.encode(method.judged()))
        method.end_epoch(epoch, bad if epoch == 3 else -0.5, rng)
    for column, vector in enumerate(method.distribution()):
        code = drawn[3][column]
        if all(code != codes[column] for codes in drawn[:3]):
            assert vector[code] < vector.max()


def test_a_stage_without_any_value_changes_nothing():
    space, rng = make_space("resnet", image_size=8, image_channels=1), np.random.default_rng(0)
    method = make_method("ddpnas", space, epochs=4, sweeps=1)
    for epoch in range(4):
        method.begin_epoch(epoch, rng)
        method.end_epoch(epoch, math.nan, rng)
    assert all(bool(torch.isfinite(vector).all()) for vector in method.distribution())
