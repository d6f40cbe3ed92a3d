"""The problem of a search: its domain, objectives and constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._domain import Domain
from search._errors import ProblemError
from search._estimate import EstimateModel
from search._trial import Trial

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
            (parameters, say). `None`: the objective is expensive; each trial's value is told.
        worst: Natural value that normalises to 0 and is the reference of the hypervolume;
            `None`: see `Normaliser`.
        best: Natural value that normalises to 1; `None`: see `Normaliser`.
        ceiling: A natural value that the objective cannot exceed (1 for an accuracy); models of an expensive
            objective then predict nothing beyond it. `None`: unknown.
        log: Normalise the logarithm, so that equal ratios are worth the same: for a positive cost with a cost function
            that spans orders of magnitude.
        estimated: Whether the cost function is only an estimate (a latency from a table, say): each trial's value is
            told, and the estimate, corrected by the trials so far, stands for architectures that are not evaluated.

    Raises:
        ProblemError: The direction is unknown, the bounds contradict each other, `log` cannot be taken, or an
            estimated objective has no cost function.
    """

    name: str
    direction: Literal["max", "min"]
    cost_function: CostFunction | None = None
    worst: float | None = None
    best: float | None = None
    ceiling: float | None = None
    log: bool = False
    estimated: bool = False

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise ProblemError(f"objective {self.name!r}: direction must be 'max' or 'min', got {self.direction!r}")
        _require_estimate("objective", self)
        bounds = [end for end in (self.worst, self.best) if end is not None]
        if self.log and (self.cost_function is None or min(bounds, default=1.0) <= 0):
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

    def is_cost(self, values: FloatArray) -> BoolArray:
        """Mark the values ``(n,)`` that a cost can have: finite ones, and positive ones on a logarithmic scale."""
        usable: BoolArray = np.isfinite(values) & ((values > 0) | (not self.log))
        return usable


@dataclass(frozen=True)
class Constraint:
    """An upper bound on a quantity.

    With an objective of the same name both bind one quantity, which is told once.

    Attributes:
        name: Name of the quantity; a measured quantity is told under this name.
        cost_function: Computes the quantity of canonical rows, ``(n, d)`` to ``(n,)``: rows above the bound, or with
            NaN, are never proposed. `None`: the quantity is measured with each trial and told with its
            objectives; trials above the bound are kept, but no front, model or hypervolume counts them.
        upper: The bound; values up to and including it are feasible.
        estimated: Whether the cost function is only an estimate: candidates must keep the bound by the corrected
            estimate. Each trial's value is told and decides about the trial: above the bound it is kept, and models
            learn from it, but no front or hypervolume counts it.

    Raises:
        ProblemError: An estimated constraint has no cost function.
    """

    name: str
    cost_function: CostFunction | None
    upper: float
    estimated: bool = False

    def __post_init__(self) -> None:
        _require_estimate("constraint", self)


def _require_estimate(kind: str, part: Objective | Constraint) -> None:
    """Require a cost function of an estimated objective or constraint."""
    if part.estimated and part.cost_function is None:
        raise ProblemError(f"{kind} {part.name!r}: estimated=True needs a cost function, which gives the estimate")


