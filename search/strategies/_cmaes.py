"""CMA-ES for categorical choices on dominance numbers.

CatCMA with margin (Hamano et al. 2025, arXiv 2504.07884), from the package cmaes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from search._arrays import FloatArray, IntArray, unique_rows
from search._context import Context
from search._domain import Domain
from search._pareto import dominance_numbers
from search.strategies._base import NamedStrategy, Suggestion

if TYPE_CHECKING:
    from cmaes import CatCMAwM

__all__ = ["CategoricalCMA", "CategoricalDistribution"]

_ROUNDS = 40
_DRAWS = 32


class CategoricalDistribution:
    """The search distribution, adapted to trials and sampled for candidates.

    Adapting draws no random numbers, so the distribution is rebuilt from the trials in every batch.

    Args:
        domain: The domain; choices with a single value are left out.
        start: Probabilities ``(f, largest cardinality)`` of the values of the f free choices to start from,
            zero-padded; uniform when `None`.
        seed: Seeds the sampling.
    """

    def __init__(self, domain: Domain, seed: int, start: FloatArray | None = None) -> None:
        from cmaes import CatCMAwM

        self._domain = domain
        self._cards = np.asarray(domain.cardinalities)
        self._free = np.flatnonzero(self._cards > 1)
        self._optimizer: CatCMAwM | None = None
        if len(self._free):
            self._optimizer = CatCMAwM(c_space=self._cards[self._free].tolist(), cat_param=start, seed=seed)

    def adapt(self, codes: IntArray, fitness: FloatArray) -> None:
        """Adapt to trials in complete generations.

        Args:
            codes: Rows ``(n, d)``.
            fitness: Fitness ``(n,)``, to be minimised.
        """
        from cmaes import CatCMAwM

        if self._optimizer is None:
            return
        size = self._optimizer.population_size
        for start in range(0, len(codes) - size + 1, size):
            values = fitness[start : start + size]
            if np.ptp(values) == 0:
                continue
            hot = [self._one_hot(row) for row in codes[start : start + size]]
            solutions = [(CatCMAwM.Solution(c=c), float(f)) for c, f in zip(hot, values, strict=True)]
            with np.errstate(all="ignore"):
                self._optimizer.tell(solutions)

    def sample(self, n: int) -> IntArray:
        """Draw `n` rows ``(n, d)``."""
        rows = np.zeros((n, self._domain.dimension), dtype=np.int64)
        if self._optimizer is not None:
            for row in rows:
                row[self._free] = np.asarray(self._optimizer.ask().c).argmax(axis=1)
        return rows

    def _one_hot(self, row: IntArray) -> np.ndarray:
        hot = np.zeros((len(self._free), int(self._cards.max())), dtype=bool)
        hot[np.arange(len(self._free)), row[self._free]] = True
        return hot


class CategoricalCMA(NamedStrategy):
    """One categorical distribution over the whole space; fitness is the dominance number over all trials."""

    name = "cmaes"
    packages = ("cmaes",)

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest draws from the adapted distribution."""
        distribution = CategoricalDistribution(context.problem.domain, int(rng.integers(2**31)))
        distribution.adapt(context.codes, dominance_numbers(context.points))
        candidates = context.codes[:0]
        for _ in range(_ROUNDS):
            candidates = unique_rows(np.concatenate([candidates, context.admit(distribution.sample(_DRAWS))]))
            if len(candidates) >= n:
                break
        return Suggestion(candidates[:n])
