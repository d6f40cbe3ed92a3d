"""`OneShotStrategy`: proposes the architectures that a one-shot training found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import name_of_key
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import BudgetError, HwnasError
from hwnas.oneshot import method_options
from search import Constraint, Objective, OptionValue, Problem, StrategyOption, Suggestion, check_options

if TYPE_CHECKING:
    from torch import Tensor

    from hwnas.oneshot import Solver, TrainingRecord

IntArray = npt.NDArray[np.int64]

RUNGS = StrategyOption("rungs", 8, "budgets for which the most probable network is proposed", minimum=1, maximum=1000)
COST = StrategyOption(
    "cost",
    "budget",
    "when the training counts the expected cost: where it has a budget, always or never",
    choices=("budget", "always", "never"),
)
SINGLE = StrategyOption(
    "single", 0.5, "share of the weights' steps that train one drawn network, not the mixture", minimum=0.0, maximum=1.0
)
_COMMON = (RUNGS, COST, SINGLE)
"""Options that the strategies of all methods have."""
_NETWORKS = 2000
"""Random networks whose prices give the ladder of budgets."""
_TIGHTER, _TRIES = 0.98, 5
_ROUNDS, _DRAWS, _FLATTER = 24, 256, 1.3


@dataclass(frozen=True)
class _Learned:
    """Where the strategy finds what was learned.

    Attributes:
        file: What the training wrote.
        costs: Costs of the space by its table.
    """

    file: Path
    costs: SpaceCosts


class OneShotStrategy:
    """Proposes the most probable network for each of a ladder of budgets, then draws from the distributions.

    The ladder begins at the budget of the cost that the training counted (without one: at no bound), and goes down over
    quantiles of the prices of random networks below it. Other budgets hold on every rung. The rungs are solved exactly
    by the table (`hwnas.oneshot.Solver`) for each distribution of the training; budgets of estimated costs follow the
    search's correction of the estimates. Draws get flatter where the distribution has nothing new to give. Nothing is
    proposed twice, and nothing over a budget that is known: the study sees to both.

    `propose` depends on its arguments and on the training's file alone.

    Args:
        method: Name of the one-shot method.
        options: Options of the method, and those of all methods (``rungs``, ``cost``, ``single``).

    Attributes:
        name: The method with the options that differ from their defaults.
        method: Name of the method.
        method_options: The options that are the method's.
        single: Share of the weights' steps that train one network.

    Raises:
        SearchError: An option is unknown or its value is not allowed.
    """

    def __init__(self, method: str, options: Mapping[str, object] | None = None) -> None:
        declared = one_shot_options(method)
        given = check_options(method, declared, options or {})
        changed = {o.name: given[o.name] for o in declared if o.name in given and given[o.name] != o.default}
        listed = ", ".join(f"{name}={value}" for name, value in changed.items())
        self.name = f"{method}({listed})" if listed else method
        self.method = method
        self.single = float(given.get(SINGLE.name, SINGLE.default))
        self.method_options: dict[str, OptionValue] = {n: v for n, v in changed.items() if n not in _names(_COMMON)}
        self._own = {n: v for n, v in changed.items() if n in _names(_COMMON)}
        self._learned: _Learned | None = None
        self._solved: dict[tuple[object, ...], tuple[int, ...] | None] = {}

    def bound(self, file: Path, costs: SpaceCosts) -> OneShotStrategy:
        """Return the strategy of a search.

        Args:
            file: What the training of this search writes.
            costs: Costs of the space by its table.
        """
        own = OneShotStrategy(self.method, {**self.method_options, **self._own})
        own._learned = _Learned(file, costs)
        return own

    @property
    def counts_cost(self) -> str:
        """When the training counts the expected cost: ``"budget"``, ``"always"`` or ``"never"``."""
        return str(self._own.get(COST.name, COST.default))

    def opening(self, problem: Problem, count: int, seed: int) -> IntArray:
        """Return the codes ``(count, d)`` that the first batch begins with; fewer where there are no more.

        Raises:
            EvaluatorError: The training's file is missing or damaged.
        """
        rng = np.random.default_rng([seed, 1])
        rows: dict[tuple[int, ...], None] = {}
        for row in self._suggestions(problem, rng):
            if len(rows) >= count:
                break
            if row not in rows and bool(problem.admissible(np.array([row]))[0]):
                rows[row] = None
        return np.array(list(rows), dtype=np.int64).reshape(len(rows), problem.domain.dimension)

    def propose(self, context: Any, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest up to `n` architectures.

        Args:
            context: The search's view of the study.
            n: Number of architectures wanted.
            rng: Random generator of the batch.

        Raises:
            EvaluatorError: The training's file is missing or damaged.
        """
        problem: Problem = context.problem
        admitted = np.empty((0, problem.domain.dimension), dtype=np.int64)
        waiting: list[tuple[int, ...]] = []
        for row in self._suggestions(problem, rng):
            waiting.append(row)
            if len(waiting) >= n:
                admitted = context.admit(np.concatenate([admitted, np.array(waiting, dtype=np.int64)]))
                waiting = []
                if len(admitted) >= n:
                    break
        rest = np.array(waiting, dtype=np.int64).reshape(len(waiting), problem.domain.dimension)
        return Suggestion(context.admit(np.concatenate([admitted, rest]))[:n])

    def _suggestions(self, problem: Problem, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
        """Yield canonical rows: those of the ladder, then draws, over and over; not all are admissible or new."""
        for budgets in self._ladder(problem):
            for number in range(len(self._distributions)):
                row = self._row(number, budgets, problem)
                if row is not None:
                    yield row
        yield from self._draws(problem, rng)

    def _draws(self, problem: Problem, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
        """Yield draws of the distributions in turn, of flatter ones in each later round."""
        from hwnas.oneshot import sample_codes

        for place in range(_ROUNDS):
            heat = _FLATTER**place
            for distribution in self._distributions:
                flat = [vector.clamp(min=1e-6) ** (1 / heat) for vector in distribution]
                drawn = sample_codes([vector / vector.sum() for vector in flat], _DRAWS, rng)
                drawn = problem.domain.canonicalise(drawn)
                for row in drawn[problem.admissible(drawn)]:
                    yield tuple(row.tolist())

    def _row(self, number: int, budgets: Mapping[str, float], problem: Problem) -> tuple[int, ...] | None:
        """Return the most probable row within budgets of the table that the problem admits, too; None without one."""
        tighter = dict(budgets)
        for _ in range(_TRIES):
            row = self._solve(number, tighter)
            if row is None or bool(problem.admissible(np.array([row]))[0]):
                return row
            tighter = {name: _TIGHTER * upper for name, upper in tighter.items()}
        return None

    def _solve(self, number: int, budgets: Mapping[str, float]) -> tuple[int, ...] | None:
        place = (number, *sorted(budgets.items()))
        if place not in self._solved:
            try:
                arch = self._solver.solve(self._distributions[number], budgets).architecture
            except BudgetError:
                self._solved[place] = None
            else:
                self._solved[place] = tuple(self._bound.costs.space.encode(arch).tolist())
        return self._solved[place]

    def _ladder(self, problem: Problem) -> list[dict[str, float]]:
        """Return budgets as the table prices networks, the widest first."""
        uppers = {c.name: c.upper for c in problem.constraints if c.cost_function is not None and np.isfinite(c.upper)}
        scales = {key: self._scale(problem, key) for key in uppers}
        fixed = {name_of_key(key): upper * scales[key] for key, upper in uppers.items()}
        key = self._record.cost
        if key is None:
            return [fixed]
        prices = self._prices(key)
        top = fixed.get(name_of_key(key), np.inf)
        within = prices[prices < top]
        count = int(self._own.get(RUNGS.name, RUNGS.default))
        shares = np.arange(count - 1, 0, -1) / count
        rungs = np.quantile(within, shares).tolist() if len(within) else []
        return [fixed, *({**fixed, name_of_key(key): upper} for upper in rungs)]

    def _scale(self, problem: Problem, key: str) -> float:
        """Return how many times the problem's expectation of a cost the table's price is, in the median."""
        parts: list[Constraint | Objective] = [*problem.constraints, *problem.objectives]
        functions = [part.cost_function for part in parts if part.name == key and part.cost_function is not None]
        expected = np.asarray(functions[0](self._networks))
        return float(np.nanmedian(self._prices(key) / expected))

    def _prices(self, key: str) -> npt.NDArray[np.float64]:
        return self._bound.costs.cost(key)(self._networks)

    @property
    def _bound(self) -> _Learned:
        if self._learned is None:
            raise HwnasError(f"strategy {self.method} proposes what a search has trained; pass it to hwnas.search")
        return self._learned

    @cached_property
    def _record(self) -> TrainingRecord:
        from hwnas.oneshot import read_training

        return read_training(self._bound.file)

    @cached_property
    def _distributions(self) -> Sequence[Sequence[Tensor]]:
        import torch

        return [[torch.tensor(vector, dtype=torch.float64) for vector in own] for own in self._record.snapshots]

    @cached_property
    def _solver(self) -> Solver:
        from hwnas.oneshot import Solver

        return Solver(self._bound.costs)

    @cached_property
    def _networks(self) -> IntArray:
        space = self._bound.costs.space
        rows = [space.encode(arch) for arch in space.sample(_NETWORKS, np.random.default_rng(0))]
        return space.canonical_codes(np.array(rows, dtype=np.int64))


def one_shot_options(method: str) -> tuple[StrategyOption, ...]:
    """Return the options of a one-shot method as a strategy."""
    return (*method_options(method), *_COMMON)


def _names(options: Sequence[StrategyOption]) -> list[str]:
    return [option.name for option in options]
