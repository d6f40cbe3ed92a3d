"""The problem of a search: its domain, objectives and constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._domain import Domain
from search._errors import ProblemError

__all__ = ["Constraint", "CostFunction", "Objective", "Problem"]

CostFunction = Callable[[IntArray], FloatArray]
"""Maps canonical rows ``(n, d)`` to values ``(n,)`` without evaluating an architecture."""


@dataclass(frozen=True)
class Objective:
    """One objective, in its natural unit and direction.

    Attributes:
        name: Key of the objective in the values of a trial.
        direction: `"max"` or `"min"`.
        cost_function: Computes the objective of canonical rows, ``(n, d)`` to ``(n,)``, without evaluating them
            (a latency from a table, say). `None`: the objective is expensive; each trial's value is told.
        worst: Natural value that normalises to 0 and is the reference of the hypervolume;
            `None`: see `Normaliser`.
        best: Natural value that normalises to 1; `None`: see `Normaliser`.
        ceiling: A natural value that the objective cannot exceed (1 for an accuracy); models of an expensive
            objective then predict nothing beyond it. `None`: unknown.
        log: Normalise the logarithm, so that equal ratios are worth the same: for a positive cost with a cost function
            that spans orders of magnitude.

    Raises:
        ProblemError: The direction is unknown, the bounds contradict each other, or `log` cannot be taken.
    """

    name: str
    direction: Literal["max", "min"]
    cost_function: CostFunction | None = None
    worst: float | None = None
    best: float | None = None
    ceiling: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise ProblemError(f"objective {self.name!r}: direction must be 'max' or 'min', got {self.direction!r}")
        if self.log and (self.cost_function is None or min(self.worst or 1.0, self.best or 1.0) <= 0):
            raise ProblemError(f"objective {self.name!r}: log needs a cost function with positive values")
        if (self.worst is None) != (self.best is None):
            raise ProblemError(f"objective {self.name!r}: give both worst and best, or neither")
        if self.worst is not None and self.best is not None:
            spread = (self.best - self.worst) * (1 if self.direction == "max" else -1)
            if not (math.isfinite(spread) and spread > 0):
                ends = f"worst={self.worst:g} and best={self.best:g}"
                raise ProblemError(f"objective {self.name!r}: best must be better than worst, got {ends}")

    @property
    def sign(self) -> float:
        """The factor that turns the objective into one to maximise: +1 or -1."""
        return 1.0 if self.direction == "max" else -1.0


@dataclass(frozen=True)
class Constraint:
    """An upper bound on a quantity.

    Attributes:
        name: Name of the quantity; a measured quantity is told under this name.
        cost_function: Computes the quantity of canonical rows, ``(n, d)`` to ``(n,)``: rows above the bound, or with
            NaN, are never proposed. `None`: the quantity is measured with each trial and told with its
            objectives; trials above the bound are kept, but no front, model or hypervolume counts them.
        upper: The bound; values up to and including it are feasible.
    """

    name: str
    cost_function: CostFunction | None
    upper: float


@dataclass(frozen=True)
class Problem:
    """A domain, at least one objective and any number of constraints.

    Attributes:
        domain: The architectures.
        objectives: The objectives, maximised and minimised.
        constraints: The constraints.
        anchors: Rows that the initial design begins with, as far as they are admissible: the extremes of a
            cost, say, which random samples of a large domain never come near.
        low_fidelity: Whether architectures can be evaluated at low fidelity: with fewer epochs, or with a supernet
            instead of a training of their own. Such an evaluation estimates the expensive objectives, in the same
            direction; its trials inform models and count for no front or hypervolume.

    Raises:
        ProblemError: There is no objective or a name occurs twice.
    """

    domain: Domain
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    anchors: tuple[tuple[int, ...], ...] = ()
    low_fidelity: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        if not self.objectives:
            raise ProblemError("a problem needs at least one objective")
        names = [o.name for o in self.objectives] + [c.name for c in self.measured]
        if len(set(names)) != len(names):
            raise ProblemError(f"names of objectives and measured constraints must differ, got {names}")

    @property
    def signs(self) -> FloatArray:
        """The `Objective.sign` of each objective ``(m,)``."""
        return np.array([o.sign for o in self.objectives])

    @property
    def expensive(self) -> tuple[int, ...]:
        """Indices of the objectives without a cost function."""
        return tuple(i for i, o in enumerate(self.objectives) if o.cost_function is None)

    @property
    def measured(self) -> tuple[Constraint, ...]:
        """The constraints without a cost function."""
        return tuple(c for c in self.constraints if c.cost_function is None)

    def feasible(self, values: Mapping[str, float]) -> bool:
        """Check whether a trial's values keep every measured constraint."""
        return all(values[c.name] <= c.upper for c in self.measured)

    def known_values(self, codes: IntArray) -> FloatArray:
        """Compute natural values ``(n, m)`` of canonical rows ``(n, d)``; NaN for expensive objectives."""
        values = np.full((len(codes), len(self.objectives)), np.nan)
        if len(codes):
            for i, objective in enumerate(self.objectives):
                if objective.cost_function is not None:
                    values[:, i] = objective.cost_function(codes)
        return values

    def violation(self, codes: IntArray) -> FloatArray:
        """Sum the relative excesses over the bounds of constraints with a cost function.

        Args:
            codes: Canonical rows ``(n, d)``.

        Returns:
            Sums ``(n,)``: 0 where all constraints hold, inf where a value is NaN.
        """
        total = np.zeros(len(codes))
        if len(codes):
            for constraint in self.constraints:
                if constraint.cost_function is None:
                    continue
                excess = np.asarray(constraint.cost_function(codes), dtype=np.float64) - constraint.upper
                scale = abs(constraint.upper) or 1.0
                total += np.where(np.isnan(excess), np.inf, np.maximum(excess, 0.0) / scale)
        return total

    def admissible(self, codes: IntArray) -> BoolArray:
        """Mark the canonical rows ``(n, d)`` with finite costs that keep every computed constraint ``(n,)``."""
        allowed: BoolArray = self.violation(codes) == 0.0
        priced = [i for i, o in enumerate(self.objectives) if o.cost_function is not None]
        if priced and len(codes):
            allowed &= np.isfinite(self.known_values(codes)[:, priced]).all(axis=1)
        return allowed

    def named_known_values(self, code: IntArray) -> Mapping[str, float]:
        """Compute the objectives with a cost function for one canonical row ``(d,)``, by name."""
        row = self.known_values(code[None, :])[0]
        return {o.name: float(v) for o, v in zip(self.objectives, row, strict=True) if o.cost_function is not None}
