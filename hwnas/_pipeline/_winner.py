"""`Winner`: a network of the front on its way out of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._front import spread_along
from hwnas.spaces import Architecture
from search import Study, Trial

MOST_WINNERS = 10


@dataclass(frozen=True)
class Winner:
    """A network of the front.

    Attributes:
        trial: Number of its trial.
        arch: The architecture.
        values: Its objectives as the search saw them.
    """

    trial: int
    arch: Architecture
    values: Mapping[str, float]

    @property
    def id(self) -> str:
        """Its name in the run."""
        return f"t{self.trial:04d}"


def pick_winners(study: Study, setup: SearchSetup) -> list[Winner]:
    """Return at most `MOST_WINNERS` networks of the front, spread along it, from cheap to expensive."""
    front = list(study.front())
    costs = [trial.values[study.problem.objectives[1].name] for trial in front]
    chosen = [front[i] for i in spread_along(costs, MOST_WINNERS)]
    return [Winner(trial.number, setup.space.decode(trial.codes), _known_values(trial, setup)) for trial in chosen]


def _known_values(trial: Trial, setup: SearchSetup) -> dict[str, float]:
    """Return a trial's objectives, and its latency where that is a column of a benchmark table and no objective."""
    values = dict(trial.values)
    if setup.run.settings.latency_column is not None and "latency_ms" not in values:
        row = np.array([trial.codes], dtype=np.int64)
        values["latency_ms"] = float(setup.costs.functions["latency_ms"](row)[0])
    return values
