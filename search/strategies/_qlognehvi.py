"""qLogNEHVI over the whole space, as a BoTorch user would set it up for categorical choices."""

from __future__ import annotations

import numpy as np

from search._arrays import IntArray, unique_rows
from search._context import Context
from search.strategies._base import Suggestion

__all__ = ["QLogNEHVI"]

_CHOICES = 256
_LEAST = 2


class QLogNEHVI:
    """Categorical-kernel Gaussian processes and BoTorch's `qLogNoisyExpectedHypervolumeImprovement`.

    The acquisition is maximised over candidates of the whole space: half random, half one choice away from
    the Pareto archive (all of them where the space has no more).

    Args:
        known_exact: Look known objectives up; otherwise all objectives are learned.
        name: Name of the strategy.
    """

    def __init__(self, known_exact: bool = False, name: str = "qlognehvi") -> None:
        self.known_exact = known_exact
        self.name = name

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """The greedy batch; nothing while there are too few trials to fit."""
        choices = _choices(context, rng)
        if len(context.codes) < _LEAST or len(choices) == 0:
            return Suggestion(context.codes[:0])
        from search.bayes._botorch import log_nehvi_batch

        return Suggestion(log_nehvi_batch(context, choices, n, rng, known_exact=self.known_exact, log_error=False))


def _choices(context: Context, rng: np.random.Generator) -> IntArray:
    """Untried candidates (p, d) of the whole space."""
    elite = context.codes[context.archive]
    near = context.admit(np.concatenate([context.problem.domain.neighbours(row) for row in elite]))
    near = near[rng.permutation(len(near))[:_CHOICES]]
    anywhere = context.random(2 * _CHOICES - len(near), rng)
    return unique_rows(np.concatenate([near, anywhere]))
