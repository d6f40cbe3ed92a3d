"""The ask/tell loop: batches, duplicates, failures, and exact resumption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from search._arrays import IntArray
from search._batch import BatchPlan
from search._candidates import Candidates
from search._context import Context
from search._errors import ProblemError, RestoreError, TellError
from search._estimate import EstimateModel
from search._history import History
from search._problem import Problem
from search._replay import replay
from search._saved import SavedStudy, read_state
from search._tell import evaluated_trial
from search._trial import Proposal, Trial
from search.strategies._base import Strategy

__all__ = ["Study"]


class Study:
    """A search in progress.

    `ask` gives the proposals of a batch, `tell` takes results in any order; the next batch opens when all
    proposals of the last one are told. The first batch is a random design of `initial` architectures, the same for
    every strategy at a seed. The proposals of a batch, and the corrections of estimates behind them, are a function of
    the seed, the batch's index and the trials of earlier batches alone. So a study that is restored from its finished
    trials, even in the middle of a batch, continues exactly as the uninterrupted one.

    Args:
        problem: The problem.
        strategy: Proposes after the initial design.
        seed: Seed of everything random, 0 or more.
        initial: Size of the initial random design.
        batch: Size of the later batches.
        first: Codes ``(n, d)`` that the first batch begins with, as far as the constraints admit them; random ones fill
            it up to `initial`. Codes that only later constraints admit are in the first batch under these.

    Raises:
        ProblemError: A size or the seed is out of range.
    """

    def __init__(
        self,
        problem: Problem,
        strategy: Strategy,
        *,
        seed: int,
        initial: int = 10,
        batch: int = 5,
        first: IntArray | None = None,
    ) -> None:
        for name, number, least in (("initial", initial, 1), ("batch", batch, 1), ("seed", seed, 0)):
            if number < least:
                raise ProblemError(f"{name} must be {least} or more, got {number}")
        self.problem, self.strategy, self.seed = problem, strategy, seed
        self.initial, self.batch, self.first = initial, batch, first
        self.report: object | None = None
        """The report of the strategy about the last batch."""
        self._candidates = Candidates(problem)
        self._history = History(problem, screen=False)
        self._current: dict[int, Trial] = {}
        """Finished trials of the batch in flight; those of earlier batches are in the history."""
        self._batch_of: list[int] = []
        self._batches = 0
        self._changes: list[tuple[int, int]] = []
        self._pending: dict[int, Proposal] = {}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every finished trial by number, including failed ones."""
        return (*self._history.trials, *self._finished_in_batch())

    def trials_from(self, place: int) -> Sequence[Trial]:
        """List the finished trials without the first settled ones; the time is that of copying them.

        Args:
            place: Number of settled trials to leave out.
        """
        return [*self._history.trials[place:], *self._finished_in_batch()]

    @property
    def settled(self) -> int:
        """Number of finished trials in complete batches."""
        return len(self._history.trials)

    def _finished_in_batch(self) -> list[Trial]:
        """List the finished trials of the batch in flight, by number."""
        return [self._current[number] for number in sorted(self._current)]

    @property
    def pending(self) -> tuple[Proposal, ...]:
        """The proposals of the batch in flight that are not yet told, by number."""
        return tuple(self._pending[number] for number in sorted(self._pending))

    def context(self) -> Context:
        """Make the view that strategies get, over every finished trial."""
        if not self._current:
            return Context.of(self._candidates, self._history)
        trials = self.trials
        return Context(self._candidates, trials, [self._batch_of[t.number] for t in trials], bool(self._changes))

    def estimate_model(self, name: str) -> EstimateModel:
        """Return what the finished trials have shown about an estimate: its correction, and how far it errs.

        Args:
            name: Name of an estimated objective or constraint.

        Raises:
            ProblemError: Nothing of that name is estimated.
        """
        models = self.context().estimate_models
        if name not in models:
            raise ProblemError(f"{name!r} is not estimated; estimated are {', '.join(models) or 'none'}")
        return models[name]

    def exhausted(self) -> bool:
        """Check whether no untried architecture is left that keeps the constraints without estimates.

        `ask` also gives no proposals where such architectures are left, but none is expected to keep an estimated
        constraint.
        """
        exact = tuple(constraint for constraint in self.problem.constraints if not constraint.estimated)
        candidates = Candidates(replace(self.problem, constraints=exact))
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self._batches]))
        return len(candidates.random(1, self.context().seen, rng)) == 0

    def front(self) -> tuple[Trial, ...]:
        """List the successful trials that are non-dominated by their told values, by number."""
        context = self.context()
        if not context.successful:
            return ()
        return tuple(t for t, keep in zip(context.successful, context.front, strict=True) if keep)

    def ask(self) -> list[Proposal]:
        """Give the proposals in flight; open the next batch when there are none.

        Returns:
            By number, at most `batch` proposals (`initial` in the first batch), or any number of low-fidelity ones.
            Asking again before telling returns the same ones. There are fewer, or none, when the feasible space is
            exhausted.
        """
        if not self._pending:
            self._open_batch()
        return list(self.pending)

    def tell(
        self,
        number: int,
        values: Mapping[str, float] | None = None,
        *,
        failed: str | None = None,
        deviations: Mapping[str, float] | None = None,
    ) -> Trial:
        """Finish a proposal.

        Args:
            number: Number of a proposal in flight.
            values: Objective values in their natural direction, those of measured constraints (not for a
                low-fidelity evaluation), and those of estimated objectives and constraints (a low-fidelity evaluation
                may leave them out; the estimate then stands). Objectives with an exact cost function may be left out.
                A value that is not finite, or not positive for an estimated objective with `log`, makes the trial a
                failed one.
            failed: Why there are no values, for a failed evaluation.
            deviations: Standard deviations of the errors of told values of estimated quantities, by name, in their
                unit. Strategies then see a value between the told one and the corrected estimate (`Context.values`).

        Returns:
            The finished trial.

        Raises:
            TellError: The number is not in flight, an expensive or estimated value is missing, a name is
                unknown, a value differs from that of the objective's exact cost function, or a deviation is refused.
        """
        proposal = self._pending.get(number)
        if proposal is None:
            raise TellError(f"trial {number} is not in flight; tell each proposal of `ask` once")
        if (values is None) == (failed is None):
            given = "neither" if failed is None else "both"
            raise TellError(f"trial {number}: give either values or failed, got {given}")
        trial = Trial(number, proposal.codes, {}, failed, proposal.low_fidelity)
        if values is not None:
            trial = evaluated_trial(self.problem, proposal, values, deviations or {})
        del self._pending[number]
        self._current[number] = trial
        if not self._pending:
            self._close_batch()
        return trial

    def _close_batch(self) -> None:
        """Move the batch in flight into the history."""
        finished = self._finished_in_batch()
        self._history.add(finished, [self._batch_of[trial.number] for trial in finished])
        self._current = {}

    def change(self, problem: Problem) -> None:
        """Continue with another problem: other constraints, anchors or scales.

        Proposals in flight are dropped, finished trials stay. Those that break a new constraint count for no front or
        hypervolume (`Context.outside`). The next batch begins with the new problem's anchors, and is a random design
        like the first one where fewer than `initial` trials are left.

        Args:
            problem: The new problem, with the same choices and objectives.

        Raises:
            ProblemError: Its domain has other choices or its objectives have other names or directions.
        """
        before, after = (
            (p.domain.cardinalities, [(o.name, o.direction) for o in p.objectives]) for p in (self.problem, problem)
        )
        if before != after:
            raise ProblemError("the new problem must have the same domain and objectives; start a new study for others")
        self._pending = {}
        trials = self.trials
        kept = max((trial.number for trial in trials), default=-1) + 1
        del self._batch_of[kept:]
        self._batches = self._batch_of[-1] + 1 if self._batch_of else 0
        self.problem, self._candidates = problem, Candidates(problem)
        self._changes.append((kept, self._batches))
        self._history, self._current = History(problem, screen=True), {}
        self._history.add(trials, [self._batch_of[trial.number] for trial in trials])

    def _open_batch(self) -> None:
        """Propose the next batch."""
        context = self.context()
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self._batches]))
        opening = self._batches == (self._changes[-1][1] if self._changes else 0)
        plan = BatchPlan(self.batch, self.initial, self._batches, opening, self.first)
        batch = plan.compose(context, self.strategy, rng)
        self.report = batch.report
        for number, row in enumerate(batch.codes, start=len(self._batch_of)):
            known, estimates = context.problem.named_known_values(row), context.problem.named_estimates(row)
            key = tuple(int(c) for c in row)
            self._pending[number] = Proposal(number, key, known, batch.low_fidelity, estimates)
        self._batch_of.extend([self._batches] * len(batch.codes))
        self._batches += 1 if len(batch.codes) else 0

    def state(self) -> dict[str, Any]:
        """Write the state of the study for `from_state`, as plain JSON types."""
        changes = tuple(number for number, _ in self._changes)
        saved = SavedStudy(self.seed, self.initial, self.batch, self.trials, changes, self.first)
        return saved.to_json(self.strategy.name)

    @classmethod
    def from_state(
        cls, problem: Problem, strategy: Strategy, state: Mapping[str, Any], earlier: Sequence[Problem] = ()
    ) -> Study:
        """Restore a study from its state.

        Args:
            problem: Problem of the study, after the last change.
            strategy: Strategy of the study.
            state: The result of `state`.
            earlier: The problems before each `change`, in their order.

        Raises:
            RestoreError: The state has another version or strategy, and as in `restore`.
        """
        saved = read_state(state, strategy.name)
        if len(saved.changes) != len(earlier):
            count = len(saved.changes)
            raise RestoreError(
                f"the problem changed {count} times; `earlier` must hold {count} problems, got {len(earlier)}"
            )
        phases = list(zip(saved.changes, earlier, strict=True))
        sizes = {"seed": saved.seed, "initial": saved.initial, "batch": saved.batch}
        return cls.restore(problem, strategy, trials=saved.trials, earlier=phases, first=saved.first, **sizes)

    @classmethod
    def restore(
        cls,
        problem: Problem,
        strategy: Strategy,
        *,
        seed: int,
        trials: Iterable[Trial],
        initial: int = 10,
        batch: int = 5,
        earlier: Sequence[tuple[int, Problem]] = (),
        first: IntArray | None = None,
    ) -> Study:
        """Restore a study as it was when `trials` had finished, including the batch in flight.

        Every batch is proposed anew and compared with the journal. So a restored study is exactly the uninterrupted
        one, or an error says where they differ.

        Args:
            problem: Problem of the study in the journal.
            strategy: Strategy of the study.
            seed: Seed of the study.
            trials: Finished trials of the study, in any order.
            initial: Size of the initial design.
            batch: Size of the later batches.
            earlier: Where the problem changed, the problems before `problem`, each with the number of the trial at
                which `change` ended it, ascending.
            first: Codes ``(n, d)`` that the first batch began with.

        Raises:
            RestoreError: These settings would not have proposed the trials.
        """
        phases = [*earlier, (None, problem)]
        study = cls(phases[0][1], strategy, seed=seed, initial=initial, batch=batch, first=first)
        journal: dict[int, Trial] = {}
        for trial in trials:
            if trial.number in journal:
                raise RestoreError(f"trial {trial.number} is in the journal twice; keep one of the two lines")
            journal[trial.number] = trial
        for (end, _), (_, following) in pairwise(phases):
            replay(study, {n: journal.pop(n) for n in sorted(journal) if end is not None and n < end})
            study.change(following)
        replay(study, journal)
        return study
