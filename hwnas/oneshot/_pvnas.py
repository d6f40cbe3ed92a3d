"""`PVNAS`: several cycles of gradient search, each from new logits, and one snapshot of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hwnas.oneshot._logits import Logits, rate_for
from hwnas.oneshot._method import OneShotMethod
from hwnas.spaces import Space
from hwnas.training import cycle_of
from search import StrategyOption

_LR, _WEIGHT_DECAY, _BETAS = 3e-4, 1e-3, (0.5, 0.999)
_DEVIATION = 1e-3


class PVNAS(OneShotMethod):
    """A search after PV-NAS (Wang et al. 2020, arXiv 2011.00826): a learning-rate scheduler for diverse networks.

    The paper searches by gradient with a scheduler that makes the networks it finds diverse. There is no public code.
    What is built here is ours: the training consists of cycles, in each of which the learning rates of weights and
    logits fall along a cosine and then restart (Loshchilov and Hutter 2017, arXiv 1608.03983, eq. 5). The logits are
    drawn anew around 0 at the beginning of a cycle while the weights go on as they are, so later cycles choose on
    weights that other choices have shaped. The distribution at the end of each cycle is kept; architectures are taken
    from all of them. The mixing weights are the softmax of the logits; Adam has the momenta and the weight decay of
    DARTS (Liu et al. 2019, arXiv 1806.09055).

    **Cost** (ours). With the expected cost c as a share of the budget the loss is
    ``loss + latency_weight * max(0, c - 1)``.

    Args:
        space: The space.
        epochs: Epochs of the whole training.
        cycles: Cycles; at most as many as epochs.
        lr: Learning rate of the logits at the beginning of a cycle; 0 for 3e-4, more where there are few steps.
        latency_weight: Weight of what the expected cost is over the budget.
        frozen: Share of the epochs of each cycle in which the logits do not move.
    """

    name: ClassVar[str] = "pvnas"
    share: ClassVar[float] = 0.5
    options: ClassVar[tuple[StrategyOption, ...]] = (
        StrategyOption("cycles", 3, "cycles of the learning rate; each gives a distribution", minimum=1, maximum=100),
        StrategyOption("lr", 0.0, "learning rate of logits; 0: 3e-4, more for few steps", minimum=0.0, maximum=10.0),
        StrategyOption("latency_weight", 1.0, "weight of the cost over the budget", minimum=0.0, maximum=1e6),
        StrategyOption("frozen", 0.2, "share of each cycle before the distribution moves", minimum=0.0, maximum=0.9),
    )

    def __init__(
        self,
        space: Space,
        *,
        epochs: int,
        cycles: int = 3,
        lr: float = 0.0,
        latency_weight: float = 1.0,
        frozen: float = 0.2,
    ) -> None:
        super().__init__(space, epochs=epochs)
        self._cycles, self._lr, self._weight, self._frozen = min(cycles, epochs), lr, latency_weight, frozen
        self._logits = Logits(space.cardinalities, lr=_LR, weight_decay=_WEIGHT_DECAY, betas=_BETAS)
        self._peak = rate_for(lr, _LR, 0)
        self._kept: list[list[Tensor]] = []

    @property
    def cycles(self) -> int:
        """How often the learning rate of the weights falls to 0."""
        return self._cycles

    def expect_steps(self, steps: int) -> None:
        """Choose the learning rate where none is given: its mean over a cycle is half its peak."""
        self._peak = rate_for(self._lr, _LR, steps // (2 * self._cycles))

    def distribution(self) -> list[Tensor]:
        """Return the softmax of the logits."""
        return [vector.detach() for vector in self._logits.probabilities()]

    def draw(self, rng: np.random.Generator) -> list[Tensor]:
        """Return the softmax of the logits; nothing is random."""
        return self._logits.probabilities()

    def priced(self) -> Sequence[Tensor]:
        """Return the softmax of the logits."""
        return self._logits.probabilities()

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw new logits where a cycle begins."""
        if epoch == self._cycle(epoch)[0]:
            self._logits.reset(_DEVIATION, rng)

    def learns(self, epoch: int) -> bool:
        """Return whether the first, frozen epochs of a cycle are over."""
        return self._moves(epoch, self._frozen, self._cycles)

    def step(self, loss: Tensor, cost: Tensor | None, progress: float) -> None:
        """Take a step of Adam on the logits, at the rate of this moment of the cycle."""
        place = min(progress * self.epochs, self.epochs - 1e-9)
        first, end = self._cycle(math.floor(place))
        self._logits.set_rate(self._peak * 0.5 * (1 + math.cos(math.pi * (place - first) / (end - first))))
        total = loss if cost is None else loss + self._weight * torch.relu(cost - 1.0)
        self._logits.step(total)

    def end_epoch(self, epoch: int, value: float | None, rng: np.random.Generator) -> None:
        """Keep the distribution where a cycle ends."""
        if epoch + 1 == self._cycle(epoch)[1]:
            self._kept.append(self.distribution())

    def snapshots(self) -> list[list[Tensor]]:
        """Return the distributions at the ends of the cycles, the last one first; else the present one."""
        return [list(kept) for kept in reversed(self._kept)] or [self.distribution()]

    def state(self) -> dict[str, Any]:
        """Return logits, Adam's state and the snapshots."""
        return {**self._logits.state(), "kept": [[vector.clone() for vector in kept] for kept in self._kept]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._logits.load_state(state)
        self._kept = [[vector.clone().cpu() for vector in kept] for kept in state["kept"]]

    def _cycle(self, epoch: int) -> tuple[int, int]:
        """Return the first epoch of a cycle, and the one after its last: those of the weights' learning rate."""
        return cycle_of(epoch, self.epochs, self._cycles)
