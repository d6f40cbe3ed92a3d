"""From a space, its costs and the budgets to the problem that `search` solves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwnas._costs._space_costs import CostOfCodes, cheapest_network
from hwnas._errors import BudgetError
from hwnas._runs._settings import OBJECTIVES
from hwnas.spaces import Space
from search import Constraint, Domain, Objective, Problem, Study, make_strategy

_MARGIN = 0.1
"""How far beyond the most expensive network the reference point lies, as a share of the (logarithmic) range."""


def make_problem(
    space: Space,
    cost_functions: Mapping[str, CostOfCodes],
    minimize: Sequence[str],
    budgets: Mapping[str, float],
    measure: str = "accuracy",
) -> Problem:
    """Accuracy (or a score that stands for it) to maximise, costs to minimise, budgets to keep.

    Args:
        space: Gives the domain.
        cost_functions: By name, codes ``(n, d)`` to costs ``(n,)``; NaN marks rows that are no network.
        minimize: Keys of `OBJECTIVES`.
        budgets: Upper bounds by cost name.
        measure: what the evaluator gives.

    Raises:
        BudgetError: no network meets the budgets.
    """
    domain = Domain(space.cardinalities, canonical=space.canonical_codes, features=space.features)
    constraints = tuple(Constraint(name, cost_functions[name], upper) for name, upper in budgets.items())
    require_feasible(space, Problem(domain, (Objective(measure, "max"),), constraints))
    ceiling = 1.0 if measure == "accuracy" else None
    objectives, anchors = [Objective(measure, "max", ceiling=ceiling)], []
    for name in (OBJECTIVES[word] for word in minimize):
        objective, ends = _cost_objective(space, name, cost_functions[name], constraints)
        objectives.append(objective)
        anchors += ends
    return Problem(domain, tuple(objectives), constraints, tuple(dict.fromkeys(anchors)))


def _cost_objective(
    space: Space, name: str, function: CostOfCodes, constraints: tuple[Constraint, ...]
) -> tuple[Objective, list[tuple[int, ...]]]:
    """A cost on a logarithmic scale over all feasible networks, and the cheapest and the most expensive of them.

    The range of a few random samples would not do: networks more expensive than these would be worth nothing, and the
    most accurate networks are among the most expensive.
    """

    def within(codes: npt.NDArray[np.int64], sign: float) -> npt.NDArray[np.float64]:
        values = sign * function(codes)
        for constraint in constraints:
            assert constraint.cost_function is not None
            values = np.where(constraint.cost_function(codes) <= constraint.upper, values, np.nan)
        return values

    cheapest, best = cheapest_network(space, lambda codes: within(codes, 1.0))
    most_expensive, negated = cheapest_network(space, lambda codes: within(codes, -1.0))
    ends = [tuple(space.encode(arch).tolist()) for arch in (cheapest, most_expensive)]
    if not 0 < best < -negated < math.inf:
        return Objective(name, "min", cost_function=function), []
    worst = -negated * (-negated / best) ** _MARGIN
    return Objective(name, "min", cost_function=function, worst=worst, best=best, log=True), ends


def require_feasible(space: Space, problem: Problem) -> None:
    """Refuse budgets that no network of the space meets, before anything is trained.

    Raises:
        BudgetError: naming the budget and the cheapest network, or all budgets where each alone could be met.
    """
    for constraint in problem.constraints:
        if constraint.cost_function is None:
            continue
        arch, value = cheapest_network(space, constraint.cost_function)
        if not value <= constraint.upper:
            flag, write = _WRITTEN[constraint.name]
            raise BudgetError(
                f"no network of the space meets {flag} {write(constraint.upper)}: the cheapest, "
                f"{space.format(arch)}, takes {write(value)}"
            )
    if problem.constraints and not Study(problem, make_strategy("random"), seed=0).ask():
        flags = ", ".join(_WRITTEN[constraint.name][0] for constraint in problem.constraints)
        raise BudgetError(f"found no network of the space that meets all of {flags}; raise one of them")


_WRITTEN: dict[str, tuple[str, Callable[[float], str]]] = {
    "latency_ms": ("--latency-budget", lambda value: f"{value:.4g}ms"),
    "macs": ("--macs-budget", lambda value: f"{value:.0f}"),
    "params": ("--params-budget", lambda value: f"{value:.0f}"),
    "peak_memory_bytes": ("--memory-budget", lambda value: f"{value:.0f}"),
}
