"""`Source`: what a one-shot training suggests for one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import name_of_key
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import BudgetError
from search import Constraint, Objective, Problem

if TYPE_CHECKING:
    from torch import Tensor

    from hwnas.oneshot import Solver, TrainingRecord

IntArray = npt.NDArray[np.int64]

_NETWORKS = 2000
"""Random networks whose prices give the ladder of budgets."""
_TIGHTER, _TRIES = 0.98, 5
_ROUNDS, _DRAWS, _FLATTER = 24, 256, 1.3


class Source:
    """The most probable network for each of a ladder of budgets, then draws from the distributions.

    Args:
        file: What the training wrote.
        costs: Costs of the space by the device's table.
        rungs: Budgets of the ladder.
        device: One of several devices that the training is for; empty for the only one.
        alone: Gives the problem of this device from that of all of them; None where it is the only one.
    """

    def __init__(
        self,
        file: Path,
        costs: SpaceCosts,
        rungs: int,
        device: str = "",
        alone: Callable[[Problem], Problem] | None = None,
    ) -> None:
        self._file, self._costs, self._rungs = file, costs, rungs
        self._device, self._alone = device, alone
        self._solved: dict[tuple[object, ...], tuple[int, ...] | None] = {}

    def suggestions(self, problem: Problem, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
        """Yield canonical rows: those of the ladder, then draws, over and over; not all are admissible or new.

        Raises:
            EvaluatorError: The training's file is missing or damaged.
        """
        problem = problem if self._alone is None else self._alone(problem)
        for budgets in self.ladder(problem):
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
                self._solved[place] = tuple(self._costs.space.encode(arch).tolist())
        return self._solved[place]

    def ladder(self, problem: Problem) -> list[dict[str, float]]:
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
        shares = np.arange(self._rungs - 1, 0, -1) / self._rungs
        rungs = np.quantile(within, shares).tolist() if len(within) else []
        return [fixed, *({**fixed, name_of_key(key): upper} for upper in rungs)]

    def _scale(self, problem: Problem, key: str) -> float:
        """Return how many times the problem's expectation of a cost the table's price is, in the median."""
        parts: list[Constraint | Objective] = [*problem.constraints, *problem.objectives]
        functions = [part.cost_function for part in parts if part.name == key and part.cost_function is not None]
        expected = np.asarray(functions[0](self._networks))
        return float(np.nanmedian(self._prices(key) / expected))

    def _prices(self, key: str) -> npt.NDArray[np.float64]:
        return self._costs.cost(key)(self._networks)

    @cached_property
    def _record(self) -> TrainingRecord:
        from hwnas.oneshot import read_training

        record = read_training(self._file)
        return record.of(self._device) if self._device else record

    @cached_property
    def _distributions(self) -> Sequence[Sequence[Tensor]]:
        import torch

        return [[torch.tensor(vector, dtype=torch.float64) for vector in own] for own in self._record.snapshots]

    @cached_property
    def _solver(self) -> Solver:
        from hwnas.oneshot import Solver

        return Solver(self._costs)

    @cached_property
    def _networks(self) -> IntArray:
        space = self._costs.space
        rows = [space.encode(arch) for arch in space.sample(_NETWORKS, np.random.default_rng(0))]
        return space.canonical_codes(np.array(rows, dtype=np.int64))
