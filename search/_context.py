"""A strategy's view of a study: the finished trials of the earlier batches, and the candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._blend import combined_values
from search._candidates import Candidates
from search._estimate import EstimateModel, fit_estimate
from search._history import History, Keys
from search._pareto import hypervolume, nondominated
from search._problem import Problem
from search._trial import Trial

__all__ = ["Context", "Normaliser"]

_MARGIN = 0.1
_FEWEST = 6
"""Trials that the scale of the objectives is taken from, at least, where there are so many."""


@dataclass(frozen=True)
class Normaliser:
    """Maps natural objective values to a maximised scale on which the worst value is 0 and the best is 1.

    Objectives with fixed constants have their reference at 0, exactly `worst`. The others are scaled by
    the range of the initial design (of all values so far while that has none; a range of zero counts as
    one) and have their reference a tenth of that range below its worst value, so that the extremes of
    the front count although the initial design did not reach them.

    Attributes:
        worst: Natural values ``(m,)`` that map to 0.
        span: Natural difference between best and worst ``(m,)``, negative for minimised objectives.
        reference: Reference point ``(m,)`` on the maximised scale.
        ceilings: Natural ceilings of the objectives; `None` where an objective has none.
        logs: Which objectives ``(m,)`` are compared by their logarithm; `worst` and `span` are then logarithms too.
    """

    worst: FloatArray
    span: FloatArray
    reference: FloatArray
    ceilings: tuple[float | None, ...]
    logs: BoolArray

    @classmethod
    def fit(cls, problem: Problem, values: FloatArray) -> Normaliser:
        """Take the scale from the objectives' constants, and from the range of values where there are none.

        Args:
            problem: The problem.
            values: Natural objective values ``(n, m)``, n >= 1.
        """
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
        """Compute the normalised ceiling of the objective with index `objective`; `None` where it has none."""
        ceiling = self.ceilings[objective]
        if ceiling is None or (self.logs[objective] and ceiling <= 0):
            return None
        end = np.log(ceiling) if self.logs[objective] else ceiling
        return float((end - self.worst[objective]) / self.span[objective])

    def __call__(self, values: FloatArray) -> FloatArray:
        """Map natural values ``(n, m)`` to the maximised scale ``(n, m)``; NaN stays NaN."""
        return (_axes(values, self.logs) - self.worst) / self.span


def _axes(values: FloatArray, logs: BoolArray) -> FloatArray:
    """Copy natural values ``(n, m)`` with the logarithm taken of the columns in `logs` ``(m,)``."""
    if not logs.any():
        return values
    result = values.astype(np.float64)
    result[:, logs] = np.log(result[:, logs])
    return result


class Context:
    """A frozen view of a study at the start of a batch.

    It has two kinds of objective values. `told` is what the trials told: it decides about budgets and about the `front`
    that users see. `values` is what strategies learn from and improve on, and so are `points`, `archive` and
    `hypervolume`: a measurement that was told with a standard deviation is combined with its corrected estimate, lest a
    strategy chases lucky measurements. Without such measurements both are the same array.

    Only trials of earlier batches are in it, so that what a strategy proposes is a function of (seed,
    batch, earlier batches) and not of the order in which a batch's results come in.

    Args:
        candidates: The architectures that may be proposed, by raw estimates where there are some.
        trials: Finished trials, by number.
        batch_of: Index of the batch of each trial.
        screen: Whether trials may break a computed constraint, because they were proposed for another problem.

    Attributes:
        batches: Index of the batch of each successful trial ``(n,)``, 0 for the initial design.
        codes: Canonical rows ``(n, d)`` of the successful trials, read-only.
        told: Their natural objective values ``(n, m)`` as told, read-only.
        seen: Row keys of every full trial, including failed ones.
        seen_low_fidelity: Row keys of every low-fidelity trial, including failed ones.
    """

    def __init__(
        self, candidates: Candidates, trials: Sequence[Trial], batch_of: Sequence[int], screen: bool = False
    ) -> None:
        history = History(candidates.problem, screen)
        history.add(trials, batch_of)
        self._look_at(candidates, history)

    @classmethod
    def of(cls, candidates: Candidates, history: History) -> Context:
        """Make the view over a history as it is now; trials that are added later are not in it.

        Args:
            candidates: The architectures that may be proposed.
            history: The finished trials.
        """
        context = cls.__new__(cls)
        context._look_at(candidates, history)
        return context

    def _look_at(self, candidates: Candidates, history: History) -> None:
        self._uncorrected = candidates
        self._evidence = history.evidence
        self.codes: IntArray = history.codes
        self.told: FloatArray = history.values
        self.batches: IntArray = history.batches
        self.seen: Keys = history.seen
        self.seen_low_fidelity: Keys = history.seen_low_fidelity
        self._history = history
        kinds = (history.trials, history.successful, history.outside, history.low_fidelity)
        self._counts = [len(kind) for kind in kinds]

    @cached_property
    def estimate_models(self) -> dict[str, EstimateModel]:
        """What the trials have shown about each estimate, by name."""
        evidence = self._evidence
        if evidence is None:
            return {}
        pairs = zip(evidence.estimates.T, evidence.told.T, strict=True)
        fitted = [fit_estimate(estimates, told, evidence.encodings) for estimates, told in pairs]
        return dict(zip(self._uncorrected.problem.estimated, fitted, strict=True))

    @cached_property
    def values(self) -> FloatArray:
        """Natural objective values ``(n, m)`` of the successful trials as far as they are known, read-only.

        Noisy told values are combined with corrected estimates; see `combined_values`.
        """
        evidence = self._evidence
        if evidence is None or np.isnan(evidence.deviations).all():
            return self.told
        values = self.told.copy()
        names = list(self._uncorrected.problem.estimated)
        for i, objective in enumerate(self._uncorrected.problem.objectives):
            if objective.estimated:
                k = names.index(objective.name)
                model = self.estimate_models[objective.name]
                combined = combined_values(evidence.told[:, k], evidence.deviations[:, k], model)
                values[:, i] = combined[evidence.successful]
        values.flags.writeable = False
        return values

    @cached_property
    def candidates(self) -> Candidates:
        """The architectures that may be proposed, by estimates that the trials have corrected."""
        return self._uncorrected.corrected(self.estimate_models)

    @property
    def problem(self) -> Problem:
        """The problem, with corrected estimates."""
        return self.candidates.problem

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every finished trial by number, including failed and low-fidelity ones."""
        return tuple(self._history.trials[: self._counts[0]])

    @cached_property
    def successful(self) -> tuple[Trial, ...]:
        """The full trials that have values and keep the constraints (n)."""
        return tuple(self._history.successful[: self._counts[1]])

    @cached_property
    def outside(self) -> tuple[Trial, ...]:
        """The full trials with values that break a computed constraint, or an estimated one by their told value.

        An earlier problem allowed the former; the estimates of the latter were too low. Models may learn from them; no
        front or hypervolume counts them.
        """
        return tuple(self._history.outside[: self._counts[2]])

    @cached_property
    def low_fidelity_trials(self) -> tuple[Trial, ...]:
        """The low-fidelity trials that have values."""
        return tuple(self._history.low_fidelity[: self._counts[3]])

    @cached_property
    def normaliser(self) -> Normaliser:
        """The scale of the objectives, by the first batches that have a few trials between them."""
        counts = np.bincount(self.batches).cumsum()
        last = int(np.searchsorted(counts, _FEWEST))
        return Normaliser.fit(self.problem, self.told[self.batches <= last])

    @cached_property
    def points(self) -> FloatArray:
        """Normalised, maximised `values` ``(n, m)`` of the successful trials."""
        return self.normaliser(self.values)

    @cached_property
    def told_points(self) -> FloatArray:
        """Normalised, maximised `told` values ``(n, m)`` of the successful trials."""
        return self.points if self.values is self.told else self.normaliser(self.told)

    @property
    def reference(self) -> FloatArray:
        """Reference point ``(m,)`` of the hypervolume, on the normalised scale."""
        return self.normaliser.reference

    @cached_property
    def hypervolume(self) -> float:
        """Normalised hypervolume of the successful trials' `values`."""
        return hypervolume(self.points, self.reference)

    @cached_property
    def archive(self) -> BoolArray:
        """Which successful trials ``(n,)`` are on the Pareto front by `values`, for strategies."""
        return nondominated(self.points)

    @cached_property
    def front(self) -> BoolArray:
        """Which successful trials ``(n,)`` are on the Pareto front by `told` values, for users."""
        return nondominated(self.told_points)

    @cached_property
    def encodings(self) -> FloatArray:
        """Model encodings ``(n, f)`` of the successful trials."""
        return self.problem.domain.encode(self.codes)

    @cached_property
    def unseen(self) -> IntArray | None:
        """Indices into `candidates.codes` of the untried rows; `None` for a large domain."""
        if self.candidates.codes is None:
            return None
        return np.flatnonzero(self.candidates.unseen(self.seen))

    def of_first_objective(self) -> Context:
        """Make the same view of a problem with the first objective alone; the constraints stay."""
        view = Context.__new__(Context)
        computed = {name for name, kind in vars(Context).items() if isinstance(kind, cached_property)}
        view.__dict__.update({name: value for name, value in self.__dict__.items() if name not in computed})
        view.told = self.told[:, :1]
        # Fill the caches of the cached properties that all others follow from.
        view.estimate_models, view.candidates = self.estimate_models, self.candidates.of_first_objective()
        view.values = view.told if self.values is self.told else self.values[:, :1]
        return view

    def admit(self, codes: IntArray) -> IntArray:
        """Select the canonical, distinct, admissible, untried rows among `codes` ``(n, d)``, in their order."""
        return self.candidates.admit(codes, self.seen)

    def admit_low_fidelity(self, codes: IntArray) -> IntArray:
        """Select the rows that `admit` keeps, without those that were tried at low fidelity."""
        return self.candidates.admit(codes, self.seen, self.seen_low_fidelity)

    def random(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw up to `n` random untried candidates ``(k, d)``."""
        return self.candidates.random(n, self.seen, rng)
