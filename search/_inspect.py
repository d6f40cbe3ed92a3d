"""Looking into a study from outside."""

from __future__ import annotations

from search._study import Study
from search.lamoo import LaMOO, Partition
from search.strategies import LowFidelityFirst

__all__ = ["partition_of"]


def partition_of(study: Study) -> Partition | None:
    """LaMOO's partition as the study's next batch would find it; `None` where another strategy searches."""
    strategy = study.strategy.strategy if isinstance(study.strategy, LowFidelityFirst) else study.strategy
    return strategy.partition(study.context()) if isinstance(strategy, LaMOO) else None
