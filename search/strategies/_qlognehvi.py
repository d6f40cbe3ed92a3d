"""qLogNEHVI over the whole space, as a BoTorch user would set it up for categorical choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from search._arrays import IntArray, unique_rows
from search._context import Context
from search._options import OptionValue, StrategyOption
from search.strategies._base import NamedStrategy, Strategy, Suggestion

__all__ = ["QLogNEHVI"]

_CHOICES = 256
_LEAST = 2
_LEARNED, _EXACT = "learned", "exact"


class QLogNEHVI(NamedStrategy):
    """Categorical-kernel Gaussian processes and BoTorch's `qLogNoisyExpectedHypervolumeImprovement`.

    The acquisition (arXiv 2310.20708) is maximised over candidates of the whole space: half of them random, half one
    choice away from the Pareto archive (all of them where the space has no more).

    Args:
        exact_costs: Compute objectives that have a cost function; otherwise all objectives are learned.
    """

    name = "qlognehvi"
    packages = ("botorch",)
    options = (
        StrategyOption(
            "costs", _LEARNED, "whether costs are learned like the objective or computed", choices=(_LEARNED, _EXACT)
        ),
    )
    variants: ClassVar[Mapping[str, Mapping[str, OptionValue]]] = {"qlognehvi-known": {"costs": _EXACT}}

    def __init__(self, exact_costs: bool = False) -> None:
        self.exact_costs = exact_costs

    @classmethod
    def from_options(cls, options: Mapping[str, OptionValue]) -> Strategy:
        """Make the strategy."""
        return cls(exact_costs=options["costs"] == _EXACT)

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest the greedy batch; nothing while there are too few trials to fit."""
        choices = _choices(context, rng)
        if len(context.codes) < _LEAST or len(choices) == 0:
            return Suggestion(context.codes[:0])
        from search.bayes._botorch import log_nehvi_batch

        return Suggestion(log_nehvi_batch(context, choices, n, rng, exact_costs=self.exact_costs, log_error=False))


def _choices(context: Context, rng: np.random.Generator) -> IntArray:
    """Draw untried candidates ``(p, d)`` of the whole space."""
    elite = context.codes[context.archive]
    near = context.admit(np.concatenate([context.problem.domain.neighbours(row) for row in elite]))
    near = near[rng.permutation(len(near))[:_CHOICES]]
    anywhere = context.random(2 * _CHOICES - len(near), rng)
    return unique_rows(np.concatenate([near, anywhere]))