@dataclass(frozen=True, eq=False)
class _Corrected:
    """A cost function that gives corrected estimates."""

    domain: Domain
    raw: CostFunction
    model: EstimateModel

    def __call__(self, codes: IntArray) -> FloatArray:
        """Compute corrected estimates ``(n,)`` of canonical rows ``(n, d)``, n >= 1."""
        return self.model(self.raw(codes), self.domain.encode(codes) if self.model.learned else None)


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
        ProblemError: There is no objective, a name occurs twice, or an objective and a constraint of the same name
            are not both estimated, by the same function.
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
        self._check_estimated()

    def _check_estimated(self) -> None:
        """Require one estimate for each name."""
        estimated = self.estimated
        for part in self._parts:
            if part.name in estimated and not (part.estimated and part.cost_function == estimated[part.name]):
                raise ProblemError(
                    f"{part.name!r} is estimated in one place; its objective and its constraints must all be "
                    "estimated=True, with the same cost function"
                )

    @property
    def _parts(self) -> tuple[Objective | Constraint, ...]:
        return (*self.objectives, *self.constraints)

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

    @property
    def estimated(self) -> dict[str, CostFunction]:
        """The estimates of the estimated objectives and constraints, by name, objectives first."""
        estimates: dict[str, CostFunction] = {}
        for part in self._parts:
            if part.estimated and part.cost_function is not None:
                estimates.setdefault(part.name, part.cost_function)
        return estimates

    def corrected(self, models: Mapping[str, EstimateModel]) -> Problem:
        """Make the problem whose cost functions give corrected estimates.

        Args:
            models: The correction of each estimated quantity, by name.
        """
        functions = {name: _Corrected(self.domain, raw, models[name]) for name, raw in self.estimated.items()}
        return replace(
            self,
            objectives=tuple(replace(o, cost_function=functions.get(o.name, o.cost_function)) for o in self.objectives),
            constraints=tuple(
                replace(c, cost_function=functions.get(c.name, c.cost_function)) for c in self.constraints
            ),
        )

    def feasible(self, values: Mapping[str, float]) -> bool:
        """Check whether a trial's values keep every measured constraint.

        A trial without a value, because its problem did not have the constraint, is not known to keep it.
        """
        return all(values.get(c.name, math.inf) <= c.upper for c in self.measured)

    def within(self, trials: Sequence[Trial], *, exact: bool = True) -> BoolArray:
        """Mark the trials that keep the constraints with a cost function ``(n,)``.

        Told values decide about estimated constraints. Where a trial has none, because its problem did not have the
        constraint, the estimate does.

        Args:
            trials: Full trials with values.
            exact: Whether to check exact costs too: trials of an earlier problem may break them.
        """
        inside = np.ones(len(trials), dtype=bool)
        if not trials:
            return inside
        codes = np.array([trial.codes for trial in trials], dtype=np.int64)
        if exact:
            inside &= self.admissible(codes, estimates=False)
        for constraint in self.constraints:
            if constraint.estimated and constraint.cost_function is not None:
                told = np.array([trial.values.get(constraint.name, np.nan) for trial in trials])
                missing = np.isnan(told)
                if missing.any():
                    told[missing] = constraint.cost_function(codes[missing])
                inside &= told <= constraint.upper
        return inside

    def known_values(self, codes: IntArray) -> FloatArray:
        """Compute natural values ``(n, m)`` of canonical rows ``(n, d)``, with estimates; NaN where expensive."""
        values = np.full((len(codes), len(self.objectives)), np.nan)
        if len(codes):
            for i, objective in enumerate(self.objectives):
                if objective.cost_function is not None:
                    values[:, i] = objective.cost_function(codes)
        return values

    def violation(self, codes: IntArray, *, estimates: bool = True) -> FloatArray:
        """Sum the relative excesses over the bounds of constraints with a cost function.

        Args:
            codes: Canonical rows ``(n, d)``.
            estimates: Whether estimated constraints count.

        Returns:
            Sums ``(n,)``: 0 where all constraints hold, inf where a value is NaN.
        """
        total = np.zeros(len(codes))
        if len(codes):
            for constraint in self.constraints:
                if constraint.cost_function is None or (constraint.estimated and not estimates):
                    continue
                excess = np.asarray(constraint.cost_function(codes), dtype=np.float64) - constraint.upper
                scale = abs(constraint.upper) or 1.0
                total += np.where(np.isnan(excess), np.inf, np.maximum(excess, 0.0) / scale)
        return total

    def admissible(self, codes: IntArray, *, estimates: bool = True) -> BoolArray:
        """Mark the canonical rows ``(n, d)`` with finite costs that keep every computed constraint ``(n,)``.

        A cost on a logarithmic scale must be positive.

        Args:
            codes: Canonical rows ``(n, d)``.
            estimates: Whether estimates count as costs: raw ones, or corrected ones in a `corrected` problem.
        """
        allowed: BoolArray = self.violation(codes, estimates=estimates) == 0.0
        priced = [
            i for i, o in enumerate(self.objectives) if o.cost_function is not None and (estimates or not o.estimated)
        ]
        if priced and len(codes):
            values = self.known_values(codes)
            for i in priced:
                allowed &= self.objectives[i].is_cost(values[:, i])
        return allowed

    def named_known_values(self, code: IntArray) -> Mapping[str, float]:
        """Compute the objectives with an exact cost function for one canonical row ``(d,)``, by name."""
        exact = [o for o in self.objectives if not o.estimated]
        return {o.name: float(o.cost_function(code[None, :])[0]) for o in exact if o.cost_function is not None}

    def named_estimates(self, code: IntArray) -> Mapping[str, float]:
        """Estimate the estimated objectives and constraints of one canonical row ``(d,)``, by name."""
        return {name: float(function(code[None, :])[0]) for name, function in self.estimated.items()}
