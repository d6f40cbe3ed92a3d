"""What a strategy sees of a study: the finished trials of the earlier batches, and what may come next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._candidates import Candidates
from search._history import History, Keys
from search._pareto import hypervolume, nondominated
from search._problem import Problem
from search._trial import Trial

__all__ = ["Context", "Normaliser"]

_MARGIN = 0.1


@dataclass(frozen=True)
class Normaliser:
    """Maps natural objective values to a maximised scale on which `worst` is 0 and `best` is 1.

    Objectives with fixed constants have their reference at 0, exactly `worst`. The others are scaled by
    the range of the initial design (of all values so far while that has none; a range of zero counts as
    one) and have their reference a tenth of that range below its worst value, so that the extremes of
    the front count although the initial design did not reach them.

    Attributes:
        worst: Natural values (m,) that map to 0.
        span: Natural `best - worst` (m,), negative for minimised objectives.
        reference: Reference point (m,) on the maximised scale.
        ceilings: Natural ceilings of the objectives, where they have one.
        logs: Which objectives are compared by their logarithm (m,); `worst` and `span` are then of logarithms.
    """

    worst: FloatArray
    span: FloatArray
    reference: FloatArray
    ceilings: tuple[float | None, ...]
    logs: BoolArray

    @classmethod
    def fit(cls, problem: Problem, values: FloatArray) -> Normaliser:
        """Takes the objectives' constants, and ranges from `values` (n, m), n >= 1, for the others."""
        logs = np.array([objective.log for objective in problem.objectives])
        values = _axes(values, logs)
        worst, span, reference = [], [], []
        for i, objective in enumerate(problem.objectives):
            if objective.worst is not None and objective.best is not None:
                ends = np.array([objective.worst, objective.best])
                first, last = np.log(ends) if objective.log else ends
                worst.append(first)
                span.append(last - first)
                reference.append(0.0)
                continue
            oriented = values[:, i] * objective.sign
            low, high = float(oriented.min()), float(oriented.max())
            worst.append(low * objective.sign)
            span.append(((high - low) or 1.0) * objective.sign)
            reference.append(-_MARGIN)
        ceilings = tuple(objective.ceiling for objective in problem.objectives)
        return cls(np.array(worst), np.array(span), np.array(reference), ceilings, logs)

    def cap(self, objective: int) -> float | None:
        """Normalised ceiling of one objective; `None` where it has none."""
        ceiling = self.ceilings[objective]
        return None if ceiling is None else float((ceiling - self.worst[objective]) / self.span[objective])

    def __call__(self, values: FloatArray) -> FloatArray:
        """Natural values (n, m) on the maximised scale (n, m); NaN stays NaN."""
        return (_axes(values, self.logs) - self.worst) / self.span


def _axes(values: FloatArray, logs: BoolArray) -> FloatArray:
    """Natural values (n, m) with the logarithm taken of the columns in `logs` (m,)."""
    if not logs.any():
        return values
    result = values.astype(np.float64)
    result[:, logs] = np.log(result[:, logs])
    return result


class Context:
    """A frozen view of a study at the start of a batch.

    Only trials of earlier batches are in it, so that what a strategy proposes is a function of (seed,
    batch, earlier batches) and not of the order in which a batch's results come in.

    Attributes:
        problem: The problem.
        candidates: What may be proposed.
        batches: Index of the batch of each successful trial (n,), 0 for the initial design.
        codes: Canonical rows (n, d) of the successful trials, read-only.
        values: Their natural objective values (n, m), read-only.
        seen: Row keys of every full trial, failed ones too.
        seen_low_fidelity: Row keys of every cheap trial, failed ones too.
    """

    def __init__(
        self, candidates: Candidates, trials: Sequence[Trial], batch_of: Sequence[int], screen: bool = False
    ) -> None:
        history = History(candidates.problem, screen)
        history.add(trials, batch_of)
        self._look_at(candidates, history)

    @classmethod
    def of(cls, candidates: Candidates, history: History) -> Context:
        """The view over all of a history as it is now; what is added later is not in it."""
        found = cls.__new__(cls)
        found._look_at(candidates, history)
        return found

    def _look_at(self, candidates: Candidates, history: History) -> None:
        self.problem: Problem = candidates.problem
        self.candidates = candidates
        self.codes: IntArray = history.codes
        self.values: FloatArray = history.values
        self.batches: IntArray = history.batches
        self.seen: Keys = history.seen
        self.seen_low_fidelity: Keys = history.seen_low_fidelity
        self._history = history
        self._counts = [
            len(kind) for kind in (history.trials, history.successful, history.outside, history.low_fidelity)
        ]

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every finished trial, failed and cheap ones too, by number."""
        return tuple(self._history.trials[: self._counts[0]])

    @cached_property
    def successful(self) -> tuple[Trial, ...]:
        """The full ones among them that have values and keep the constraints (n)."""
        return tuple(self._history.successful[: self._counts[1]])

    @cached_property
    def outside(self) -> tuple[Trial, ...]:
        """Full ones with values that break a known constraint: they were tried while the problem was another.

        Models may learn from them; no front or hypervolume counts them.
        """
        return tuple(self._history.outside[: self._counts[2]])

    @cached_property
    def low_fidelity_trials(self) -> tuple[Trial, ...]:
        """The cheap trials that have values."""
        return tuple(self._history.low_fidelity[: self._counts[3]])

    @cached_property
    def normaliser(self) -> Normaliser:
        """The scale of the objectives (needs a successful trial)."""
        first = self.values[self.batches == 0]
        return Normaliser.fit(self.problem, first if len(first) else self.values)

    @cached_property
    def points(self) -> FloatArray:
        """Normalised, maximised objective values (n, m) of the successful trials."""
        return self.normaliser(self.values)

    @property
    def reference(self) -> FloatArray:
        """Reference point (m,) of the hypervolume, on the normalised scale."""
        return self.normaliser.reference

    @cached_property
    def hypervolume(self) -> float:
        """Normalised hypervolume of the successful trials."""
        return hypervolume(self.points, self.reference)

    @cached_property
    def archive(self) -> BoolArray:
        """Which successful trials are on the Pareto front (n,)."""
        return nondominated(self.points)

    @cached_property
    def encodings(self) -> FloatArray:
        """Model encodings (n, f) of the successful trials."""
        return self.problem.domain.encode(self.codes)

    @cached_property
    def unseen(self) -> IntArray | None:
        """Indices into `candidates.codes` of the rows not yet tried; `None` for a large domain."""
        if self.candidates.codes is None:
            return None
        return np.flatnonzero(self.candidates.unseen(self.seen))

    def admit(self, codes: IntArray) -> IntArray:
        """The canonical, distinct, admissible, untried rows among `codes` (n, d), in their order."""
        return self.candidates.admit(codes, self.seen)

    def admit_low_fidelity(self, codes: IntArray) -> IntArray:
        """As `admit`, without the rows that were tried cheaply."""
        return self.candidates.admit(codes, self.seen, self.seen_low_fidelity)

    def random(self, n: int, rng: np.random.Generator) -> IntArray:
        """Up to `n` random untried candidates (k, d)."""
        return self.candidates.random(n, self.seen, rng)
