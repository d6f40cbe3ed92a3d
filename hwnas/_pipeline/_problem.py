"""From a space, its costs and the budgets to the problem that `search` solves."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import cost_named, cost_of_key
from hwnas._costs._space_costs import CostOfCodes, cheapest_network
from hwnas._errors import BudgetError
from hwnas.spaces import Space
from hwnas.tasks import DEFAULT_METRIC, Metric
from search import Constraint, Domain, Objective, Problem, Study, make_strategy

_MARGIN = 0.1
"""How far beyond the most expensive network the reference point lies, as a share of the (logarithmic) range."""


def make_problem(
    space: Space,
    cost_functions: Mapping[str, CostOfCodes],
    minimize: Sequence[str],
    budgets: Mapping[str, float],
    metric: Metric = DEFAULT_METRIC,
    measured: Collection[str] = (),
    *,
    limits: Mapping[str, CostOfCodes] | None = None,
    others: Mapping[str, CostOfCodes] | None = None,
    shared: Sequence[Constraint] = (),
) -> Problem:
    """Build the search problem: a metric to improve, costs to minimise, budgets to meet.

    Args:
        space: Gives the domain.
        cost_functions: By key, codes ``(n, d)`` to costs ``(n,)``; NaN marks rows that are not networks.
        minimize: Names of costs.
        budgets: Upper bounds by the cost's key.
        metric: What the evaluator gives.
        measured: Keys of costs that are measured with every trial; their functions are estimates. One that is neither
            minimised nor budgeted is measured all the same, and limits nothing.
        limits: What budgets bind, where that is another statistic than what is minimised; None for `cost_functions`.
        others: Further costs to minimise that no option names, by key.
        shared: Further constraints, which some network is known to meet.

    Raises:
        BudgetError: No network meets the budgets.
    """
    domain = Domain(space.cardinalities, canonical=space.canonical_codes, features=space.features)
    unbound = dict.fromkeys(set(measured) - {cost_named(word).key for word in minimize}, math.inf)
    constraints = tuple(
        Constraint(name, (limits or cost_functions)[name], upper, estimated=name in measured)
        for name, upper in {**unbound, **budgets}.items()
    ) + tuple(shared)
    first = Objective(metric.name, metric.direction, ceiling=metric.best)
    within = require_feasible(space, Problem(domain, (first,), constraints))
    objectives, anchors = [first], []
    minimized = {name: cost_functions[name] for name in (cost_named(word).key for word in minimize)}
    for name, function in {**minimized, **(others or {})}.items():
        objective, ends = _cost_objective(space, name, function, constraints, within)
        objectives.append(replace(objective, estimated=name in measured))
        anchors += ends
    return Problem(domain, tuple(objectives), constraints, tuple(dict.fromkeys(anchors)))


def _cost_objective(
    space: Space,
    name: str,
    function: CostOfCodes,
    constraints: tuple[Constraint, ...],
    known: Sequence[npt.NDArray[np.int64]],
) -> tuple[Objective, list[tuple[int, ...]]]:
    """Return a cost as an objective on a logarithmic scale from the cheapest to the costliest feasible network.

    The range of a few random samples would not do: networks more expensive than these would be worth nothing, and the
    best networks are among the most expensive.

    Args:
        space: What is searched.
        name: Key of the cost.
        function: Its values.
        constraints: What a feasible network keeps.
        known: Codes ``(d,)`` of some feasible networks, for tight constraints.
    """

    def within(codes: npt.NDArray[np.int64], sign: float) -> npt.NDArray[np.float64]:
        """Return costs times `sign`; NaN for networks over a budget."""
        values = sign * function(codes)
        for constraint in constraints:
            assert constraint.cost_function is not None
            values = np.where(constraint.cost_function(codes) <= constraint.upper, values, np.nan)
        return values

    cheapest, best = cheapest_network(space, lambda codes: within(codes, 1.0), known=known)
    most_expensive, negated = cheapest_network(space, lambda codes: within(codes, -1.0), known=known)
    ends = [tuple(space.encode(arch).tolist()) for arch in (cheapest, most_expensive)]
    if not 0 < best < -negated < math.inf:
        return Objective(name, "min", cost_function=function), []
    worst = -negated * (-negated / best) ** _MARGIN
    return Objective(name, "min", cost_function=function, worst=worst, best=best, log=True), ends


def require_feasible(space: Space, problem: Problem) -> list[npt.NDArray[np.int64]]:
    """Refuse budgets that no network of the space meets, before anything is trained.

    Returns:
        Codes ``(d,)`` of some networks that meet all of them; none without budgets.

    Raises:
        BudgetError: Naming the budget and the cheapest network, or all budgets where each alone could be met.
    """
    for constraint in problem.constraints:
        if constraint.cost_function is None or constraint.upper == math.inf:
            continue
        arch, value = cheapest_network(space, constraint.cost_function)
        if not value <= constraint.upper:
            cost = cost_of_key(constraint.name)
            assert cost is not None
            raise BudgetError(
                f"no network of the space meets {cost.budget_option} {cost.format(constraint.upper)}: the "
                f"cheapest network, {space.format(arch)}, has {cost.format(cost.least_budget(value))}"
            )
    bounds = [constraint for constraint in problem.constraints if constraint.upper < math.inf]
    if not bounds:
        return []
    found = [np.array(proposal.codes) for proposal in Study(problem, make_strategy("random"), seed=0).ask()]
    if not found:
        costs = [cost_of_key(constraint.name) for constraint in bounds]
        flags = ", ".join(cost.budget_option for cost in costs if cost is not None)
        raise BudgetError(f"found no network of the space that meets all of {flags}; raise one of them")
    return found
