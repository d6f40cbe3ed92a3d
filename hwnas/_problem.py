"""From a space, its costs and the budgets to the problem that `search` solves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwnas._errors import BudgetError
from hwnas._settings import OBJECTIVES
from hwnas._space_costs import least
from hwnas.spaces import Space
from search import Constraint, Domain, Objective, Problem, Study, make_strategy

Known = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]


def make_problem(
    space: Space, known: Mapping[str, Known], minimize: Sequence[str], budgets: Mapping[str, float]
) -> Problem:
    """Accuracy to maximise, costs to minimise, budgets to keep.

    Args:
        space: gives the domain.
        known: the cost functions, by name; NaN marks rows that are no network.
        minimize: keys of `OBJECTIVES`.
        budgets: upper bounds by cost name.
    """
    domain = Domain(space.cardinalities, canonical=space.canonical_codes, features=space.features)
    objectives = [Objective("accuracy", "max", worst=None, best=None, ceiling=1.0)]
    objectives += [Objective(OBJECTIVES[name], "min", known=known[OBJECTIVES[name]]) for name in minimize]
    constraints = [Constraint(name, known[name], upper) for name, upper in budgets.items()]
    return Problem(domain, tuple(objectives), tuple(constraints))


def require_feasible(space: Space, problem: Problem) -> None:
    """Refuse budgets that no network of the space meets, before anything is trained.

    Raises:
        BudgetError: naming the budget and the cheapest network, or all budgets where each alone could be met.
    """
    for constraint in problem.constraints:
        if constraint.known is None:
            continue
        arch, value = least(space, constraint.known)
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
