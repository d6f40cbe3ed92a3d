"""`Winner`: a network on its way out of a search; and in which order networks are considered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas._costs._cost import LATENCY
from hwnas._costs._space_costs import CostOfCodes
from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._front import spread_along
from hwnas.spaces import Architecture
from search import Study, Trial, nondominated

MOST_WINNERS = 10
BEST_WINNERS = 3
"""Networks to deliver of a search for the best one: shared weights rate networks that are alike too roughly for one."""
_MOST_CANDIDATES = 60
"""Most networks that are considered; the last ones are far behind the front."""


@dataclass(frozen=True)
class Winner:
    """A network that may be delivered.

    Attributes:
        trial: Number of its trial.
        arch: The architecture.
        values: Its objectives as the search saw them.
        name: What it is called where it is no trial; None for a trial.
    """

    trial: int
    arch: Architecture
    values: Mapping[str, float]
    name: str | None = None

    @property
    def id(self) -> str:
        """Its name in the run."""
        return f"t{self.trial:04d}" if self.name is None else self.name


@dataclass(frozen=True)
class Candidates:
    """Networks in the order in which they are considered.

    Attributes:
        first: At most `MOST_WINNERS` networks of the front, spread along it; in a search for the best network the best
            `BEST_WINNERS`, whatever they cost. From cheap to expensive.
        spares: What may take their places: the rest of the front, then the next front without it, and so on; those
            nearest to the latency budget come first in each. In a search for the best network, the best come first.
    """

    first: tuple[Winner, ...]
    spares: tuple[Winner, ...]


def find_candidates(study: Study, setup: SearchSetup) -> Candidates:
    """Return the networks of a search that may be delivered; none where no trial is within the budgets."""
    cost = study.problem.objectives[1].name
    if setup.run.settings.goal == "best":
        winners = [_winner(trial, setup) for trial in study.context().successful]
        winners = sorted(winners, key=lambda winner: from_best(winner, setup))[:_MOST_CANDIDATES]
        first, spares = winners[:BEST_WINNERS], winners[BEST_WINNERS:]
        return Candidates(tuple(sorted(first, key=lambda winner: winner.values[cost])), tuple(spares))
    ranks = _ranks(study)
    if not ranks:
        return Candidates((), ())
    front = ranks[0]
    chosen = [front[i] for i in spread_along([trial.values[cost] for trial in front], MOST_WINNERS)]
    numbers = {trial.number for trial in chosen}
    spares = [
        winner for rank in ranks for winner in _from_expensive([t for t in rank if t.number not in numbers], setup)
    ]
    return Candidates(tuple(_winner(trial, setup) for trial in chosen), tuple(spares))


def from_best(winner: Winner, setup: SearchSetup) -> float:
    """Return what orders networks from the best one on: their values of the metric, as the search saw them."""
    return -setup.metric.sign * winner.values[setup.metric.name]


def most_winners(setup: SearchSetup) -> int:
    """Return how many networks a search delivers at most."""
    return BEST_WINNERS if setup.run.settings.goal == "best" else MOST_WINNERS


def nearest_outside(study: Study, setup: SearchSetup) -> Candidates:
    """Return the networks that are nearest to the budgets where none keeps them, the nearest first."""
    budgets = setup.run.settings.budgets
    winners = [_winner(trial, setup) for trial in study.context().outside]

    def excess(winner: Winner) -> float:
        """Return the largest share of a budget that a network needs."""
        return max(bound_cost(winner, key, setup) / upper for key, upper in budgets.items())

    ordered = sorted(winners, key=lambda winner: (excess(winner), winner.trial))
    return Candidates(tuple(ordered[: most_winners(setup)]), ())


def cost_of(winner: Winner, key: str, setup: SearchSetup) -> float:
    """Return a cost of a network as the search saw it: told where it was told, else computed."""
    if key in winner.values:
        return winner.values[key]
    return _computed(setup.costs.functions[key], winner, setup)


def bound_cost(winner: Winner, key: str, setup: SearchSetup) -> float:
    """Return what a budget binds of a network: told where it was told, else in the statistic that counts."""
    if setup.measures_trials and key in winner.values:
        return winner.values[key]
    functions = {constraint.name: constraint.cost_function for constraint in setup.problem.constraints}
    return _computed(functions.get(key) or setup.costs.functions[key], winner, setup)


def _computed(function: CostOfCodes, winner: Winner, setup: SearchSetup) -> float:
    """Return what a function of codes says of a network."""
    return float(function(setup.space.encode(winner.arch)[None])[0])


def _ranks(study: Study) -> list[Sequence[Trial]]:
    """Return the front, the front of what is left, and so on, until there are `_MOST_CANDIDATES` networks."""
    context = study.context()
    trials, ranks, count = list(context.successful), [], 0
    if not trials:
        return []
    points, left = context.told_points, np.arange(len(trials))
    while len(left) and count < _MOST_CANDIDATES:
        front = nondominated(points[left])
        ranks.append([trials[i] for i in left[front]])
        left, count = left[~front], count + int(front.sum())
    return [study.front(), *ranks[1:]]


def _from_expensive(trials: Sequence[Trial], setup: SearchSetup) -> list[Winner]:
    """Return networks from slow to fast; all of them keep the budget, so the nearest to it is the first."""
    winners = [_winner(trial, setup) for trial in trials]
    if LATENCY.key not in setup.run.settings.budgets:
        return winners
    return sorted(winners, key=lambda winner: -cost_of(winner, LATENCY.key, setup))


def _winner(trial: Trial, setup: SearchSetup) -> Winner:
    return Winner(trial.number, setup.space.decode(trial.codes), _known_values(trial, setup))


def _known_values(trial: Trial, setup: SearchSetup) -> dict[str, float]:
    """Return a trial's objectives, and its latency where that is a column of a benchmark table and no objective."""
    values = dict(trial.values)
    if setup.run.settings.latency_column is not None and "latency_ms" not in values:
        row = np.array([trial.codes], dtype=np.int64)
        values["latency_ms"] = float(setup.costs.functions["latency_ms"](row)[0])
    return values
