import numpy as np
import pytest

from hwnas import HwnasError
from hwnas._costs._cost import COSTS, cost_of_key
from hwnas._costs._space_costs import SpaceCosts, cheapest_network
from hwnas._costs._units import rounded_up
from hwnas._pipeline._problem import make_problem
from hwnas.spaces import make_space
from search import Study, make_strategy

SPACE = make_space("mobilenetv3", preset="tiny", resolution=[8, 16], image_channels=1)
COSTS_OF = SpaceCosts(SPACE, None)
KNOWN = {c.key: COSTS_OF.cost(c.key) for c in COSTS.values() if c.of_graph is not None}


def test_a_cost_is_scaled_from_the_cheapest_to_beyond_the_dearest_network():
    problem = make_problem(SPACE, KNOWN, ["macs"], {})
    _, macs = problem.objectives
    cheapest, dearest = np.array(problem.anchors)
    low, high = KNOWN["macs"](np.array([cheapest, dearest]))
    assert macs.log
    assert macs.best == pytest.approx(low)
    assert macs.worst == pytest.approx(high * (high / low) ** 0.1)
    rng = np.random.default_rng(0)
    drawn = KNOWN["macs"](rng.integers(0, SPACE.cardinalities, (2000, len(SPACE.choices))))
    assert low <= drawn.min()
    assert drawn.max() <= high
    first = Study(problem, make_strategy("lamoo"), seed=0).ask()
    assert [p.codes for p in first[:2]] == [tuple(cheapest), tuple(dearest)]


def test_budgets_bound_the_scale_and_every_proposal():
    problem = make_problem(SPACE, KNOWN, ["macs", "params"], {"macs": 1e6, "peak_memory_bytes": 30_000})
    rows = np.array(problem.anchors)
    assert (KNOWN["macs"](rows) <= 1e6).all()
    assert (KNOWN["peak_memory_bytes"](rows) <= 30_000).all()
    for seed in range(3):
        codes = np.array([p.codes for p in Study(problem, make_strategy("random"), seed=seed).ask()])
        assert (KNOWN["macs"](codes) <= 1e6).all()
        assert (KNOWN["peak_memory_bytes"](codes) <= 30_000).all()


def test_unreachable_budgets_are_named():
    with pytest.raises(
        HwnasError, match=r"no network of the space meets --params-budget 10: the cheapest network, w0\.5_r"
    ):
        make_problem(SPACE, KNOWN, ["macs"], {"params": 10})


@pytest.mark.parametrize("value", [0.0192345, 0.01924, 512.0, 20480.0, 3.00001, 9.9999, 1e-7])
def test_the_budget_that_is_named_can_be_met(value):
    rounded = rounded_up(value)
    assert value <= rounded * (1 + 1e-12)
    assert rounded <= value * 1.001
    assert float(f"{rounded:.6g}") >= value


@pytest.mark.parametrize("name", ["params", "macs", "memory", "rom", "latency"])
@pytest.mark.parametrize("value", [1_238_684, 47_187_016, 4_935_789, 1023, 1025, 999_999.0])
def test_the_budget_that_is_written_can_be_met(name, value):
    cost = COSTS[name]
    least = cost.parse(cost.format(cost.least_budget(value)))
    assert value <= least <= 1.002 * value


@pytest.mark.parametrize(
    ("name", "bound", "share", "goal"),
    [("convnet1d", "macs", 1.02, "params"), ("unet", "peak_memory_bytes", 1.2, "macs")],
)
def test_tight_budgets_keep_the_scale(name, bound, share, goal):
    """All descents to both ends begin over such a budget, and must not end there."""
    space = make_space(name)
    costs = SpaceCosts(space, None)
    functions = {key: costs.cost(key) for key in (bound, goal)}
    upper = share * cheapest_network(space, functions[bound])[1]
    problem = make_problem(space, functions, [cost_of_key(goal).name], {bound: upper})
    objective = problem.objectives[1]
    assert objective.log
    assert len(problem.anchors) == 2
    known = np.array([p.codes for p in Study(problem, make_strategy("random"), seed=0).ask()])
    assert objective.best <= functions[goal](known).min()
    assert objective.worst > functions[goal](known).max()
    assert (functions[bound](np.array(problem.anchors)) <= upper).all()
