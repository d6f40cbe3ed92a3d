"""What every leaf sampler of LaMOO must keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwnas.testing._problems import advance, large_problem, toy_problem
from hwnas.testing._require import errors_as_faults, require
from hwnas.testing._strategies import check_strategy
from hwnas.testing._studies import BATCH, INITIAL, SEED
from search import Study
from search.lamoo import LaMOO, LeafSampler


def check_leaf_sampler(make: Callable[[], LeafSampler]) -> None:
    """Check a leaf sampler: as LaMOO's, it must keep what every strategy keeps, and choose inside the region.

    Args:
        make: Makes the leaf sampler anew.

    Raises:
        AssertionError: The leaf sampler breaks the contract.
    """
    check_choices(make)
    check_strategy(lambda: LaMOO(make(), name="lamoo-checked"))


def check_choices(make: Callable[[], LeafSampler]) -> None:
    """Its choices lie inside the region and are as few as asked for, in small and in large domains."""
    name = make().name
    require(isinstance(name, str) and name, f"leaf sampler {type(make()).__name__}: it must have a name")
    for problem in (toy_problem(upper=8.0), large_problem(upper=30.0)):
        with errors_as_faults():
            advance(
                Study(problem, LaMOO(_Watched(make()), name="lamoo-checked"), seed=SEED, initial=INITIAL, batch=BATCH),
                24,
            )


class _Watched:
    """A leaf sampler whose choices are checked."""

    def __init__(self, sampler: LeafSampler) -> None:
        self.name, self._sampler = sampler.name, sampler

    def sample(self, region: Any, context: Any, n: int, rng: np.random.Generator) -> Any:
        """Choose candidates, and require that they are as they must be."""
        rows = np.asarray(self._sampler.sample(region, context, n, rng))
        owner = f"leaf sampler {self.name}"
        require(len(rows) <= n, f"{owner}: sample must give at most {n} rows, got {len(rows)}")
        require(not len(rows) or region.contains(rows).all(), f"{owner}: sample must choose rows inside the region")
        return rows
