"""`OneShotMethod`: what a method learns about the choices of a space while one supernet is trained."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from hwnas.oneshot._solve import Solver
from hwnas.spaces import Architecture, Space
from hwnas.training import cycle_of
from search import StrategyOption


class OneShotMethod(ABC):
    """A distribution over the choices of a space, and the rule that it is learned by.

    A method knows neither weights nor data: whoever trains the supernet (or takes known accuracies in its place)
    calls it. An epoch goes:

    1. `begin_epoch`.
    2. Each step of the weights computes the supernet under `draw`, detached.
    3. Each step of the distribution (where `learns` says so) computes a loss under `draw` on samples of the other part
       of the train data, and calls `step` with that loss.
    4. `end_epoch`, with the metric of the drawn architecture where `judged` names one.

    Everything random comes from the generators that are passed, and `state` holds all that later epochs depend on: a
    training that was interrupted continues bit for bit.

    Args:
        space: The space.
        epochs: Epochs of the whole training; schedules depend on it.

    Attributes:
        name: Name of the method in the registry.
        share: Share of the train part that the distribution learns from; 0 where weights and distribution learn from
            the same samples in the same step.
        options: Options of the method; `make_method` passes all of them as keywords.
        space: The space.
        epochs: Epochs of the whole training.
    """

    name: ClassVar[str]
    share: ClassVar[float]
    options: ClassVar[tuple[StrategyOption, ...]] = ()

    def __init__(self, space: Space, *, epochs: int) -> None:
        self.space, self.epochs = space, epochs

    @property
    def cycles(self) -> int:
        """How often the learning rate of the weights falls to 0 in the training; it restarts in between."""
        return 1

    @property
    def uses_costs(self) -> bool:
        """Whether the expected cost of a distribution is of use: the method has `priced`."""
        return type(self).priced is not OneShotMethod.priced

    def constrain(self, solver: Solver, budgets: Mapping[str, float]) -> None:  # noqa: B027 - many need not know
        """State hard budgets, before the first epoch; by default they change nothing that the method does.

        Args:
            solver: Finds architectures within the budgets.
            budgets: Upper bounds by the name of the cost: ``{"latency": 4.0}``.
        """

    def expect_steps(self, steps: int) -> None:  # noqa: B027 - many need not know
        """Hear how many steps the distribution takes in the whole training, before the first epoch.

        A learning rate that is left at its default may depend on it; by default it changes nothing.
        """

    @abstractmethod
    def distribution(self) -> list[Tensor]:
        """Return the present distribution (float64, detached): what is reported, solved and sampled."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> list[Tensor]:
        """Return the probabilities ``(values,)`` of each choice for one step; gradients reach what is learned."""

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:  # noqa: B027 - many need nothing
        """Prepare an epoch (counted from 0): a temperature, a stage, a cycle, the architectures to draw."""

    @abstractmethod
    def learns(self, epoch: int) -> bool:
        """Return whether the distribution takes steps in an epoch."""

    @abstractmethod
    def step(self, loss: Tensor, cost: Tensor | None, progress: float) -> None:
        """Take one step of the distribution.

        Args:
            loss: Loss of the task under what `draw` returned last, a scalar with gradients.
            cost: Expected cost (`ExpectedCost`) as a share of the budget (1 is exactly the budget), at the distribution
                that the method wants it at (`priced`); None where costs do not count.
            progress: Share of the whole training that is done, 0 to 1.
        """

    def priced(self) -> Sequence[Tensor]:
        """Return the distribution, with gradients, whose expected cost `step` wants: usually that of the last `draw`.

        Raises:
            NotImplementedError: The method has no use for costs.
        """
        raise NotImplementedError

    def judged(self) -> Architecture | None:
        """Return the architecture whose validation metric `end_epoch` wants; None where it wants none."""
        return None

    def end_epoch(self, epoch: int, value: float | None, rng: np.random.Generator) -> None:  # noqa: B027
        """End an epoch.

        Args:
            epoch: Number of the epoch, from 0.
            value: Metric of `judged`, higher is better, as a share of 1; None where there was none.
            rng: Random generator of the epoch.
        """

    def snapshots(self) -> list[list[Tensor]]:
        """Return the distributions that architectures are taken from; by default the present one alone."""
        return [self.distribution()]

    def _moves(self, epoch: int, frozen: float, parts: int = 1) -> bool:
        """Return whether the first epochs of a part of the training, in which nothing is learned, are over.

        Args:
            epoch: Number of the epoch, from 0.
            frozen: Share of each part's epochs.
            parts: Stages or cycles of equal length, at most as many as epochs.
        """
        first, end = cycle_of(epoch, self.epochs, parts)
        return epoch - first >= math.floor(frozen * (end - first))

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all that later epochs depend on: tensors, numbers, strings and lists of them."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
