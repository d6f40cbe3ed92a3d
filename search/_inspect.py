"""The partition behind a study, for reports."""

from __future__ import annotations

from search._study import Study
from search.lamoo import LaMOO, Partition
from search.strategies import FirstObjective, LowFidelityFirst

__all__ = ["partition_of"]


def partition_of(study: Study) -> Partition | None:
    """Grow LaMOO's partition as the study's next batch would; `None` where another strategy searches.

    Args:
        study: The study, with at least one successful trial.
    """
    strategy, context = study.strategy, study.context()
    if isinstance(strategy, FirstObjective):
        strategy, context = strategy.strategy, context.of_first_objective()
    if isinstance(strategy, LowFidelityFirst):
        strategy = strategy.strategy
    return strategy.partition(context) if isinstance(strategy, LaMOO) else None
