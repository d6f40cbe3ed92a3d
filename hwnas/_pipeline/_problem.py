"""From a space, its costs and the budgets to the problem that `search` solves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwnas._costs._space_costs import cheapest_network
from hwnas._errors import BudgetError
from hwnas._runs._settings import OBJECTIVES
from hwnas.spaces import Space
from hwnas.tasks import DEFAULT_METRIC, Metric
from search import Constraint, Domain, Objective, Problem, Study, make_strategy

_MARGIN = 0.1
"""How far beyond the dearest network the reference point lies, as a share of the (logarithmic) range."""
Known = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]


def make_problem(
    space: Space,
    known: Mapping[str, Known],
    minimize: Sequence[str],
    budgets: Mapping[str, float],
    metric: Metric = DEFAULT_METRIC,
) -> Problem:
    """A metric to make better, costs to minimise, budgets to keep.

    Args:
        space: gives the domain.
        known: the cost functions, by name; NaN marks rows that are no network.
        minimize: keys of `OBJECTIVES`.
        budgets: upper bounds by cost name.
        metric: what the evaluator gives.

    Raises:
        BudgetError: no network meets the budgets.
    """
    domain = Domain(space.cardinalities, canonical=space.canonical_codes, features=space.features)
    constraints = tuple(Constraint(name, known[name], upper) for name, upper in budgets.items())
    first = Objective(metric.name, metric.direction, ceiling=metric.best)
    require_feasible(space, Problem(domain, (first,), constraints))
    objectives, anchors = [first], []
    for name in (OBJECTIVES[word] for word in minimize):
        objective, ends = _cost(space, name, known[name], constraints)
        objectives.append(objective)
        anchors += ends
    return Problem(domain, tuple(objectives), constraints, tuple(dict.fromkeys(anchors)))


def _cost(
    space: Space, name: str, function: Known, constraints: tuple[Constraint, ...]
) -> tuple[Objective, list[tuple[int, ...]]]:
    """A known cost on a logarithmic scale over all feasible networks, and the cheapest and the dearest of them.

    The range of a few random samples would not do: what is dearer than they are would be worth nothing, and the
    best networks are among the dearest.
    """

    def within(codes: npt.NDArray[np.int64], sign: float) -> npt.NDArray[np.float64]:
        values = sign * function(codes)
        for constraint in constraints:
            assert constraint.known is not None
            values = np.where(constraint.known(codes) <= constraint.upper, values, np.nan)
        return values

    cheapest, best = cheapest_network(space, lambda codes: within(codes, 1.0))
    dearest, negated = cheapest_network(space, lambda codes: within(codes, -1.0))
    ends = [tuple(space.encode(arch).tolist()) for arch in (cheapest, dearest)]
    if not 0 < best < -negated < math.inf:
        return Objective(name, "min", known=function), []
    worst = -negated * (-negated / best) ** _MARGIN
    return Objective(name, "min", known=function, worst=worst, best=best, log=True), ends


def require_feasible(space: Space, problem: Problem) -> None:
    """Refuse budgets that no network of the space meets, before anything is trained.

    Raises:
        BudgetError: naming the budget and the cheapest network, or all budgets where each alone could be met.
    """
    for constraint in problem.constraints:
        if constraint.known is None:
            continue
        arch, value = cheapest_network(space, constraint.known)
        if not value <= constraint.upper:
            flag, write = _WRITTEN[constraint.name]
            raise BudgetError(
                f"no network of the space meets {flag} {write(constraint.upper)}: the least, "
                f"{space.format(arch)}, takes {write(value)}"
            )
    if problem.constraints and not Study(problem, make_strategy("random"), seed=0).ask():
        flags = ", ".join(_WRITTEN[constraint.name][0] for constraint in problem.constraints)
        raise BudgetError(f"no network of the space was found that meets all of {flags}; relax one of them")


_WRITTEN: dict[str, tuple[str, Callable[[float], str]]] = {
    "latency_ms": ("--latency-budget", lambda value: f"{value:.4g}ms"),
    "macs": ("--macs-budget", lambda value: f"{value:.0f}"),
    "params": ("--params-budget", lambda value: f"{value:.0f}"),
    "peak_memory_bytes": ("--memory-budget", lambda value: f"{value:.0f}"),
}
