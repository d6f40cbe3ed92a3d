"""One-shot methods: distributions over a space's choices, what they cost, and one network that computes all of them.

A distribution is one vector of probabilities for each choice, in the space's order; choices are independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.oneshot._distribution import Distribution, one_hot, sample_codes, uniform
    from hwnas.oneshot._expected import ExpectationError, ExpectedCost, MonteCarlo
    from hwnas.oneshot._methods import make_method
    from hwnas.oneshot._mixture import Mixture
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

_LAZY = {
    "Distribution": "_distribution",
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
    "make_method": "_methods",
    "one_hot": "_distribution",
    "sample_codes": "_distribution",
    "solve": "_solve",
    "summed_convolution": "_routes",
    "uniform": "_distribution",
}

__all__ = [
    "ROUTES",
    "Distribution",
    "ExpectationError",
    "ExpectedCost",
    "Kernel",
    "Mixture",
    "MonteCarlo",
    "Route",
    "Solution",
    "Solver",
    "SummedLayer",
    "TabularExpectation",
    "expected_ms",
    "fastest_route",
    "learn_tabular",
    "make_method",
    "one_hot",
    "sample_codes",
    "solve",
    "summed_convolution",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'hwnas.oneshot' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hwnas.oneshot.{_LAZY[name]}"), name)
