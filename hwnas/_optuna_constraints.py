"""Constraints of Optuna's trials: how they are stored and read, and how far trials violate them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Real

import numpy as np
import numpy.typing as npt
from optuna import Study
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial, TrialState

from hwnas import HwnasError

FloatArray = npt.NDArray[np.float64]
KEY = "constraints"
"""System attribute with the numbers of a ``constraints_func``; ``constraints:NAME`` is one of ``set_constraint``."""
UNKNOWN = {"": math.inf}
"""Constraints of a trial whose ``constraints_func`` failed: it counts as violating, since they are unknown."""


class ConstraintKeeper:
    """Stores the constraints of finished trials where Optuna's own samplers store them.

    Optuna has no public function that stores the result of a ``constraints_func``, but the `after_trial` of its
    samplers does so, in the way of the installed version.

    Args:
        function: Gives the constraints of a finished trial.
    """

    def __init__(self, function: Callable[[FrozenTrial], Sequence[float]]) -> None:
        self._function = function
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna 4 calls the argument experimental, Optuna 5 deprecated
            self._sampler = NSGAIISampler(constraints_func=self._checked)

    def store(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Store the constraints of a trial that is complete or pruned; the arguments are those of `after_trial`.

        Raises:
            HwnasError: The function does not give numbers.
        """
        if state in (TrialState.COMPLETE, TrialState.PRUNED):
            self._sampler.after_trial(study, trial, state, values)

    def _checked(self, trial: FrozenTrial) -> tuple[float, ...]:
        whose = f"constraints_func of trial {trial.number}"
        return checked(self._function(trial), whose, "it must return numbers, 0 or less where feasible")


def checked(values: object, whose: str, remedy: str) -> tuple[float, ...]:
    """Return constraints as numbers.

    Args:
        values: The values.
        whose: Owner of the values, for the error.
        remedy: What to do, for the error.

    Raises:
        HwnasError: The values are not a sequence of numbers, or one is NaN.
    """
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise HwnasError(f"{whose}: {values!r} is not a sequence of numbers; {remedy}")
    return tuple(_number(value, whose, remedy) for value in values)


def constraints_of(
    trial: FrozenTrial, function: Callable[[FrozenTrial], Sequence[float]] | None
) -> Mapping[str, float]:
    """Return constraints of a finished trial by name. A trial is feasible where none is above 0, and where it has none.

    Constraints of ``trial.set_constraint`` have the name that it was given, those of a ``constraints_func`` are named
    by their place. The function is called for trials that have neither: another sampler proposed them.

    Args:
        trial: The finished trial.
        function: The ``constraints_func``; None for none.

    Raises:
        HwnasError: The stored constraints, or those of the function, are not numbers.
    """
    whose = f"constraints of trial {trial.number}"
    damaged = "the study's storage is damaged there: copy the other trials into a new study"
    constraints: dict[str, float] = {}
    stored = trial.system_attrs.get(KEY)
    if stored is not None:
        constraints = {str(i): value for i, value in enumerate(checked(stored, whose, damaged))}
    for name, value in trial.system_attrs.items():
        if isinstance(name, str) and name.startswith(f"{KEY}:"):
            constraints[name.removeprefix(f"{KEY}:")] = _number(value, whose, damaged)
    if constraints or stored is not None:
        return constraints
    if function is not None:
        values = checked(function(trial), whose, "constraints_func must return numbers, 0 or less where feasible")
        return {str(i): value for i, value in enumerate(values)}
    return UNKNOWN if KEY in trial.system_attrs else {}


def violations(constraints: Sequence[Mapping[str, float]]) -> FloatArray:
    """Return how far each of ``n`` trials is from feasible, ``(n,)`` from 0 (feasible) to 1.

    Each constraint counts as a share of its largest violation, so that units do not matter. As in Optuna, a trial does
    not violate a constraint that it lacks.

    Args:
        constraints: Constraints of each trial by name, violated above 0.
    """
    names = sorted({name for of_trial in constraints for name in of_trial})
    excess = np.array([[max(of_trial.get(name, 0.0), 0.0) for name in names] for of_trial in constraints])
    excess = excess.reshape(len(constraints), -1)
    if not excess.any():
        return np.zeros(len(constraints))
    most = np.where(np.isfinite(excess), excess, 0.0).max(axis=0)
    share = np.where(np.isinf(excess), 1.0, np.minimum(excess, most) / np.where(most > 0, most, 1.0))
    # A violation stays above 0, however small it is compared with the largest.
    return np.where((excess > 0).any(axis=1), np.maximum(share.mean(axis=1), np.finfo(np.float64).tiny), 0.0)


def _number(value: object, whose: str, remedy: str) -> float:
    if not isinstance(value, (Real, np.bool_)) or math.isnan(float(value)):
        raise HwnasError(f"{whose}: {value!r} is not a number; {remedy}")
    return float(value)
