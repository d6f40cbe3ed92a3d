"""Studies on the toy problems, as the checks of strategies make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwnas.testing._problems import toy_problem
from search import Problem, Strategy, Study, Trial

__all__ = ["BATCH", "INITIAL", "SEED", "MakeStrategy", "owner", "restored_study", "study_of"]

MakeStrategy = Callable[[], Strategy]
INITIAL, BATCH, SEED = 6, 3, 3


def study_of(make: MakeStrategy, problem: Problem | None = None, seed: int = SEED, initial: int = INITIAL) -> Study:
    """Begin a study, of the toy problem where no other is given."""
    return Study(problem or toy_problem(), make(), seed=seed, initial=initial, batch=BATCH)


def restored_study(make: MakeStrategy, trials: Sequence[Trial], problem: Problem | None = None) -> Study:
    """Restore a study that `study_of` began."""
    return Study.restore(problem or toy_problem(), make(), seed=SEED, trials=trials, initial=INITIAL, batch=BATCH)


def owner(make: MakeStrategy) -> str:
    """Name a strategy, as faults begin."""
    return f"strategy {make().name}"
