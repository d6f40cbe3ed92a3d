"""`DrNAS`: learns the concentrations of a Dirichlet distribution for each choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from hwnas.oneshot._logits import Logits, rate_for
from hwnas.oneshot._method import OneShotMethod
from hwnas.oneshot._solve import Solver
from hwnas.spaces import Space
from search import StrategyOption

_BETAS = (0.5, 0.999)
_REGULARISATION = 1e-3
_PUBLISHED_RATE, _MANY_STEPS = 3e-4, 100_000
_RISE_UNITS, _MOST_RISE, _MOST_WEIGHT = 16.0, 0.1, 1e3


class DrNAS(OneShotMethod):
    """Dirichlet neural architecture search (Chen et al. 2021, arXiv 2006.10355).

    The mixing weights of each choice are drawn anew for every step from a Dirichlet distribution with concentration
    ``elu(alpha) + 1`` (section 3.1), and the loss is differentiated through the draw (pathwise derivatives). Adam with
    momenta (0.5, 0.999) moves alpha. The regulariser keeps concentrations near 1: weight decay of 1e-3 on alpha, or
    1e-3 times the Kullback-Leibler divergence from the uniform Dirichlet distribution. The distribution that is
    reported is the mean of the Dirichlet distribution.

    **Stages** (section 3.3). At the beginning of each stage but the first, the values of the smallest means are pruned:
    5 values of a choice become 3. A draw over all values is masked and divided by its sum; pruned alphas are set to 0,
    so that their concentration stays 1; those that are kept go on as they are. In the first epochs of each stage alpha
    is frozen, and only the weights of the network are trained. Partial channels, the other half of the paper's
    progressive learning, are left out: `Mixture` computes all channels of a node.

    **Learning rate.** The paper's 3e-4 belongs to its schedule: two times 50 epochs of about 400 steps. Adam moves an
    alpha by about the learning rate a step, and alphas have to move by a few units. So the default is the larger of
    3e-4 and ``6 / steps``, with the number of steps of the whole training (`expect_steps`; 3e-4 where nobody tells).

    **Cost** (ours). The expected cost is that at the mean, as a share c of the budget, and the loss becomes
    ``loss + m c``. With ``goal=weight`` m is ``latency_weight``: several trainings with different weights give a front.
    With ``goal=budget`` m begins there and is multiplied by ``exp(r (c - 1))`` in each step, with r = 16 / steps: it
    rises while the expected cost is over the budget and falls while it is below, towards the multiplier of the
    constraint c = 1, whatever the units of the loss are. The distribution meets the budget on average; `solve` then
    takes a network within it. Hard budgets (`constrain`) keep an architecture within them from being pruned.

    Args:
        space: The space.
        epochs: Epochs of the whole training.
        lr: Learning rate of alpha; 0 for the default.
        latency_weight: Weight of the expected cost; with ``goal=budget`` the first one.
        goal: ``budget`` or ``weight``, see above.
        regulariser: ``l2`` or ``kl``.
        stages: Number of stages of equal length.
        kept: Share of the values of a choice that a stage takes over from the one before, rounded up, at least 2.
        frozen: Share of the epochs of each stage in which alpha does not move.
    """

    name: ClassVar[str] = "drnas"
    share: ClassVar[float] = 0.5
    options: ClassVar[tuple[StrategyOption, ...]] = (
        StrategyOption("lr", 0.0, "learning rate; 0: the larger of 3e-4 and 6 / steps", minimum=0.0, maximum=10.0),
        StrategyOption("latency_weight", 0.1, "weight of the expected cost, as a share of the budget", minimum=0.0),
        StrategyOption("goal", "budget", "the weight follows the budget, or stays", choices=("budget", "weight")),
        StrategyOption("regulariser", "l2", "what keeps concentrations near 1", choices=("l2", "kl")),
        StrategyOption("stages", 2, "stages; values are pruned between them", minimum=1, maximum=10),
        StrategyOption("kept", 0.6, "share of a choice's values that a stage takes over", minimum=0.0, maximum=1.0),
        StrategyOption("frozen", 0.2, "share of each stage before the distribution moves", minimum=0.0, maximum=0.9),
    )

    def __init__(
        self,
        space: Space,
        *,
        epochs: int,
        lr: float = 0.0,
        latency_weight: float = 0.1,
        goal: str = "budget",
        regulariser: str = "l2",
        stages: int = 2,
        kept: float = 0.6,
        frozen: float = 0.2,
    ) -> None:
        super().__init__(space, epochs=epochs)
        self._latency_weight, self._goal, self._regulariser = latency_weight, goal, regulariser
        self._stages, self._kept_share, self._frozen = min(stages, epochs), kept, frozen
        counts = space.cardinalities
        decay = _REGULARISATION if regulariser == "l2" else 0.0
        self._lr, self._rise = lr, _MOST_RISE
        self._alphas = Logits(counts, lr=rate_for(lr, _PUBLISHED_RATE, _MANY_STEPS), weight_decay=decay, betas=_BETAS)
        self._masks = [torch.ones(count, dtype=torch.float64) for count in counts]
        self._stage = 0
        self._within: tuple[Solver, Mapping[str, float]] | None = None

    def constrain(self, solver: Solver, budgets: Mapping[str, float]) -> None:
        """State hard budgets: pruning then leaves an architecture within them."""
        self._within = solver, budgets

    def expect_steps(self, steps: int) -> None:
        """Set the default learning rate, and how fast the weight of the cost follows the budget."""
        self._alphas.set_rate(rate_for(self._lr, _PUBLISHED_RATE, steps))
        self._rise = min(_MOST_RISE, _RISE_UNITS / max(1, steps))

    def distribution(self) -> list[Tensor]:
        """Return the means of the Dirichlet distributions, 0 for what is pruned."""
        return [vector.detach() for vector in self.priced()]

    def priced(self) -> Sequence[Tensor]:
        """Return the means with gradients: the expected cost is that at the mean."""
        return [_normalised(own, mask) for own, mask in zip(self._concentrations(), self._masks, strict=True)]

    def draw(self, rng: np.random.Generator) -> list[Tensor]:
        """Draw the mixing weights of each choice."""
        drawn: dict[int, Tensor] = {}
        concentrations = self._concentrations()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            for columns in _equal_counts(self.space.cardinalities):  # one call for all choices of one length
                rows = Dirichlet(torch.stack([concentrations[c] for c in columns]), validate_args=False).rsample()
                drawn.update(zip(columns, rows, strict=True))
        return [_normalised(drawn[column], mask) for column, mask in enumerate(self._masks)]

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Prune values where a stage begins."""
        stage = epoch * self._stages // self.epochs
        while self._stage < stage:
            self._stage += 1
            self._prune()

    def learns(self, epoch: int) -> bool:
        """Return whether the first, frozen epochs of a stage are over."""
        return self._moves(epoch, self._frozen, self._stages)

    def step(self, loss: Tensor, cost: Tensor | None, progress: float) -> None:
        """Take a step of Adam on alpha, and let the weight of the cost follow the budget."""
        total = loss
        if cost is not None:
            total = total + self._latency_weight * cost.to(total)
        if self._regulariser == "kl":
            total = total + _REGULARISATION * self._divergence().to(total)
        self._alphas.step(total)
        self._reset_pruned()
        if cost is not None and self._goal == "budget":
            excess = min(1.0, float(cost.detach()) - 1.0)
            self._latency_weight = min(_MOST_WEIGHT, self._latency_weight * math.exp(self._rise * excess))

    def state(self) -> dict[str, Any]:
        """Return alpha, Adam's state, what is pruned, the stage and the weight of the cost."""
        return {
            **self._alphas.state(),
            "mask": [mask.clone() for mask in self._masks],
            "stage": self._stage,
            "latency_weight": self._latency_weight,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._alphas.load_state(state)
        self._masks = [mask.clone() for mask in state["mask"]]
        self._stage, self._latency_weight = int(state["stage"]), float(state["latency_weight"])

    def _concentrations(self) -> list[Tensor]:
        return [torch.nn.functional.elu(alpha) + 1.0 for alpha in self._alphas.vectors]

    def _divergence(self) -> Tensor:
        """Return the sum of the divergences from the uniform Dirichlet distributions (section 3.1)."""
        parts = [
            kl_divergence(Dirichlet(own, validate_args=False), Dirichlet(torch.ones_like(own), validate_args=False))
            for own in self._concentrations()
        ]
        return torch.stack(parts).sum()

    def _prune(self) -> None:
        """Mask all but the most probable values of each choice, and keep an architecture within hard budgets."""
        means = self.distribution()
        needed: Sequence[int | None] = [None] * len(means)
        if self._within is not None:
            solver, budgets = self._within
            needed = solver.solve(means, budgets).codes
        for mask, mean, code in zip(self._masks, means, needed, strict=True):
            left = int(mask.sum())
            count = min(left, max(2, math.ceil(round(self._kept_share * left, 9))))
            score = mean.clone()
            if code is not None:
                score[code] = 2.0
            order = torch.argsort(score, descending=True, stable=True)
            mask[order[count:]] = 0.0
        self._reset_pruned()

    def _reset_pruned(self) -> None:
        with torch.no_grad():
            for alpha, mask in zip(self._alphas.vectors, self._masks, strict=True):
                alpha.mul_(mask)


def _normalised(vector: Tensor, mask: Tensor) -> Tensor:
    kept = vector * mask
    return kept / kept.sum()


def _equal_counts(counts: Sequence[int]) -> list[list[int]]:
    """Return the columns of choices with equally many values, together."""
    groups: dict[int, list[int]] = {}
    for column, count in enumerate(counts):
        groups.setdefault(count, []).append(column)
    return list(groups.values())
