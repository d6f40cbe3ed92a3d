"""`DDPNAS`: prunes a distribution by the validation of drawn architectures, value by value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hwnas._costs._cost import cost_named
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import BudgetError, HwnasError
from hwnas.oneshot._method import OneShotMethod
from hwnas.oneshot._solve import Solver
from hwnas.spaces import Architecture, Space
from search import StrategyOption

_DRAWN, _DUE, _PROPOSED = 1e-4, 1e-2, 1.0
"""What a value weighs where a draw has to be mended: drawn in this sweep, still due, proposed."""
_TRIES = 256


@dataclass(frozen=True)
class _Stage:
    """A stage: sweeps of so many draws, one for each surviving value, then pruning.

    Attributes:
        first: Its first epoch.
        draws: Draws of a sweep: as many as the choice with the most survivors has.
        sweeps: Sweeps.
        left: Values that each choice has at most afterwards.
    """

    first: int
    draws: int
    sweeps: int
    left: int

    @property
    def end(self) -> int:
        """The epoch behind the stage."""
        return self.first + self.draws * self.sweeps


class DDPNAS(OneShotMethod):
    """Dynamic distribution pruning (Zheng et al. 2019, arXiv 1905.13543, DDPNAS).

    In a *sweep* every surviving value of every choice is drawn once, in random combinations. Each draw trains the
    supernet for one epoch and is validated once. After ``sweeps`` sweeps of a stage, with the mean metric a of
    the draws that hold a value::

        E = softmax(100 a)        over the survivors of a choice
        v = 0.9 v + 0.1 E
        theta = (theta + v) / sum

    and the value of the smallest theta is pruned. With 5 values and 3 sweeps that are 3 x (5 + 4 + 3 + 2) = 42 epochs.
    Ours, for any space and number of epochs: a choice with fewer values waits until the others have been pruned to as
    many; with fewer epochs there are fewer sweeps, then several values are pruned at once; epochs that are left over
    train the surviving architecture.

    **Budgets** (`constrain`). Every draw is a network within the budgets: a random combination that is not is replaced
    by the most probable one that is, where values that are still due weigh most. A value that no draw can hold counts
    as the worst. A value is not pruned where the survivors would leave no architecture within the budgets: the next one
    is, and they exchange their theta.

    Pruned values keep the theta that they had, divided by the later sums. It is hardly ever above that of the
    survivors, and lets `solve` find an architecture of one theta within any budget afterwards, for every device.

    Args:
        space: The space.
        epochs: Epochs of the whole training.
        sweeps: Sweeps in each stage, where the epochs suffice.
        momentum: Share of the old v that stays.
        sharpness: Factor of the metric in the softmax.

    Raises:
        HwnasError: There are fewer epochs than values of a choice.
    """

    name: ClassVar[str] = "ddpnas"
    share: ClassVar[float] = 0.0
    options: ClassVar[tuple[StrategyOption, ...]] = (
        StrategyOption("sweeps", 3, "draws of each surviving value before values are pruned", minimum=1, maximum=100),
        StrategyOption("momentum", 0.9, "share of earlier updates that stays", minimum=0.0, maximum=0.999),
        StrategyOption("sharpness", 100.0, "factor of the metric (a share of 1) in the softmax", minimum=0.0),
    )

    def __init__(
        self, space: Space, *, epochs: int, sweeps: int = 3, momentum: float = 0.9, sharpness: float = 100.0
    ) -> None:
        super().__init__(space, epochs=epochs)
        self._momentum, self._sharpness = momentum, sharpness
        self._plan = _stages(max(space.cardinalities), epochs, sweeps)
        counts = space.cardinalities
        self._theta = [torch.full((count,), 1.0 / count, dtype=torch.float64) for count in counts]
        self._velocity = [torch.zeros(count, dtype=torch.float64) for count in counts]
        self._alive = [torch.ones(count, dtype=torch.bool) for count in counts]
        self._sums = [torch.zeros(count, dtype=torch.float64) for count in counts]
        self._counts = [torch.zeros(count, dtype=torch.float64) for count in counts]
        self._draws: list[list[int]] = []
        self._current: list[int] = []
        self._judging = False
        self._solver: Solver | None = None
        self._budgets: Mapping[str, float] = {}

    def constrain(self, solver: Solver, budgets: Mapping[str, float]) -> None:
        """State hard budgets: draws keep them, and pruning leaves an architecture within them.

        Raises:
            BudgetError: No architecture keeps the budgets.
        """
        self._solver, self._budgets = solver, budgets
        solver.solve(self._theta, budgets)

    def distribution(self) -> list[Tensor]:
        """Return theta, with what pruned values have left of it."""
        return [vector.clone() for vector in self._theta]

    def survivors(self) -> list[Tensor]:
        """Return theta over the surviving values alone, 0 for the others."""
        kept = [vector * alive for vector, alive in zip(self._theta, self._alive, strict=True)]
        return [vector / vector.sum() for vector in kept]

    def draw(self, rng: np.random.Generator) -> list[Tensor]:
        """Return the epoch's architecture as one-hot probabilities."""
        counts = self.space.cardinalities
        return [torch.eye(count, dtype=torch.float64)[code] for count, code in zip(counts, self._current, strict=True)]

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Take the next draw; where a sweep begins, combine the surviving values for all of its draws."""
        stage = self._stage(epoch)
        self._judging = stage is not None
        if stage is None:
            self._current = self._nearest(self.survivors())
            return
        number = (epoch - stage.first) % stage.draws
        if number == 0:
            self._draws = self._sweep(stage.draws, rng)
        self._current = self._draws[number]

    def learns(self, epoch: int) -> bool:
        """Return False: theta changes at the end of an epoch, by the metric of its draw."""
        return False

    def step(self, loss: Tensor, cost: Tensor | None, progress: float) -> None:
        """Refuse: this method takes no gradient steps."""
        raise NotImplementedError("ddpnas learns from the metric of drawn architectures alone; see end_epoch")

    def judged(self) -> Architecture | None:
        """Return the epoch's architecture; None once every choice is decided."""
        return self.space.decode(self._current) if self._judging else None

    def end_epoch(self, epoch: int, value: float | None, rng: np.random.Generator) -> None:
        """Note the metric of the epoch's draw; at the end of a stage, update theta and prune."""
        stage = self._stage(epoch)
        if stage is None:
            return
        if value is not None and math.isfinite(value):  # what has no value tells nothing
            for sums, counts, code in zip(self._sums, self._counts, self._current, strict=True):
                sums[code] += value
                counts[code] += 1
        if epoch + 1 == stage.end:
            self._prune(stage.left, self._update())

    def state(self) -> dict[str, Any]:
        """Return theta, its velocity, the survivors, the metrics of this stage and the draws of this sweep."""
        vectors = {"theta": self._theta, "velocity": self._velocity, "alive": self._alive}
        vectors |= {"sums": self._sums, "counts": self._counts}
        state: dict[str, Any] = {name: [own.clone() for own in part] for name, part in vectors.items()}
        return {**state, "draws": [list(codes) for codes in self._draws]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._theta, self._velocity, self._alive, self._sums, self._counts = (
            [own.clone() for own in state[name]] for name in ("theta", "velocity", "alive", "sums", "counts")
        )
        self._draws = [list(codes) for codes in state["draws"]]

    def _stage(self, epoch: int) -> _Stage | None:
        return next((stage for stage in self._plan if epoch < stage.end), None)

    def _sweep(self, draws: int, rng: np.random.Generator) -> list[list[int]]:
        """Combine survivors at random: each of them occurs at least once in every ``draws`` combinations."""
        columns = []
        for alive in self._alive:
            values = torch.nonzero(alive)[:, 0].numpy()
            rounds = [rng.permutation(values) for _ in range(-(-draws // len(values)))]
            columns.append(np.concatenate(rounds)[:draws])
        codes = np.stack(columns, axis=1)
        for number in range(draws):
            if not self._is_allowed(codes[number]):
                self._mend(codes, number, rng)
        return [[int(code) for code in row] for row in codes]

    def _is_allowed(self, codes: np.ndarray) -> bool:
        """Return whether codes are a network within the budgets."""
        if not bool(self.space.valid_codes(codes[None])[0]):
            return False
        if self._solver is None:
            return True
        keys = {cost_named(name, "budgets").key: upper for name, upper in self._budgets.items()}
        return all(float(self._solver.costs.cost(key)(codes[None])[0]) <= upper for key, upper in keys.items())

    def _mend(self, codes: np.ndarray, number: int, rng: np.random.Generator) -> None:
        """Replace a draw by a network within the budgets that keeps as much of it as possible."""
        wanted = []
        for column, alive in enumerate(self._alive):
            weights = alive.double() * _DRAWN * torch.from_numpy(rng.uniform(0.5, 1.0, len(alive)))
            weights[codes[number + 1 :, column]] *= _DUE / _DRAWN
            weights[codes[number, column]] = _PROPOSED
            wanted.append(weights / weights.sum())
        for column, code in enumerate(self._nearest(wanted)):
            later = np.flatnonzero(codes[number + 1 :, column] == code) + number + 1
            if len(later):  # what was proposed is drawn later in its place
                codes[later[0], column] = codes[number, column]
            codes[number, column] = code

    def _nearest(self, wanted: Sequence[Tensor]) -> list[int]:
        """Return the codes of the most probable network within the budgets."""
        best = np.array([int(vector.argmax()) for vector in wanted])
        if self._is_allowed(best):
            return [int(code) for code in best]
        return list(self._within().solve(wanted, self._budgets).codes)

    def _within(self) -> Solver:
        if self._solver is None:
            self._solver = Solver(SpaceCosts(self.space, None))
        return self._solver

    def _update(self) -> list[Tensor]:
        """Update theta by the metrics of the stage, and forget them; return their means, by column."""
        means = [torch.zeros_like(sums) for sums in self._sums]
        for column, alive in enumerate(self._alive):
            sums, counts = self._sums[column], self._counts[column]
            if not bool((alive & (counts > 0)).any()):  # no draw of the stage has a value
                continue
            mean = torch.where(alive & (counts > 0), sums / counts.clamp(min=1), -torch.inf)
            means[column] = mean
            update = torch.softmax(self._sharpness * mean, dim=0)
            self._velocity[column] = self._momentum * self._velocity[column] * alive + (1 - self._momentum) * update
            theta = self._theta[column] + self._velocity[column]
            self._theta[column] = theta / theta.sum()
            self._sums[column], self._counts[column] = torch.zeros_like(sums), torch.zeros_like(counts)
        return means

    def _prune(self, left: int, means: Sequence[Tensor]) -> None:
        """Prune the smallest values of theta, but for those without which nothing is left within the budgets.

        Values far below the best are lost in theta's rounding; of those that are equal there, the metric decides.
        """
        for theta, mean, alive in zip(self._theta, means, self._alive, strict=True):
            needed: list[int] = []
            for code in np.lexsort((mean.numpy(), theta.numpy())).tolist():
                if int(alive.sum()) <= left:
                    break
                if not alive[code]:
                    continue
                alive[code] = False
                if not self._has_network():
                    alive[code] = True
                    needed.append(code)
                elif needed:  # what survives shall have more than what is pruned
                    smaller = needed.pop()
                    theta[[smaller, code]] = theta[[code, smaller]]

    def _has_network(self) -> bool:
        """Return whether survivors make a network within the budgets."""
        rng = np.random.default_rng(0)
        columns = [rng.choice(torch.nonzero(alive)[:, 0].numpy(), _TRIES) for alive in self._alive]
        if not self._budgets and bool(self.space.valid_codes(np.stack(columns, axis=1)).any()):
            return True
        survivors = [alive.double() / alive.sum() for alive in self._alive]
        try:
            self._within().solve(survivors, self._budgets)
        except BudgetError:
            return False
        return True


def _stages(values: int, epochs: int, sweeps: int) -> list[_Stage]:
    """Plan the stages: as many sweeps as the epochs allow, then the fewest values pruned at once."""
    if values < 2:
        return []
    for step in range(1, values):
        sizes = list(range(values, 1, -step))
        least = sum(sizes)
        if least > epochs:
            continue
        stages, first, count = list[_Stage](), 0, min(sweeps, epochs // least)
        for size in sizes:
            stages.append(_Stage(first, size, count, max(1, size - step)))
            first = stages[-1].end
        return stages
    raise HwnasError(f"method ddpnas: epochs must be {values} or more, one for each value of a choice, got {epochs}")
