"""`DMasking`: Gumbel softmax over masks of widths, and a loss that is a product with the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from hwnas.oneshot._logits import Logits, gumbel_softmax, rate_for
from hwnas.oneshot._method import OneShotMethod
from hwnas.spaces import Space
from search import StrategyOption

_EPOCHS = 90
"""Epochs of the published search; temperatures follow its course however long a training is."""
_LOG_BUDGET = 10.0
"""What the logarithm of the budget counts as: FBNet's are about e^10 = 22,000 microseconds."""
_LR, _WEIGHT_DECAY = 0.01, 5e-4


class DMasking(OneShotMethod):
    """DMaskingNAS of FBNetV2 (Wan et al. 2020, arXiv 2004.05565), with FBNet's settings (Wu et al. 2019, 1812.03443).

    The probabilities of each choice are a Gumbel softmax of its logits theta, drawn anew for every step; the
    temperature falls by the factor .956 an epoch of 90, and as far in shorter trainings. `Mixture` applies them as the
    paper does: widths as sums of masks. Theta learns on 20 % of the train part by Adam (.01, weight decay 5e-4),
    after a tenth of the epochs in which the weights alone learn. The loss is ``CE * alpha * log(cost)^beta`` with the
    expected cost of the same draw: a product, so that the cost weighs less once the network is good.

    **Ours.** The paper's cost is in microseconds or MACs; here 1 is the budget, and its logarithm counts as 10, about
    that of FBNet's budgets. That loss pulls below any budget, so with ``goal=budget`` what is within the budget costs
    nothing, and a factor ``c ** excess`` pulls back what is over it; ``goal=weight`` is the published loss.
    Adam moves a logit by about the learning rate a step: without `lr` it is .01, or ``6 / n`` where there are only n
    steps.

    Args:
        space: The space.
        epochs: Epochs of the whole training.
        lr: Learning rate of theta; 0 for the default.
        tau: Temperature of the first epoch.
        tau_decay: Its factor an epoch of 90.
        alpha: Weight of the cost.
        beta: Exponent of the cost's logarithm.
        goal: ``budget`` or ``weight``, see above.
        excess: Exponent of the factor by which the cost is over the budget.
        frozen: Share of the epochs before theta moves.
    """

    name: ClassVar[str] = "dmasking"
    share: ClassVar[float] = 0.2
    options: ClassVar[tuple[StrategyOption, ...]] = (
        StrategyOption("lr", 0.0, "learning rate of the logits; 0: .01, more for few steps", minimum=0.0, maximum=10.0),
        StrategyOption("tau", 5.0, "temperature of the first epoch", minimum=1e-3, maximum=1e3),
        StrategyOption("tau_decay", 0.956, "factor of the temperature in 1/90 of all epochs", minimum=0.5, maximum=1.0),
        StrategyOption("alpha", 0.2, "weight of the cost in the loss", minimum=1e-6, maximum=1e6),
        StrategyOption("beta", 0.6, "exponent of the logarithm of the cost", minimum=0.0, maximum=100.0),
        StrategyOption(
            "goal", "budget", "what costs: the excess over the budget, or all", choices=("budget", "weight")
        ),
        StrategyOption("excess", 1.0, "exponent of what the cost is over the budget", minimum=0.0, maximum=100.0),
        StrategyOption("frozen", 0.1, "share of the training before the distribution moves", minimum=0.0, maximum=0.9),
    )

    def __init__(
        self,
        space: Space,
        *,
        epochs: int,
        lr: float = 0.0,
        tau: float = 5.0,
        tau_decay: float = 0.956,
        alpha: float = 0.2,
        beta: float = 0.6,
        goal: str = "budget",
        excess: float = 1.0,
        frozen: float = 0.1,
    ) -> None:
        super().__init__(space, epochs=epochs)
        self._lr, self._tau, self._tau_decay = lr, tau, tau_decay
        self._alpha, self._beta, self._goal, self._excess = alpha, beta, goal, excess
        self._frozen = frozen
        self._logits = Logits(space.cardinalities, lr=rate_for(lr, _LR, 0), weight_decay=_WEIGHT_DECAY)
        self._temperature = tau
        self._drawn: list[Tensor] = []

    def expect_steps(self, steps: int) -> None:
        """Choose the learning rate where none is given."""
        self._logits.set_rate(rate_for(self._lr, _LR, steps))

    def distribution(self) -> list[Tensor]:
        """Return the softmax of the logits."""
        return [vector.detach() for vector in self._logits.probabilities()]

    def draw(self, rng: np.random.Generator) -> list[Tensor]:
        """Draw a Gumbel softmax of each choice."""
        self._drawn = gumbel_softmax(self._logits.vectors, self._temperature, rng)
        return list(self._drawn)

    def priced(self) -> Sequence[Tensor]:
        """Return the last draw: loss and cost are those of one draw (section 3.1)."""
        return self._drawn

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Set the temperature."""
        self._temperature = self._tau * self._tau_decay ** (_EPOCHS * epoch / self.epochs)

    def learns(self, epoch: int) -> bool:
        """Return whether the first, frozen epochs are over."""
        return self._moves(epoch, self._frozen)

    def step(self, loss: Tensor, cost: Tensor | None, progress: float) -> None:
        """Take a step of Adam on theta."""
        total = loss
        if cost is not None:
            counted = cost if self._goal == "weight" else cost.clamp(min=1.0)
            logarithm = (_LOG_BUDGET + counted.log()).clamp(min=1e-3)
            total = loss * self._alpha * logarithm**self._beta
            if self._goal == "budget":
                total = total * counted**self._excess
        self._logits.step(total)

    def state(self) -> dict[str, Any]:
        """Return theta and Adam's state; temperatures follow from the epoch."""
        return self._logits.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._logits.load_state(state)
