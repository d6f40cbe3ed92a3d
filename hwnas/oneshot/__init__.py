"""One-shot methods: distributions over a space's choices, what they cost, and one network that computes all of them.

A distribution is one vector of probabilities for each choice, in the space's order; choices are independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.oneshot._aim import Aim
    from hwnas.oneshot._distribution import Distribution, one_hot, sample_codes, uniform
    from hwnas.oneshot._expected import ExpectationError, ExpectedCost, MonteCarlo
    from hwnas.oneshot._method import OneShotMethod
    from hwnas.oneshot._methods import METHODS, make_method, method_options
    from hwnas.oneshot._mixture import Mixture
    from hwnas.oneshot._record import EpochRecord, TrainingRecord, read_training
    from hwnas.oneshot._solve import Solution, Solver, solve
    from hwnas.oneshot._training import Beginning, TrainingSettings, train_one_shot

_LAZY = {
    "METHODS": "_methods",
    "Aim": "_aim",
    "Beginning": "_training",
    "Distribution": "_distribution",
    "EpochRecord": "_record",
    "ExpectationError": "_expected",
    "ExpectedCost": "_expected",
    "Mixture": "_mixture",
    "MonteCarlo": "_expected",
    "OneShotMethod": "_method",
    "Solution": "_solve",
    "Solver": "_solve",
    "TrainingRecord": "_record",
    "TrainingSettings": "_training",
    "make_method": "_methods",
    "method_options": "_methods",
    "one_hot": "_distribution",
    "read_training": "_record",
    "sample_codes": "_distribution",
    "solve": "_solve",
    "train_one_shot": "_training",
    "uniform": "_distribution",
}

__all__ = [
    "METHODS",
    "Aim",
    "Beginning",
    "Distribution",
    "EpochRecord",
    "ExpectationError",
    "ExpectedCost",
    "Mixture",
    "MonteCarlo",
    "OneShotMethod",
    "Solution",
    "Solver",
    "TrainingRecord",
    "TrainingSettings",
    "make_method",
    "method_options",
    "one_hot",
    "read_training",
    "sample_codes",
    "solve",
    "train_one_shot",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'hwnas.oneshot' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hwnas.oneshot.{_LAZY[name]}"), name)
