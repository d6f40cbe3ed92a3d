"""The study of a search as its journal left it."""

from __future__ import annotations

from hwnas._errors import HwnasError, SpaceError
from hwnas._pipeline._opening import opening_of
from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._journal import TrialRecord
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import Space
from search import FirstObjective, RestoreError, Study

_FIRST = 10
"""Architectures of the first batch, at least."""
_FIRST_FULL = 2
"""Architectures that are evaluated in full before a random design at low fidelity."""


def initial_size(settings: SearchSettings) -> int:
    """Return the number of architectures of a search's first batch, where no warm start adds to them."""
    return _FIRST_FULL if settings.opens_cheaply else max(_FIRST, settings.proposals)


def restore_study(setup: SearchSetup, *, prepared: bool = False) -> Study:
    """Restore the study from the finished trials.

    Args:
        setup: The search.
        prepared: Whether the evaluators are prepared; where there are trials, they were.

    Raises:
        HwnasError: The journal is not what this search would have written.
    """
    settings, journal = setup.run.settings, setup.journal
    try:
        trials = [record.trial for record in journal.records]
        study = Study.restore(
            setup.problem,
            FirstObjective(setup.strategy) if settings.goal == "best" else setup.strategy,
            seed=settings.seed,
            trials=trials,
            initial=initial_size(settings),
            batch=settings.proposals,
            earlier=[(phase.until, setup.problem_with(phase.budgets)) for phase in setup.run.phases_at(len(trials))],
            first=opening_of(setup, initial_size(settings), trained=prepared or len(trials) > 0),
        )
        for record in journal.records:
            if not _same_network(setup.space, record):
                raise RestoreError(f"the codes and the text of trial {record.number} are different architectures")
    except RestoreError as error:
        raise HwnasError(f"{journal.path} does not belong to this search: {error}") from None
    return study


def _same_network(space: Space, record: TrialRecord) -> bool:
    """Return whether codes and text of a trial are one network; an earlier version may have written it otherwise."""
    text = space.format(space.decode(record.codes))
    if record.arch == text:
        return True
    try:
        return space.format(space.parse(record.arch)) == text
    except SpaceError:
        return False
