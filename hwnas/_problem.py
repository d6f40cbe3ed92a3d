"""From a space, its costs and the budgets to the problem that `search` solves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import BudgetError
from hwnas._settings import OBJECTIVES
from hwnas._space_costs import SpaceCosts
from hwnas.spaces import Space
from search import Constraint, Domain, Objective, Problem

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


def require_reachable(costs: SpaceCosts, budget_ms: float) -> None:
    """Refuse a latency budget that no network of the space meets.

    Raises:
        BudgetError: naming the fastest network.
    """
    arch, fastest = costs.fastest()
    if fastest > budget_ms:
        raise BudgetError(
            f"no network of the space meets --latency-budget {budget_ms:g}ms: the fastest, "
            f"{costs.space.format(arch)}, takes {fastest:.4g}ms"
        )


def trial_record(space: Space, trial: Any, seconds: float) -> dict[str, Any]:
    """A journal line: the trial, its architecture in words and what it took."""
    return {**trial.to_json(), "arch": space.format(space.decode(trial.codes)), "seconds": round(seconds, 4)}
