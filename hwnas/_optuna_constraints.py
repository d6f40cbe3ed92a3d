"""Constraints of Optuna's trials: where they are kept, and what they make of the losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas._errors import HwnasError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FloatArray = npt.NDArray[np.float64]
KEY = "constraints"
"""System attribute with the numbers of a ``constraints_func``; ``constraints:NAME`` is one of ``set_constraint``."""
UNKNOWN = {"": math.inf}
"""Of a trial whose ``constraints_func`` failed: it counts as violating, for nobody knows that it does not."""


def checked(values: object, whose: str, remedy: str) -> tuple[float, ...]:
    """Constraints as numbers.

    Raises:
        HwnasError: they are no sequence of numbers, or one is NaN.
    """
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise HwnasError(f"{whose}: {values!r} is no sequence of numbers; {remedy}")
    return tuple(_number(value, whose, remedy) for value in values)


def constraints_of(
    trial: FrozenTrial, function: Callable[[FrozenTrial], Sequence[float]] | None
) -> Mapping[str, float]:
    """Constraints of a finished trial by name; it is feasible where none is above 0, and where it has none.

    What ``trial.set_constraint`` keeps has the name it was given, what a ``constraints_func`` keeps its place. The
    function is asked for trials that have neither: they are another sampler's.

    Raises:
        HwnasError: what is kept, or what the function gives, are no numbers.
    """
    whose = f"constraints of trial {trial.number}"
    damaged = "the study's storage is damaged there: copy the other trials into a new study"
    found, kept = {}, trial.system_attrs.get(KEY)
    if kept is not None:
        found = {str(i): value for i, value in enumerate(checked(kept, whose, damaged))}
    for name, value in trial.system_attrs.items():
        if isinstance(name, str) and name.startswith(f"{KEY}:"):
            found[name.removeprefix(f"{KEY}:")] = _number(value, whose, damaged)
    if found or kept is not None:
        return found
    if function is not None:
        values = checked(function(trial), whose, "constraints_func must give numbers, at most 0 where feasible")
        return {str(i): value for i, value in enumerate(values)}
    return UNKNOWN if KEY in trial.system_attrs else {}


def violations(constraints: Sequence[Mapping[str, float]]) -> FloatArray:
    """How far each of ``n`` trials is from feasible, ``(n,)`` from 0 (feasible) to 1.

    Each constraint counts as a share of its greatest violation, so that their units do not matter. A constraint that a
    trial lacks is not violated, as Optuna has it.
    """
    names = sorted({name for one in constraints for name in one})
    excess = np.array([[max(one.get(name, 0.0), 0.0) for name in names] for one in constraints])
    excess = excess.reshape(len(constraints), -1)
    if not excess.any():
        return np.zeros(len(constraints))
    most = np.where(np.isfinite(excess), excess, 0.0).max(axis=0)
    share = np.where(np.isinf(excess), 1.0, np.minimum(excess, most) / np.where(most > 0, most, 1.0))
    # a violation stays one, however small it is beside the greatest
    return np.where((excess > 0).any(axis=1), np.maximum(share.mean(axis=1), np.finfo(np.float64).tiny), 0.0)


def _number(value: object, whose: str, remedy: str) -> float:
    if not isinstance(value, (Real, np.bool_)) or math.isnan(float(value)):
        raise HwnasError(f"{whose}: {value!r} is no number; {remedy}")
    return float(value)
