"""`DASH`: learns one vector of logits for each choice, in the steps of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hwnas.oneshot._logits import draw_normal, gradients_of, gumbel_softmax
from hwnas.oneshot._method import OneShotMethod
from hwnas.spaces import Space
from search import StrategyOption

_START = 1e-3
_MOMENTUM = 0.9
_WEIGHT_DECAY = 5e-4
_DECAYS = ((0.3, 0.2), (0.6, 0.2), (0.8, 0.2))
"""From which share of the training on the learning rate is multiplied by what: epochs 60, 120 and 160 of 200."""


class DASH(OneShotMethod):
    """DASH (Shen et al. 2022, arXiv 2204.07554): a mixture of kernel sizes and dilations, on any space.

    Each choice has a vector alpha, at first 1e-3 times a normal variate. A step mixes by Gumbel softmax,
    ``c = softmax((log_softmax(alpha) + G) / tau)`` with G of a standard Gumbel distribution. Weights and alpha learn
    from the same samples (one level). Alpha moves by SGD with Nesterov momentum 0.9, weight decay 5e-4 and a learning
    rate that is multiplied by 0.2 after 30, 60 and 80 % of the training. The distribution that is reported is
    ``softmax(alpha)``: the probability that a value has the largest part of a draw.

    **Gradient.** That of each choice is divided by its 2-norm, so that layers near the input, whose gradients are
    smaller, move as fast as the others. The authors then add 1e-5 times the field size of each operation. Here that is
    the gradient of the expected cost at ``softmax(alpha)``. It is divided by its root mean square norm over the
    choices, so that choices that cost much get more of it, and multiplied by ``latency_weight``; with
    ``goal=budget`` also by the share by which the expected cost exceeds the budget, with ``goal=weight`` not.

    The paper searches kernel sizes and dilations of convolutions (`dash1d`, `dash2d`), in which a mixture is one
    convolution. Other choices of a space are learned in the same way (ours).

    Args:
        space: The space.
        epochs: Epochs of the whole training.
        lr: First learning rate of alpha; the paper takes 0.005 for dense tasks.
        temperature: Temperature tau of the Gumbel softmax.
        latency_weight: Weight of the expected cost.
        goal: ``budget`` or ``weight``, see above.
    """

    name: ClassVar[str] = "dash"
    share: ClassVar[float] = 0.0
    options: ClassVar[tuple[StrategyOption, ...]] = (
        StrategyOption(
            "lr", 0.05, "learning rate of the distribution; 0.005 for dense tasks", minimum=0.0, maximum=10.0
        ),
        StrategyOption("temperature", 1.0, "temperature of the Gumbel softmax", minimum=0.01, maximum=100.0),
        StrategyOption("latency_weight", 1.0, "weight of the expected cost", minimum=0.0),
        StrategyOption(
            "goal", "budget", "what costs: the excess over the budget, or all", choices=("budget", "weight")
        ),
    )

    def __init__(
        self,
        space: Space,
        *,
        epochs: int,
        lr: float = 0.05,
        temperature: float = 1.0,
        latency_weight: float = 1.0,
        goal: str = "budget",
    ) -> None:
        super().__init__(space, epochs=epochs)
        self._lr, self._temperature = lr, temperature
        self._latency_weight, self._goal = latency_weight, goal
        counts = space.cardinalities
        self._alphas = [torch.zeros(count, dtype=torch.float64, requires_grad=True) for count in counts]
        self._sgd = torch.optim.SGD(self._alphas, lr=lr, momentum=_MOMENTUM, nesterov=True, weight_decay=_WEIGHT_DECAY)

    def distribution(self) -> list[Tensor]:
        """Return ``softmax(alpha)`` of each choice."""
        return [vector.detach() for vector in self.priced()]

    def priced(self) -> Sequence[Tensor]:
        """Return ``softmax(alpha)`` of each choice, with gradients."""
        return [alpha.softmax(0) for alpha in self._alphas]

    def draw(self, rng: np.random.Generator) -> list[Tensor]:
        """Draw the mixing weights of each choice by Gumbel softmax."""
        return gumbel_softmax((alpha.log_softmax(0) for alpha in self._alphas), self._temperature, rng)

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw the first alphas."""
        if epoch == 0:
            draw_normal(self._alphas, _START, rng)

    def learns(self, epoch: int) -> bool:
        """Return True: alpha moves from the first epoch on."""
        return True

    def step(self, loss: Tensor, cost: Tensor | None, progress: float) -> None:
        """Take a step of SGD on alpha."""
        gradients = [_over(own, own.norm()) for own in gradients_of(loss, self._alphas, retain=True)]
        if cost is not None:
            factor = 1.0 if self._goal == "weight" else max(0.0, float(cost.detach()) - 1.0)
            of_cost = gradients_of(cost, self._alphas, retain=True)
            norm = torch.stack([own.norm() for own in of_cost]).square().mean().sqrt()
            weight = self._latency_weight * factor
            gradients = [own + weight * _over(added, norm) for own, added in zip(gradients, of_cost, strict=True)]
        for alpha, gradient in zip(self._alphas, gradients, strict=True):
            alpha.grad = gradient
        for group in self._sgd.param_groups:
            group["lr"] = self._learning_rate(progress)
        self._sgd.step()

    def state(self) -> dict[str, Any]:
        """Return alpha and its momentum."""
        momenta = [self._sgd.state.get(alpha, {}).get("momentum_buffer") for alpha in self._alphas]
        return {
            "alpha": [alpha.detach().clone() for alpha in self._alphas],
            "momentum": [own.clone() for own in momenta if own is not None],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        with torch.no_grad():
            for alpha, own in zip(self._alphas, state["alpha"], strict=True):
                alpha.copy_(own)
        self._sgd.state.clear()
        if state["momentum"]:
            for alpha, own in zip(self._alphas, state["momentum"], strict=True):
                self._sgd.state[alpha]["momentum_buffer"] = own.clone()

    def _learning_rate(self, progress: float) -> float:
        lr = self._lr
        for start, factor in _DECAYS:
            lr *= factor if progress >= start else 1.0
        return lr


def _over(gradient: Tensor, norm: Tensor) -> Tensor:
    return gradient / norm if float(norm.detach()) > 0 else gradient
