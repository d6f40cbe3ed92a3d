"""The ask/tell loop: batches, duplicates, failures, and exact resumption."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from search._arrays import IntArray
from search._batch import fill, single_threaded
from search._candidates import Candidates
from search._context import Context
from search._errors import ProblemError, RestoreError, TellError
from search._history import History
from search._problem import Problem
from search._trial import Proposal, Trial
from search.strategies._base import Strategy

__all__ = ["Study"]

_STATE_VERSION = 1
_KNOWN_TOLERANCE = 1e-9


class Study:
    """A search in progress.

    `ask` hands out a batch, `tell` takes results back in any order; the next batch opens when all of the
    last one are told. The first batch is a random design of `initial` architectures, the same for every
    strategy at a seed. What a batch proposes is a function of the seed, the batch's index and the trials
    of earlier batches alone, so that a study restored from its finished trials, even in the middle of a
    batch, goes on exactly as the unbroken one.

    Args:
        problem: What is searched for.
        strategy: Who proposes after the initial design.
        seed: Non-negative seed.
        initial: Size of the initial random design.
        batch: Size of the later batches.
        first: Codes ``(n, d)`` that the first batch begins with, all that the constraints admit; random ones fill it up
            to `initial`. Those that only later constraints admit are in the first batch under these.

    Raises:
        ProblemError: When a size or the seed is out of range.
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
        if initial < 1 or batch < 1 or seed < 0:
            raise ProblemError("initial and batch must be at least 1, and seed at least 0")
        self.problem, self.strategy, self.seed = problem, strategy, seed
        self.initial, self.batch, self.first = initial, batch, first
        self.report: object | None = None
        """What the strategy reported about the batch opened last."""
        self._candidates = Candidates(problem)
        self._history = History(problem, screen=False)
        self._told_trials: dict[int, Trial] = {}
        """Trials of the batch in flight; those of earlier batches are in the history."""
        self._batch_of: list[int] = []
        self._batches = 0
        self._changes: list[tuple[int, int]] = []
        self._pending: dict[int, Proposal] = {}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every finished trial, failed ones too, by number."""
        return (*self._history.trials, *self._fresh())

    def trials_from(self, place: int) -> Sequence[Trial]:
        """The finished trials behind the first `place` of the settled ones; costs no more than it gives."""
        return [*self._history.trials[place:], *self._fresh()]

    @property
    def settled(self) -> int:
        """Finished trials of whole batches."""
        return len(self._history.trials)

    def _fresh(self) -> list[Trial]:
        return [self._told_trials[number] for number in sorted(self._told_trials)]

    @property
    def pending(self) -> tuple[Proposal, ...]:
        """The proposals of the batch in flight that are not told yet, by number."""
        return tuple(self._pending[number] for number in sorted(self._pending))

    def context(self) -> Context:
        """The view that strategies get, over every finished trial."""
        if not self._told_trials:
            return Context.of(self._candidates, self._history)
        trials = self.trials
        return Context(self._candidates, trials, [self._batch_of[t.number] for t in trials], bool(self._changes))

    def front(self) -> tuple[Trial, ...]:
        """The successful trials that no other one dominates, by number."""
        context = self.context()
        if not context.successful:
            return ()
        return tuple(t for t, keep in zip(context.successful, context.archive, strict=True) if keep)

    def ask(self) -> list[Proposal]:
        """The proposals in flight; opens the next batch when none are.

        Returns:
            At most `batch` proposals (`initial` in the first batch), by number, or any number of cheap ones.
            Asking again before telling returns the same ones. Fewer, or none, when the feasible space is exhausted.
        """
        if not self._pending:
            self._open_batch()
        return list(self.pending)

    def tell(self, number: int, values: Mapping[str, float] | None = None, *, failed: str | None = None) -> Trial:
        """Finishes the proposal `number`.

        Args:
            number: A proposal in flight.
            values: Objective values in their natural direction, and those of expensive constraints (but not of a
                cheap evaluation). Known objectives may be left out; a value that is not finite makes the trial a failed
                one.
            failed: Why there are no values, for a failed evaluation.

        Returns:
            The finished trial.

        Raises:
            TellError: When the number is not in flight, an expensive value is missing, a name is
                unknown, or a known objective was told another value than its function gives.
        """
        proposal = self._pending.get(number)
        if proposal is None:
            raise TellError(f"trial {number} is not in flight")
        if (values is None) == (failed is None):
            raise TellError(f"trial {number}: tell either values or why it failed")
        trial = Trial(number, proposal.codes, {}, failed, proposal.cheap)
        if values is not None:
            trial = self._evaluated(proposal, values)
        del self._pending[number]
        self._told_trials[number] = trial
        if not self._pending:
            self._settle()
        return trial

    def _settle(self) -> None:
        """Moves the batch in flight into the history."""
        fresh = self._fresh()
        self._history.add(fresh, [self._batch_of[trial.number] for trial in fresh])
        self._told_trials = {}

    def _evaluated(self, proposal: Proposal, values: Mapping[str, float]) -> Trial:
        names = [o.name for o in self.problem.objectives]
        names += [] if proposal.cheap else [c.name for c in self.problem.measured]
        for name in values:
            if name not in names:
                raise TellError(f"trial {proposal.number}: no objective is called {name!r}")
        complete: dict[str, float] = {}
        for name in names:
            if name in proposal.known:
                complete[name] = proposal.known[name]
                told = float(values.get(name, complete[name]))
                if not math.isclose(told, complete[name], rel_tol=_KNOWN_TOLERANCE, abs_tol=1e-12):
                    raise TellError(
                        f"trial {proposal.number}: {name} was told as {told}, but is known: {complete[name]}"
                    )
            elif name in values:
                complete[name] = float(values[name])
            else:
                raise TellError(f"trial {proposal.number}: no value for objective {name!r}")
        wrong = [f"{name} is {value}" for name, value in complete.items() if not math.isfinite(value)]
        if wrong:
            return Trial(proposal.number, proposal.codes, {}, ", ".join(wrong), proposal.cheap)
        return Trial(proposal.number, proposal.codes, complete, None, proposal.cheap)

    def change(self, problem: Problem) -> None:
        """Goes on under another problem: other constraints, anchors or scales.

        Proposals in flight are dropped, finished trials stay. Those that break a new constraint count for no front or
        hypervolume (`Context.outside`). The next batch begins with the new problem's anchors, and is a random design
        like the first one where fewer than `initial` trials are left.

        Raises:
            ProblemError: When its domain has other choices or its objectives have other names or directions.
        """
        before, after = (
            (p.domain.cardinalities, [(o.name, o.direction) for o in p.objectives]) for p in (self.problem, problem)
        )
        if before != after:
            raise ProblemError("a study goes on with other constraints only, not with another domain or objectives")
        self._pending = {}
        trials = self.trials
        kept = max((trial.number for trial in trials), default=-1) + 1
        del self._batch_of[kept:]
        self._batches = self._batch_of[-1] + 1 if self._batch_of else 0
        self.problem, self._candidates = problem, Candidates(problem)
        self._changes.append((kept, self._batches))
        self._history, self._told_trials = History(problem, screen=True), {}
        self._history.add(trials, [self._batch_of[trial.number] for trial in trials])

    def _open_batch(self) -> None:
        context = self.context()
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self._batches]))
        opening = self._batches == (self._changes[-1][1] if self._changes else 0)
        design = self.initial - len(context.codes) if opening else 0
        want, cheap = max(self.batch, design) if self._batches else self.initial, False
        codes = np.array(self.problem.anchors if opening else (), dtype=np.int64)
        codes = codes.reshape(-1, self.problem.domain.dimension)
        if opening and self.first is not None:
            codes = context.admit(np.concatenate([self.problem.domain.check(self.first), codes]))
            want = max(want, len(codes))
        else:
            codes = context.admit(codes)[:want]
        self.report = None
        if self._batches and len(context.codes) and design <= 0:
            with single_threaded():
                suggestion = self.strategy.propose(context, want, rng)
            self.report = suggestion.report
            rows = np.concatenate([codes, self.problem.domain.check(suggestion.codes)])
            cheap = suggestion.cheap and not len(codes)
            codes = context.admit_cheaply(rows) if cheap else context.admit(rows)[:want]
            cheap = cheap and len(codes) > 0
        if not cheap:
            codes = fill(context, codes, want, rng)
        first = len(self._batch_of)
        for offset, row in enumerate(codes):
            key = tuple(int(c) for c in row)
            proposal = Proposal(first + offset, key, self.problem.describe_known(row), cheap)
            self._pending[proposal.number] = proposal
        self._batch_of.extend([self._batches] * len(codes))
        self._batches += 1 if len(codes) else 0

    def state(self) -> dict[str, Any]:
        """Everything that `from_state` needs, as plain JSON types."""
        return {
            "version": _STATE_VERSION,
            "seed": self.seed,
            "initial": self.initial,
            "batch": self.batch,
            "strategy": self.strategy.name,
            **({"changes": [at for at, _ in self._changes]} if self._changes else {}),
            **({"first": self.first.tolist()} if self.first is not None else {}),
            "trials": [trial.to_json() for trial in self.trials],
        }

    @classmethod
    def from_state(
        cls, problem: Problem, strategy: Strategy, state: Mapping[str, Any], earlier: Sequence[Problem] = ()
    ) -> Study:
        """The study that `state` was taken of.

        Args:
            problem: Its problem, after the last change.
            strategy: Its strategy.
            state: What `state` gave.
            earlier: The problems before each `change`, in their order.

        Raises:
            RestoreError: When the state is of another version or strategy, or as in `restore`.
        """
        if state.get("version") != _STATE_VERSION:
            raise RestoreError(f"the state has version {state.get('version')}, not {_STATE_VERSION}")
        if state.get("strategy") != strategy.name:
            raise RestoreError(f"the state is of strategy {state.get('strategy')!r}, not {strategy.name!r}")
        try:
            sizes = {key: int(state[key]) for key in ("seed", "initial", "batch")}
            trials = [Trial.from_json(entry) for entry in state["trials"]]
            changes = [int(at) for at in state.get("changes", ())]
            first = np.array(state["first"], dtype=np.int64) if "first" in state else None
        except (KeyError, TypeError, ValueError) as error:
            raise RestoreError(f"the state cannot be read: {error!r}") from error
        if len(changes) != len(earlier):
            raise RestoreError(f"the state's problem changed {len(changes)} times; give the earlier problems")
        phases = list(zip(changes, earlier, strict=True))
        return cls.restore(problem, strategy, trials=trials, earlier=phases, first=first, **sizes)

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
        """The study as it was when `trials` had finished, the batch in flight included.

        Every batch is proposed anew and compared with the journal, so a restored study is exactly the
        unbroken one or is refused.

        Args:
            problem: The problem of the journalled study.
            strategy: Its strategy.
            seed: Its seed.
            trials: Its finished trials, in any order.
            initial: Its size of the initial design.
            batch: Its batch size.
            earlier: Where the problem changed, the problems before `problem`, each with the number of the trial at
                which `change` ended it, ascending.
            first: Codes that its first batch began with.

        Raises:
            RestoreError: When the trials are not what these settings would have proposed.
        """
        phases = [*earlier, (None, problem)]
        study = cls(phases[0][1], strategy, seed=seed, initial=initial, batch=batch, first=first)
        journal: dict[int, Trial] = {}
        for trial in trials:
            if trial.number in journal:
                raise RestoreError(f"trial {trial.number} is journalled twice; keep one of the two lines")
            journal[trial.number] = trial
        for (end, _), (_, following) in pairwise(phases):
            study._replay({n: journal.pop(n) for n in sorted(journal) if end is not None and n < end})
            study.change(following)
        study._replay(journal)
        return study

    def _replay(self, journal: dict[int, Trial]) -> None:
        """Moves the trials of one problem from the journal into the study, batch by batch."""
        while journal and not self._pending:
            self._open_batch()
            if not self._pending:
                break
            self._replay_batch(journal)
        if journal:
            number = min(journal)
            raise RestoreError(
                f"trial {number} is journalled, but an earlier batch is not finished; the journal has a gap"
            )

    def _replay_batch(self, journal: dict[int, Trial]) -> None:
        """Moves the trials of the batch in flight from the journal into the study."""
        for proposal in self.pending:
            trial = journal.pop(proposal.number, None)
            if trial is None:
                continue
            if (trial.codes, trial.cheap) != (proposal.codes, proposal.cheap):
                raise RestoreError(
                    f"trial {trial.number} is journalled as {trial.codes}, but seed {self.seed} and strategy "
                    f"{self.strategy.name!r} propose {proposal.codes}; restore with the journal's settings"
                )
            if trial.ok:
                try:
                    self.tell(trial.number, trial.values)
                except TellError as error:
                    raise RestoreError(f"the journal does not fit the problem: {error}") from error
            else:
                self.tell(trial.number, failed=trial.failed)
