"""What the first batch of a search begins with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas._errors import HwnasError, SpaceError
from hwnas._pipeline._oneshot import first_budgets
from hwnas._pipeline._oneshot_strategy import OneShotStrategy
from hwnas._pipeline._setup import SearchSetup
from hwnas.spaces import Space
from profilers import TextProgress


def opening_of(setup: SearchSetup, count: int, *, trained: bool) -> npt.NDArray[np.int64] | None:
    """Return the codes ``(n, d)`` that the first batch begins with; None where nothing is known before it.

    Args:
        setup: The search.
        count: Number of architectures wanted.
        trained: Whether the training of a one-shot method is finished.
    """
    parts = [named_networks(setup.space, setup.run.settings.begin_with)]
    strategy = setup.strategy
    if setup.warm_start is not None:
        parts.append(setup.warm_start.codes(setup.space))
    elif isinstance(strategy, OneShotStrategy) and trained:
        problem = setup.problem_with(first_budgets(setup))
        parts.append(strategy.opening(problem, count, setup.run.settings.seed))
    codes = np.concatenate(parts)
    return codes if len(codes) else None


def named_networks(space: Space, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the networks of ``--begin-with`` as canonical codes ``(n, choices)``.

    Raises:
        HwnasError: A text is no network of the space.
    """
    rows = []
    for text in texts:
        try:
            rows.append(space.encode(space.parse(text)))
        except SpaceError as error:
            raise HwnasError(f"--begin-with: {error}") from None
    return space.canonical_codes(np.array(rows, dtype=np.int64).reshape(len(rows), len(space.choices)))


def tell_left_out(setup: SearchSetup, progress: TextProgress) -> None:
    """Name the networks of ``--begin-with`` that are not evaluated, because they are over a budget."""
    texts = setup.run.settings.begin_with
    inside = setup.problem.admissible(named_networks(setup.space, texts))
    for text, kept in zip(texts, inside, strict=True):
        if not kept:
            progress(f"--begin-with {text}: over the budgets, so it is not evaluated")
