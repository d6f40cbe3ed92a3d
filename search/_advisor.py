"""Proposals from any trials, for loops that keep their own records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from search._arrays import IntArray
from search._batch import fill
from search._candidates import Candidates
from search._context import Context
from search._problem import Problem
from search._threads import single_threaded
from search._trial import Trial
from search.strategies._base import Strategy

__all__ = ["Advisor"]


class Advisor:
    """Asks a strategy for proposals, given trials that anybody may have proposed.

    A `Study` in contrast works with the trials that it proposed itself.

    Args:
        problem: The problem.
        initial: Number of successful trials before which proposals are random; they fix the objectives' scales.
    """

    def __init__(self, problem: Problem, *, initial: int = 10) -> None:
        self.problem, self.initial = problem, initial
        self._candidates = Candidates(problem)

    def propose(self, strategy: Strategy, trials: Sequence[Trial], n: int, rng: np.random.Generator) -> IntArray:
        """Propose untried admissible architectures.

        Args:
            strategy: Proposes once there are enough trials.
            trials: Finished trials, in the order in which they count. Failed ones are not proposed again.
            n: Number of architectures wanted.
            rng: Random generator of this call.

        Returns:
            Codes ``(k, d)``, k <= n; fewer than `n` where no more are left.
        """
        trials = self._with_canonical_codes(trials)
        feasible = [place for place, trial in enumerate(trials) if trial.ok and self.problem.feasible(trial.values)]
        inside = self.problem.within([trials[place] for place in feasible])
        kept = [place for place, keep in zip(feasible, inside, strict=True) if keep]
        first = set(kept[: self.initial])
        batches = [0 if place in first else 1 for place in range(len(trials))]
        context = Context(self._candidates, trials, batches, screen=True)
        codes = context.codes[:0]
        if len(context.codes) >= self.initial and len(context.random(1, np.random.default_rng(0))):
            with single_threaded():
                codes = context.admit(self.problem.domain.check(strategy.propose(context, n, rng).codes))[:n]
        return fill(context, codes, n, rng)

    def _with_canonical_codes(self, trials: Sequence[Trial]) -> list[Trial]:
        if not trials:
            return []
        rows = self.problem.domain.canonicalise(np.array([trial.codes for trial in trials], dtype=np.int64))
        return [replace(trial, codes=tuple(row)) for trial, row in zip(trials, rows.tolist(), strict=True)]
