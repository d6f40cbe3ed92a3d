"""One-shot methods: distributions over a space's choices, what they cost, and one network that computes all of them.

A distribution is one vector of probabilities for each choice, in the space's order; choices are independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.oneshot._aim import Aim
    from hwnas.oneshot._distribution import Distribution, one_hot, sample_codes, uniform
    from hwnas.oneshot._expected import ExpectationError, ExpectedCost, MonteCarlo
    from hwnas.oneshot._members import tell_devices_apart
    from hwnas.oneshot._method import OneShotMethod
    from hwnas.oneshot._methods import METHODS, make_method, method_options
    from hwnas.oneshot._mixture import Mixture
    from hwnas.oneshot._record import DeviceRecord, EpochRecord, TrainingRecord, read_training
    from hwnas.oneshot._routes import (
        ROUTES,
        Kernel,
        Route,
        SummedLayer,
        expected_ms,
        fastest_route,
        summed_convolution,
    )
    from hwnas.oneshot._solve import Solution, Solver, solve
    from hwnas.oneshot._tabular import TabularExpectation, learn_tabular
    from hwnas.oneshot._training import load_trained, train_one_shot
    from hwnas.oneshot._training_settings import Beginning, TrainingSettings

_LAZY = {
    "METHODS": "_methods",
    "Aim": "_aim",
    "Beginning": "_training_settings",
    "DeviceRecord": "_record",
    "Distribution": "_distribution",
    "EpochRecord": "_record",
    "ExpectationError": "_expected",
    "ExpectedCost": "_expected",
    "Kernel": "_routes",
    "Mixture": "_mixture",
    "MonteCarlo": "_expected",
    "ROUTES": "_routes",
    "Route": "_routes",
    "Solution": "_solve",
    "Solver": "_solve",
    "SummedLayer": "_routes",
    "expected_ms": "_routes",
    "fastest_route": "_routes",
    "TabularExpectation": "_tabular",
    "learn_tabular": "_tabular",
    "load_trained": "_training",
    "make_method": "_methods",
    "OneShotMethod": "_method",
    "TrainingRecord": "_record",
    "TrainingSettings": "_training_settings",
    "method_options": "_methods",
    "one_hot": "_distribution",
    "read_training": "_record",
    "sample_codes": "_distribution",
    "solve": "_solve",
    "summed_convolution": "_routes",
    "tell_devices_apart": "_members",
    "train_one_shot": "_training",
    "uniform": "_distribution",
}

__all__ = [
    "METHODS",
    "ROUTES",
    "Aim",
    "Beginning",
    "DeviceRecord",
    "Distribution",
    "EpochRecord",
    "ExpectationError",
    "ExpectedCost",
    "Kernel",
    "Mixture",
    "MonteCarlo",
    "OneShotMethod",
    "Route",
    "Solution",
    "Solver",
    "SummedLayer",
    "TabularExpectation",
    "TrainingRecord",
    "TrainingSettings",
    "expected_ms",
    "fastest_route",
    "learn_tabular",
    "load_trained",
    "make_method",
    "method_options",
    "one_hot",
    "read_training",
    "sample_codes",
    "solve",
    "summed_convolution",
    "tell_devices_apart",
    "train_one_shot",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'hwnas.oneshot' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hwnas.oneshot.{_LAZY[name]}"), name)
