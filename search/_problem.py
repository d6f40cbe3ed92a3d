"""What is searched for: typed objectives, constraints and the domain they live on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._domain import Domain
from search._errors import ProblemError

__all__ = ["Constraint", "Objective", "Problem"]

CostFunction = Callable[[IntArray], FloatArray]


@dataclass(frozen=True)
class Objective:
    """One objective, in its natural unit and direction.

    Attributes:
        name: Key of the objective in the values of a trial.
        direction: `"max"` or `"min"`.
        cost_function: Computes the objective of canonical rows (n, d) -> (n,) without evaluating them
            (a latency from a table, say). `None`: the objective is expensive and must be told.
        worst: Natural value that normalises to 0 and is the reference of the hypervolume;
            `None`: see `Normaliser`.
        best: Natural value that normalises to 1; `None`: see `Normaliser`.
        ceiling: A natural value that the objective cannot pass (1 for an accuracy); models of an expensive
            objective then promise nothing beyond it. `None`: unknown.
        log: Normalise the logarithm, so that equal ratios are worth the same: for a known, positive cost that
            spans orders of magnitude.
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
            raise ProblemError(f"objective {self.name!r}: direction must be 'max' or 'min'")
        if self.log and (self.cost_function is None or min(self.worst or 1.0, self.best or 1.0) <= 0):
            raise ProblemError(f"objective {self.name!r}: log is for known objectives with positive values")
        if (self.worst is None) != (self.best is None):
            raise ProblemError(f"objective {self.name!r}: give both worst and best, or neither")
        if self.worst is not None and self.best is not None:
            spread = (self.best - self.worst) * (1 if self.direction == "max" else -1)
            if not (math.isfinite(spread) and spread > 0):
                raise ProblemError(f"objective {self.name!r}: best must be better than worst")

    @property
    def sign(self) -> float:
        """+1 when the objective is maximised, -1 when it is minimised."""
        return 1.0 if self.direction == "max" else -1.0


@dataclass(frozen=True)
class Constraint:
    """An upper bound on a quantity.

    Attributes:
        name: Its name; the key under which an expensive constraint's value is told.
        cost_function: Computes the quantity of canonical rows (n, d) -> (n,): rows above the bound, or with NaN,
            are never proposed. `None`: the quantity is measured with each trial and told with its
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
        objectives: What is maximised and minimised.
        constraints: What must hold.
        anchors: Rows that the initial design begins with (as far as they are admissible): the extremes of a
            known cost, say, which random samples of a large domain never come near.
        low_fidelity: Whether there is a cheap stand-in for a full evaluation: fewer epochs, a supernet instead of a training
            of its own. It tells the expensive objectives too, in the same direction, but wrongly: cheap trials inform
            models and count for no front or hypervolume.

    Raises:
        ProblemError: When there is no objective or a name occurs twice.
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
        """+1 or -1 for each objective (m,): multiplies natural values into maximisation."""
        return np.array([o.sign for o in self.objectives])

    @property
    def expensive(self) -> tuple[int, ...]:
        """Indices of the objectives that must be evaluated."""
        return tuple(i for i, o in enumerate(self.objectives) if o.cost_function is None)

    @property
    def measured(self) -> tuple[Constraint, ...]:
        """The expensive constraints."""
        return tuple(c for c in self.constraints if c.cost_function is None)

    def feasible(self, values: Mapping[str, float]) -> bool:
        """Whether a trial's values keep every expensive constraint."""
        return all(values[c.name] <= c.upper for c in self.measured)

    def known_values(self, codes: IntArray) -> FloatArray:
        """Natural values (n, m) of canonical rows (n, d); NaN in the columns of expensive objectives."""
        values = np.full((len(codes), len(self.objectives)), np.nan)
        if len(codes):
            for i, objective in enumerate(self.objectives):
                if objective.cost_function is not None:
                    values[:, i] = objective.cost_function(codes)
        return values

    def violation(self, codes: IntArray) -> FloatArray:
        """Summed relative excess (n,) over the known constraints' bounds; 0 where all hold, inf for NaN."""
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
        """Which canonical rows (n, d) keep every known constraint and have finite known objectives (n,)."""
        allowed: BoolArray = self.violation(codes) == 0.0
        priced = [i for i, o in enumerate(self.objectives) if o.cost_function is not None]
        if priced and len(codes):
            allowed &= np.isfinite(self.known_values(codes)[:, priced]).all(axis=1)
        return allowed

    def named_known_values(self, code: IntArray) -> Mapping[str, float]:
        """The known objectives of one canonical row (d,), by name."""
        row = self.known_values(code[None, :])[0]
        return {o.name: float(v) for o, v in zip(self.objectives, row, strict=True) if o.cost_function is not None}
