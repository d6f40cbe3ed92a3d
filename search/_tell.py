"""Finished trials from told values."""

from __future__ import annotations

import math
from collections.abc import Mapping

from search._errors import TellError
from search._problem import Problem
from search._trial import Proposal, Trial

__all__ = ["evaluated_trial"]

_COST_TOLERANCE = 1e-9


def evaluated_trial(
    problem: Problem, proposal: Proposal, values: Mapping[str, float], deviations: Mapping[str, float]
) -> Trial:
    """Make the finished trial of a proposal; a failed one where a value is not finite.

    Args:
        problem: The problem.
        proposal: The proposal.
        values: Told values by name; those of objectives with an exact cost function may be left out, and at low
            fidelity those of estimated quantities, whose estimate then stands.
        deviations: Standard deviations of the errors of estimated quantities' told values, by name.

    Raises:
        TellError: A value is missing, its name is unknown, or it differs from that of the exact cost function; a
            deviation is negative, not finite, or not that of an estimated quantity's told value.
    """
    names = [o.name for o in problem.objectives]
    names += [] if proposal.low_fidelity else [c.name for c in problem.measured]
    names += [name for name in problem.estimated if name not in names]
    without = {**proposal.known_values, **(proposal.estimates if proposal.low_fidelity else {})}
    where = f"trial {proposal.number}"
    for name in values:
        if name not in names:
            raise TellError(f"{where}: unknown objective {name!r}; the objectives are {', '.join(names)}")
    for name, deviation in deviations.items():
        if name not in problem.estimated or name not in values:
            raise TellError(f"{where}: {name!r} has a deviation, but no told value of an estimated quantity")
        if not 0 <= deviation < math.inf:
            raise TellError(f"{where}: the deviation of {name!r} must be finite and 0 or more, got {deviation}")
    complete: dict[str, float] = {}
    for name in names:
        if name not in without and name not in values:
            raise TellError(f"{where}: the value of {name!r} is missing")
        cost = proposal.known_values.get(name)
        value = float(values[name]) if name in values else float(without[name])
        if cost is not None and not math.isclose(value, cost, rel_tol=_COST_TOLERANCE, abs_tol=1e-12):
            raise TellError(f"{where}: {name} must be {cost} by its cost function, got {value}")
        complete[name] = value if cost is None else cost
    wrong = [f"{name} is {value}" for name, value in complete.items() if not math.isfinite(value)]
    positive = [o.name for o in problem.objectives if o.log and o.estimated and math.isfinite(complete[o.name])]
    wrong += [f"{name} is {complete[name]}, but must be positive" for name in positive if complete[name] <= 0]
    if wrong:
        return Trial(proposal.number, proposal.codes, {}, ", ".join(wrong), proposal.low_fidelity)
    known = {name: float(deviation) for name, deviation in deviations.items()}
    return Trial(proposal.number, proposal.codes, complete, None, proposal.low_fidelity, known)
