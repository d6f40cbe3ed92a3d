"""Moving the trials of a journal into a study, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from search._errors import RestoreError, TellError
from search._trial import Proposal, Trial
from search.strategies._base import Strategy

__all__ = ["replay"]


class _Study(Protocol):
    """What replaying needs of a study.

    Attributes:
        seed: Its seed.
        strategy: Its strategy.
    """

    seed: int
    strategy: Strategy

    @property
    def pending(self) -> tuple[Proposal, ...]:
        """The proposals in flight."""
        ...

    def ask(self) -> list[Proposal]:
        """Give the proposals in flight; open the next batch when there are none."""
        ...

    def tell(
        self,
        number: int,
        values: Mapping[str, float] | None = None,
        *,
        failed: str | None = None,
        deviations: Mapping[str, float] | None = None,
    ) -> Trial:
        """Finish a proposal."""
        ...


def replay(study: _Study, journal: dict[int, Trial]) -> None:
    """Move the trials of one problem from the journal into the study.

    Args:
        study: The study; every batch is proposed anew and compared with the journal.
        journal: Trials by number; those that are moved are removed.

    Raises:
        RestoreError: The study would not have proposed the trials, or some of an earlier batch are missing.
    """
    while journal and not study.pending and study.ask():
        for proposal in study.pending:
            trial = journal.pop(proposal.number, None)
            if trial is not None:
                _replay_trial(study, proposal, trial)
    if journal:
        number = min(journal)
        raise RestoreError(f"the journal has a gap: trial {number} is in it, but an earlier batch is not complete")


def _replay_trial(study: _Study, proposal: Proposal, trial: Trial) -> None:
    """Tell the study a trial of the journal."""
    if (trial.codes, trial.low_fidelity) != (proposal.codes, proposal.low_fidelity):
        raise RestoreError(
            f"trial {trial.number} is {trial.codes} in the journal, but seed {study.seed} and strategy "
            f"{study.strategy.name!r} propose {proposal.codes}; restore with the journal's settings"
        )
    if not trial.ok:
        study.tell(trial.number, failed=trial.failed)
        return
    try:
        study.tell(trial.number, trial.values, deviations=trial.deviations)
    except TellError as error:
        raise RestoreError(f"the journal does not match the problem: {error}") from error
