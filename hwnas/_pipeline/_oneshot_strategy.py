"""`OneShotStrategy`: proposes the architectures that a one-shot training found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import HwnasError
from hwnas._pipeline._oneshot_source import Source
from hwnas.oneshot import method_options
from search import OptionValue, Problem, StrategyOption, Suggestion, check_options

if TYPE_CHECKING:
    from hwnas._pipeline._setup import DeviceCosts

IntArray = npt.NDArray[np.int64]

RUNGS = StrategyOption("rungs", 8, "budgets for which the most probable network is proposed", minimum=1, maximum=1000)
COST = StrategyOption(
    "cost",
    "budget",
    "when the training counts the expected cost: where it has a budget, always or never",
    choices=("budget", "always", "never"),
)
SINGLE = StrategyOption(
    "single",
    0.5,
    "share of the weights' steps that train one drawn network, not the mixture (dash: none do)",
    minimum=0.0,
    maximum=1.0,
)
_COMMON = (RUNGS, COST, SINGLE)
"""Options that the strategies of all methods have."""
_LEAST = 8
"""Suggestions that are looked at together, at least."""

Admit = Callable[[IntArray], IntArray]
"""Selects rows ``(n, d)`` that may be tried, each once, in their order."""


class OneShotStrategy:
    """Proposes the most probable network for each of a ladder of budgets, then draws from the distributions.

    The ladder begins at the budget of the cost that the training counted (without one: at no bound), and goes down over
    quantiles of the prices of random networks below it. Other budgets hold on every rung. The rungs are solved exactly
    by the table (`hwnas.oneshot.Solver`) for each distribution of the training; budgets of estimated costs follow the
    search's correction of the estimates. Draws get flatter where the distribution has nothing new to give. Nothing is
    proposed twice, and nothing over a budget that is known: the study sees to both. For each of several devices as many
    networks are proposed as for the others, from its own distributions within its own budgets.

    `propose` depends on its arguments and on the training's file alone.

    Args:
        method: Name of the one-shot method.
        options: Options of the method, and those of all methods (``rungs``, ``cost``, ``single``).

    Attributes:
        name: The method with the options that differ from their defaults.
        method: Name of the method.
        method_options: The options that are the method's.
        single: Share of the weights' steps that train one network.
        sources: What the training suggests for each device; empty outside a search.

    Raises:
        SearchError: An option is unknown or its value is not allowed.
    """

    def __init__(self, method: str, options: Mapping[str, object] | None = None) -> None:
        declared = one_shot_options(method)
        given = check_options(method, declared, options or {})
        changed = {o.name: given[o.name] for o in declared if o.name in given and given[o.name] != o.default}
        listed = ", ".join(f"{name}={value}" for name, value in changed.items())
        self.name = f"{method}({listed})" if listed else method
        self.method = method
        self.single = float(given.get(SINGLE.name, SINGLE.default))
        self.method_options: dict[str, OptionValue] = {n: v for n, v in changed.items() if n not in _names(_COMMON)}
        self._own = {n: v for n, v in changed.items() if n in _names(_COMMON)}
        self.sources: tuple[Source, ...] = ()

    def bound(self, file: Path, costs: SpaceCosts, devices: Sequence[DeviceCosts] = ()) -> OneShotStrategy:
        """Return the strategy of a search.

        Args:
            file: What the training of this search writes.
            costs: Costs of the space by its table.
            devices: The devices of a search for several, each with a table of its own.
        """
        own, rungs = OneShotStrategy(self.method, {**self.method_options, **self._own}), self._rungs
        own.sources = tuple(Source(file, d.costs, rungs, d.device.name, d.alone) for d in devices)
        own.sources = own.sources or (Source(file, costs, rungs),)
        return own

    @property
    def counts_cost(self) -> str:
        """When the training counts the expected cost: ``"budget"``, ``"always"`` or ``"never"``."""
        return str(self._own.get(COST.name, COST.default))

    @property
    def _rungs(self) -> int:
        return int(self._own.get(RUNGS.name, RUNGS.default))

    def opening(self, problem: Problem, count: int, seed: int) -> IntArray:
        """Return the codes ``(count, d)`` that the first batch begins with; fewer where there are no more.

        Raises:
            EvaluatorError: The training's file is missing or damaged.
        """

        def admit(codes: IntArray) -> IntArray:
            """Select the admissible rows, each once."""
            first = list(dict.fromkeys(map(tuple, codes[problem.admissible(codes)].tolist())))
            return np.array(first, dtype=np.int64).reshape(len(first), problem.domain.dimension)

        return self._gathered(problem, count, admit, np.random.default_rng([seed, 1]))

    def propose(self, context: Any, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest up to `n` architectures.

        Args:
            context: The search's view of the study.
            n: Number of architectures wanted.
            rng: Random generator of the batch.

        Raises:
            EvaluatorError: The training's file is missing or damaged.
        """
        return Suggestion(self._gathered(context.problem, n, context.admit, rng))

    def _gathered(self, problem: Problem, count: int, admit: Admit, rng: np.random.Generator) -> IntArray:
        """Return up to `count` admitted rows ``(k, d)``, as many of each source as of the others, in turns."""
        if not self.sources:
            raise HwnasError(f"strategy {self.method} proposes what a search has trained; pass it to hwnas.search")
        start = int(rng.integers(len(self.sources))) if len(self.sources) > 1 else 0
        sources = [*self.sources[start:], *self.sources[:start]]
        streams = {number: source.suggestions(problem, rng) for number, source in enumerate(sources)}
        taken: dict[int, list[IntArray]] = {number: [] for number in streams}
        chosen = np.empty((0, problem.domain.dimension), dtype=np.int64)
        while streams and len(chosen) < count:
            share = -(-(count - len(chosen)) // len(streams))
            for number in list(streams):
                wanted = min(share, count - len(chosen))
                rows, left = _next_rows(streams[number], wanted, chosen, admit)
                chosen = np.concatenate([chosen, rows])
                taken[number] += list(rows)
                streams[number] = left
                if len(rows) < wanted:
                    del streams[number]  # it has no more
        turns = [row for rows in zip_longest(*taken.values()) for row in rows if row is not None]
        return np.array(turns, dtype=np.int64).reshape(len(turns), problem.domain.dimension)


def _next_rows(
    stream: Iterator[tuple[int, ...]], wanted: int, chosen: IntArray, admit: Admit
) -> tuple[IntArray, Iterator[tuple[int, ...]]]:
    """Return up to `wanted` rows that are admitted beside what is chosen already, and what follows them."""
    known = admitted = chosen
    while len(admitted) - len(known) < wanted:
        rows = list(islice(stream, max(_LEAST, wanted)))
        if not rows:
            break
        admitted = admit(np.concatenate([admitted, np.array(rows, dtype=np.int64)]))
    new = admitted[len(known) :]
    return new[:wanted], chain(map(tuple, new[wanted:].tolist()), stream)


def one_shot_options(method: str) -> tuple[StrategyOption, ...]:
    """Return the options of a one-shot method as a strategy."""
    return (*method_options(method), *_COMMON)


def _names(options: Sequence[StrategyOption]) -> list[str]:
    return [option.name for option in options]
