"""LaMOO as a sampler of Optuna: ``optuna.create_study(directions=..., sampler=hwnas.optuna.LaMOOSampler(seed=0))``.

Needs Optuna 4 or 5, the extra ``hwnas[optuna]``.
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

from hwnas import HwnasError
from search import Advisor, Domain, Objective, Problem, Strategy, Trial, make_strategy
from search.lamoo import LaMOO, LeafSampler

try:
    import optuna
except ImportError as error:
    raise ImportError("hwnas.optuna needs the package optuna; install it with: pip install 'hwnas[optuna]'") from error
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from hwnas._optuna_constraints import ConstraintKeeper, constraints_of, violations

__all__ = ["LaMOOSampler"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_MOST = 1e60
"""Values are clipped to this size, so that differences and products of them are finite."""
_TRIED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)


class LaMOOSampler(BaseSampler):
    """Proposes parameters with LaMOO, trial by trial.

    A proposal is a function of the seed, the trial's number and the finished trials, whoever proposed these. So
    a study that continues from a storage continues as the uninterrupted one, and LaMOO learns from trials of other
    samplers and from enqueued ones. With one objective the partition follows the rank of the trials instead of their
    dominance, and hypervolume is the best value: LaMOO then searches learned regions for a single best.

    LaMOO searches finite sets. It takes all categories, and all values of a number that has at most `points`. Of other
    numbers (a float without a step, a wide integer) it takes `points` values, evenly spaced from the lowest to the
    highest, by their logarithm where the distribution is logarithmic. A trial between two of them counts as the nearer.

    Parameters that not every finished trial has (of conditional spaces, or of the first trial) are drawn at random.
    LaMOO does not propose pruned and failed trials again and learns nothing from them. When everything was tried,
    proposals are random.

    Trials that violate constraints count as worse than all others, the more so the larger the violation. As in Optuna,
    a trial does not violate a constraint that it lacks; a trial whose constraints failed is not feasible.

    Args:
        seed: Seed of everything random, 0 or more; None draws one.
        initial: Number of successful trials before which proposals are random.
        points: Largest number of values of a numerical parameter.
        sampler: Leaf sampler; None for a `search.lamoo.ScalarSampler`, which models one random trade-off
            between the objectives at a time.
        constraints_func: The argument of Optuna's own samplers: gives numbers for a finished trial, 0 or less where it
            is feasible. Constraints that ``trial.set_constraint`` sets (Optuna 5) need no function.

    Raises:
        HwnasError: A number is out of range.
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
        for name, number, least in (("seed", seed, 0), ("initial", initial, 2), ("points", points, 2)):
            if number is not None and number < least:
                raise HwnasError(f"LaMOOSampler: {name} must be {least} or more, got {number}")
        self._seed = _entropy() if seed is None else seed
        self._initial, self._points, self._sampler = initial, points, sampler
        self._constraints_func = constraints_func
        self._keeper = None if constraints_func is None else ConstraintKeeper(constraints_func)
        self._space = IntersectionSearchSpace()
        self._latest: tuple[object, _Grid, Advisor] | None = None

    def reseed_rng(self) -> None:
        """Draw a new seed."""
        self._seed = _entropy()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that all finished trials have, without those with a single value."""
        space = self._space.calculate(study)
        return {name: distribution for name, distribution in space.items() if not distribution.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose parameters with LaMOO."""
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
        """Draw a random value, the same for the same seed, trial and name."""
        rng = np.random.default_rng([self._seed, trial.number, zlib.crc32(param_name.encode())])
        return RandomSampler(seed=int(rng.integers(2**31))).sample_independent(
            study, trial, param_name, param_distribution
        )

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Store the constraints of a finished trial in the study.

        Raises:
            HwnasError: `constraints_func` does not give numbers.
        """
        if self._keeper is not None:
            self._keeper.store(study, trial, state, values)

    @property
    def _strategy(self) -> Strategy:
        return make_strategy("lamoo", sampler="scalar") if self._sampler is None else LaMOO(self._sampler)

    def _advisor(self, study: optuna.Study, space: Mapping[str, BaseDistribution]) -> tuple[_Grid, Advisor]:
        """Return the grid and the advisor of a search space, kept until it changes."""
        key = (list(space.items()), study.directions)
        if self._latest is None or self._latest[0] != key:
            grid = _Grid(space, self._points)
            directions = [direction == optuna.study.StudyDirection.MAXIMIZE for direction in study.directions]
            objectives = tuple(Objective(f"f{i}", "max" if up else "min") for i, up in enumerate(directions))
            problem = Problem(Domain(grid.cardinalities, features=grid.features), objectives)
            self._latest = key, grid, Advisor(problem, initial=self._initial)
        return self._latest[1:]

    def _past(self, study: optuna.Study, now: int, grid: _Grid) -> list[Trial]:
        """Return the trials other than number `now` for `search`; those that lack a parameter are left out."""
        trials: list[Trial] = []
        complete: list[FrozenTrial] = []
        for frozen in study.get_trials(deepcopy=False, states=_TRIED):
            row = grid.row(frozen.params)
            if row is None or frozen.number == now:
                continue
            finished = frozen.state == TrialState.COMPLETE and _finite(frozen.values, len(study.directions))
            complete += [frozen] if finished else []
            trials.append(Trial(frozen.number, row, failed=None if finished else frozen.state.name))
        if not complete:
            return trials
        minimized = [direction == optuna.study.StudyDirection.MINIMIZE for direction in study.directions]
        signs = np.where(minimized, 1.0, -1.0)
        losses = np.clip(np.array([frozen.values for frozen in complete], dtype=np.float64) * signs, -_MOST, _MOST)
        excess = violations([constraints_of(frozen, self._constraints_func) for frozen in complete])
        values = iter((_penalised(losses, excess) * signs).tolist())
        return [replace(trial, values=_named(next(values))) if trial.ok else trial for trial in trials]


def _finite(values: Sequence[float] | None, count: int) -> bool:
    """Return whether a finished trial has a finite number for each objective; in a damaged storage it may not."""
    return values is not None and len(values) == count and all(math.isfinite(value) for value in values)


def _named(values: Sequence[float]) -> dict[str, float]:
    return {f"f{i}": value for i, value in enumerate(values)}


class _Categories:
    """A categorical distribution; the inputs of models are indicators."""

    def __init__(self, distribution: CategoricalDistribution) -> None:
        self._distribution = distribution
        self.size = len(distribution.choices)

    def value(self, code: int) -> Any:
        """Return the category of a code."""
        return self._distribution.choices[code]

    def code(self, value: Any) -> int | None:
        """Return the code of a category; None for an unknown one."""
        try:
            return int(self._distribution.to_internal_repr(value))
        except (TypeError, ValueError):
            return None

    def features(self, codes: IntArray) -> FloatArray:
        """Return columns ``(n, size)``."""
        return np.eye(self.size)[codes]


class _Numbers:
    """A numerical distribution on a grid of at most `points` values; the input of models is a number from 0 to 1."""

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
        self._low, self._high = low, high
        self.size = len(self._values)

    def value(self, code: int) -> float:
        """Return the value of a code."""
        return self._values[code]

    def code(self, value: Any) -> int | None:
        """Return the code of the nearest value; None outside the range."""
        if not isinstance(value, Real) or not self._low <= float(value) <= self._high:
            return None
        return int(np.argmin(np.abs(self._scale(self._values) - self._scale(value))))

    def features(self, codes: IntArray) -> FloatArray:
        """Return one column ``(n, 1)``."""
        axis = np.asarray(self._scale(self._values)) - float(self._scale(self._values[0]))
        scaled: FloatArray = (axis / (axis[-1] or 1.0))[codes, None]
        return scaled


class _Grid:
    """The parameters as columns of codes."""

    def __init__(self, space: Mapping[str, BaseDistribution], points: int) -> None:
        self._columns = {name: _column(distribution, points) for name, distribution in space.items()}
        self.cardinalities = tuple(column.size for column in self._columns.values())

    def values(self, row: IntArray) -> dict[str, Any]:
        """Return the parameters of codes ``(d,)``."""
        columns = zip(self._columns.items(), row.tolist(), strict=True)
        return {name: column.value(code) for (name, column), code in columns}

    def row(self, params: Mapping[str, Any]) -> tuple[int, ...] | None:
        """Return the codes of parameters; None where a parameter is absent or out of range."""
        codes = [column.code(params[name]) if name in params else None for name, column in self._columns.items()]
        return None if None in codes else tuple(code for code in codes if code is not None)

    def features(self, codes: IntArray) -> FloatArray:
        """Return the inputs of models ``(n, f)`` for codes ``(n, d)``."""
        columns = enumerate(self._columns.values())
        return np.concatenate([column.features(codes[:, k]) for k, column in columns], axis=1)


def _column(distribution: BaseDistribution, points: int) -> _Categories | _Numbers:
    if isinstance(distribution, CategoricalDistribution):
        return _Categories(distribution)
    if isinstance(distribution, (IntDistribution, FloatDistribution)):
        return _Numbers(distribution, points)
    raise HwnasError(f"LaMOOSampler cannot search a {type(distribution).__name__}; use categories, integers or floats")


def _penalised(losses: FloatArray, share: FloatArray) -> FloatArray:
    """Return losses ``(n, m)``, moved beyond the worst of all where trials violate constraints (shares ``(n,)``)."""
    span = np.ptp(losses, axis=0)
    beyond = losses.max(axis=0) + np.where(span > 0, span, 1.0) * share[:, None]
    return np.where(share[:, None] > 0, beyond, losses)


def _entropy() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])
