"""LaMOO as a sampler of Optuna: ``optuna.create_study(directions=..., sampler=hwnas.optuna.LaMOOSampler(seed=0))``.

Needs Optuna, the extra ``hwnas[optuna]``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import HwnasError
from hwnas._optuna_constraints import KEY, checked, constraints_of, violations
from search import Advisor, Domain, Objective, Problem, Trial
from search.lamoo import LaMOO, LeafSampler, ScalarSampler
from search.models import GaussianProcess

try:
    import optuna
except ImportError as error:
    raise ImportError("hwnas.optuna needs Optuna; install hwnas[optuna]") from error
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

__all__ = ["LaMOOSampler"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_HEDGE = 0.4
"""Share of the proposals from the whole space, as in `hwnas search`."""
_RELEVANCE = 0.3
_MOST = 1e60
"""Greater values count as this one: differences and products of them must be numbers."""
_TRIED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)


class LaMOOSampler(BaseSampler):
    """Proposes parameters with LaMOO, trial by trial.

    What is proposed is a function of the seed, the trial's number and the finished trials, whoever proposed these. So
    a study that goes on from a storage goes on as the unbroken one, and trials of other samplers, enqueued ones too,
    are learned from. With one objective the partition follows the rank of the trials instead of their dominance, and
    hypervolume is the best value: LaMOO is then a search over learned regions for a single best.

    LaMOO searches finite sets. Categories are taken as they are, and so are all values of a number that has at most
    `points`. Of other numbers (a float without a step, a wide integer) `points` values are searched, evenly spaced from
    the lowest to the highest, by their logarithm where the distribution is logarithmic. A trial between two of them
    counts as the nearer.

    Parameters that not every finished trial has (of conditional spaces, or of the first trial) are drawn at random.
    Pruned and failed trials are not proposed again and teach nothing. When everything was tried, proposals are random.

    Trials that violate constraints count as worse than all others, the more the farther they are from keeping them. A
    constraint that a trial lacks is not violated, as Optuna has it; a trial whose constraints failed is not feasible.

    Args:
        seed: of everything random; None for another one each time.
        initial: successful trials before which proposals are random.
        points: most values of a number.
        sampler: inner sampler of the leaves; None for a `search.lamoo.ScalarSampler`, which models one random trade-off
            between the objectives at a time.
        constraints_func: as of Optuna's own samplers: numbers of a finished trial, at most 0 where it is feasible.
            What ``trial.set_constraint`` sets (Optuna 5) is seen without it.

    Raises:
        HwnasError: a number is out of range.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        initial: int = 10,
        points: int = 100,
        sampler: LeafSampler | None = None,
        constraints_func: Callable[[FrozenTrial], Sequence[float]] | None = None,
    ) -> None:
        if (seed is not None and seed < 0) or initial < 2 or points < 2:
            raise HwnasError(f"seed must not be negative, initial and points at least 2: {seed}, {initial}, {points}")
        self._seed = _entropy() if seed is None else seed
        self._initial, self._points, self._sampler = initial, points, sampler
        self._constraints_func = constraints_func
        self._space = IntersectionSearchSpace()
        self._known: tuple[object, _Grid, Advisor] | None = None

    def reseed_rng(self) -> None:
        """Draw another seed."""
        self._seed = _entropy()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that all finished trials have, but those with a single value."""
        return {name: found for name, found in self._space.calculate(study).items() if not found.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """One proposal of LaMOO."""
        if not search_space:
            return {}
        grid, advisor = self._advisor(study, search_space)
        rng = np.random.default_rng([self._seed, trial.number])
        rows = advisor.propose(self._strategy, self._past(study, trial.number, grid), 1, rng)
        row = rows[0] if len(rows) else advisor.problem.domain.random(1, rng)[0]
        return grid.values(row)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value, the same for the same seed, trial and name."""
        rng = np.random.default_rng([self._seed, trial.number, zlib.crc32(param_name.encode())])
        return RandomSampler(seed=int(rng.integers(2**31))).sample_independent(
            study, trial, param_name, param_distribution
        )

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Keep what the constraints of a finished trial are, where Optuna keeps it.

        Raises:
            HwnasError: `constraints_func` gives something else than numbers.
        """
        if self._constraints_func is None or state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        kept: tuple[float, ...] | None = None
        try:
            whose = f"constraints_func of trial {trial.number}"
            kept = checked(self._constraints_func(trial), whose, "it must give numbers, at most 0 where feasible")
        finally:
            study._storage.set_trial_system_attr(trial._trial_id, KEY, kept)

    @property
    def _strategy(self) -> LaMOO:
        if self._sampler is not None:
            return LaMOO(self._sampler)
        return LaMOO(ScalarSampler(GaussianProcess("encodings", relevance=_RELEVANCE), hedge=_HEDGE))

    def _advisor(self, study: optuna.Study, space: Mapping[str, BaseDistribution]) -> tuple[_Grid, Advisor]:
        key = (list(space.items()), study.directions)
        if self._known is None or self._known[0] != key:
            grid = _Grid(space, self._points)
            directions = [direction == optuna.study.StudyDirection.MAXIMIZE for direction in study.directions]
            objectives = tuple(Objective(f"f{i}", "max" if up else "min") for i, up in enumerate(directions))
            problem = Problem(Domain(grid.cardinalities, features=grid.features), objectives)
            self._known = key, grid, Advisor(problem, initial=self._initial)
        return self._known[1:]

    def _past(self, study: optuna.Study, now: int, grid: _Grid) -> list[Trial]:
        """The trials but number `now`, as `search` knows them; those that lack a parameter are left out."""
        found: list[Trial] = []
        told: list[FrozenTrial] = []
        for one in study.get_trials(deepcopy=False, states=_TRIED):
            row = grid.row(one.params)
            if row is None or one.number == now:
                continue
            whole = one.state == TrialState.COMPLETE and _finite(one.values, len(study.directions))
            told += [one] if whole else []
            found.append(Trial(one.number, row, failed=None if whole else one.state.name))
        if not told:
            return found
        signs = np.array([1.0 if way == optuna.study.StudyDirection.MINIMIZE else -1.0 for way in study.directions])
        losses = np.clip(np.array([one.values for one in told], dtype=np.float64) * signs, -_MOST, _MOST)
        beyond = violations([constraints_of(one, self._constraints_func) for one in told])
        values = iter((_penalised(losses, beyond) * signs).tolist())
        return [replace(one, values=_named(next(values))) if one.ok else one for one in found]


def _finite(values: Sequence[float] | None, count: int) -> bool:
    """Whether a finished trial has a number for each objective; in a damaged storage it need not."""
    return values is not None and len(values) == count and all(math.isfinite(value) for value in values)


def _named(values: Sequence[float]) -> dict[str, float]:
    return {f"f{i}": value for i, value in enumerate(values)}


class _Categories:
    """A categorical distribution; models see indicators."""

    def __init__(self, distribution: CategoricalDistribution) -> None:
        self._distribution = distribution
        self.size = len(distribution.choices)

    def value(self, code: int) -> Any:
        """The category of a code."""
        return self._distribution.choices[code]

    def code(self, value: Any) -> int | None:
        """The code of a category; None where it is none."""
        try:
            return int(self._distribution.to_internal_repr(value))
        except (TypeError, ValueError):
            return None

    def features(self, codes: IntArray) -> FloatArray:
        """Columns ``(n, size)``."""
        return np.eye(self.size)[codes]


class _Numbers:
    """A numerical distribution on a grid of at most `points` values; models see a number between 0 and 1."""

    def __init__(self, distribution: IntDistribution | FloatDistribution, points: int) -> None:
        low, high, step = distribution.low, distribution.high, distribution.step
        self._scale: Callable[[Any], Any] = np.log if distribution.log else np.float64
        count = math.inf if step is None else round((high - low) / step) + 1
        if count <= points:
            values = [low + i * step for i in range(int(count))] if step is not None else []
        else:
            first, last = float(self._scale(low)), float(self._scale(high))
            values = np.linspace(first, last, points).tolist()
            values = [math.exp(value) for value in values] if distribution.log else values
            values = values if step is None else [low + round((value - low) / step) * step for value in values]
        kind = int if isinstance(distribution, IntDistribution) else float
        self._values = sorted({kind(min(max(value, low), high)) for value in values})
        self._high = high
        self.size = len(self._values)

    def value(self, code: int) -> float:
        """The value of a code."""
        return self._values[code]

    def code(self, value: Any) -> int | None:
        """The code of the nearest value; None outside the range."""
        if not isinstance(value, Real) or not self._values[0] <= float(value) <= self._high:
            return None
        return int(np.argmin(np.abs(self._scale(self._values) - self._scale(value))))

    def features(self, codes: IntArray) -> FloatArray:
        """One column ``(n, 1)``."""
        axis = np.asarray(self._scale(self._values)) - float(self._scale(self._values[0]))
        scaled: FloatArray = (axis / (axis[-1] or 1.0))[codes, None]
        return scaled


class _Grid:
    """What codes mean: a column for each parameter."""

    def __init__(self, space: Mapping[str, BaseDistribution], points: int) -> None:
        self._columns = {name: _column(distribution, points) for name, distribution in space.items()}
        self.cardinalities = tuple(column.size for column in self._columns.values())

    def values(self, row: IntArray) -> dict[str, Any]:
        """Parameters of codes ``(d,)``."""
        columns = zip(self._columns.items(), row.tolist(), strict=True)
        return {name: column.value(code) for (name, column), code in columns}

    def row(self, params: Mapping[str, Any]) -> tuple[int, ...] | None:
        """Codes of parameters; None where one is absent or out of range."""
        codes = [column.code(params[name]) if name in params else None for name, column in self._columns.items()]
        return None if None in codes else tuple(code for code in codes if code is not None)

    def features(self, codes: IntArray) -> FloatArray:
        """What models see of codes ``(n, d)``: ``(n, f)``."""
        columns = enumerate(self._columns.values())
        return np.concatenate([column.features(codes[:, k]) for k, column in columns], axis=1)


def _column(distribution: BaseDistribution, points: int) -> _Categories | _Numbers:
    if isinstance(distribution, CategoricalDistribution):
        return _Categories(distribution)
    if isinstance(distribution, (IntDistribution, FloatDistribution)):
        return _Numbers(distribution, points)
    raise HwnasError(f"LaMOOSampler knows no {type(distribution).__name__}; use categories, integers or floats")


def _penalised(losses: FloatArray, share: FloatArray) -> FloatArray:
    """Losses ``(n, m)``, those of trials that violate constraints by ``(n,)`` beyond the worst of all."""
    span = np.ptp(losses, axis=0)
    beyond = losses.max(axis=0) + np.where(span > 0, span, 1.0) * share[:, None]
    return np.where(share[:, None] > 0, beyond, losses)


def _entropy() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])
