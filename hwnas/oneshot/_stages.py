"""The terms of a space as stages of a dynamic programme: what each adds, and what the rest of a network needs at least.

Between two stages only some choices matter still: those that were decided and that a later stage reads (`live`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas._costs._form_costs import FormCosts

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Combine = Callable[[FloatArray, FloatArray], FloatArray]
Reduce = Callable[..., FloatArray]


@dataclass(frozen=True)
class Stage:
    """One term.

    Attributes:
        forms: What its forms cost.
        entering: Live choices before it, ascending.
        leaving: Live choices behind it, ascending.
        new: Its choices that no stage before it reads, ascending.
    """

    forms: FormCosts
    entering: tuple[int, ...]
    leaving: tuple[int, ...]
    new: tuple[int, ...]


def stages_of(forms: Sequence[FormCosts]) -> list[Stage]:
    """Return the terms of a space, in its order, as stages."""
    scopes = [set(own.choices) for own in forms]
    stages, known = list[Stage](), set[int]()
    for number, own in enumerate(forms):
        later: set[int] = set().union(*scopes[number + 1 :])
        entering = tuple(sorted(known & (scopes[number] | later)))
        new = tuple(sorted(scopes[number] - known))
        known |= scopes[number]
        stages.append(Stage(own, entering, tuple(sorted(known & later)), new))
    return stages


class Chain:
    """Stages with the cardinalities of all choices; computes bounds on what is left from any stage on.

    Args:
        stages: The stages.
        cardinalities: How many values each choice of the space has.
    """

    def __init__(self, stages: Sequence[Stage], cardinalities: Sequence[int]) -> None:
        self.stages = stages
        self.cardinalities = tuple(cardinalities)

    def completions(
        self, values: Sequence[FloatArray], combine: Combine, reduce: Reduce, last: float
    ) -> list[FloatArray]:
        """Return the best that stages can add from each on, for every value of the choices that enter it.

        Args:
            values: What each form of each stage adds, ``(rows, forms)``.
            combine: Joins what a form adds with what later stages add: `numpy.add` or `numpy.maximum`.
            reduce: Chooses among forms: `numpy.min` or `numpy.max`.
            last: What is left behind the last stage.

        Returns:
            An array ``(rows, values of entering choices)`` for each stage, and one ``(rows, 1)`` for the end.
        """
        results = [np.full((len(values[0]), 1), last)]
        for stage, own in zip(reversed(self.stages), reversed(values), strict=True):
            union = tuple(sorted({*stage.entering, *stage.forms.choices}))
            order = np.argsort(stage.forms.choices)
            added = own.reshape(len(own), *stage.forms.counts).transpose(0, *(1 + order))
            scope = tuple(sorted(stage.forms.choices))
            joined = combine(self._on(added, scope, union), self._on(results[-1], stage.leaving, union))
            decided = tuple(1 + axis for axis, choice in enumerate(union) if choice not in stage.entering)
            best = reduce(joined, axis=decided) if decided else joined
            counts = self.counts(stage.entering)
            results.append(np.broadcast_to(best, (len(own), *counts)).reshape(len(own), math.prod(counts)))
        return results[::-1]

    def counts(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return how many values some choices have."""
        return tuple(self.cardinalities[choice] for choice in choices)

    def index(self, codes: npt.NDArray[np.int16], choices: Sequence[int]) -> IntArray:
        """Return the place of each row of codes ``(n, d)`` among all combinations of some choices, ``(n,)``."""
        index = np.zeros(len(codes), dtype=np.int64)
        for choice in choices:
            index = index * self.cardinalities[choice] + codes[:, choice]
        return index

    def grouped(self, stage: Stage) -> IntArray:
        """Return the forms of a stage by what its known choices are, ``(combinations of these, forms of each)``."""
        codes = np.indices(stage.forms.counts).reshape(len(stage.forms.counts), math.prod(stage.forms.counts))
        column = {choice: codes[axis] for axis, choice in enumerate(stage.forms.choices)}
        key = np.zeros(math.prod(stage.forms.counts), dtype=np.int64)
        for choice in self.known(stage):
            key = key * self.cardinalities[choice] + column[choice]
        return np.argsort(key, kind="stable").reshape(math.prod(self.counts(self.known(stage))), -1)

    def known(self, stage: Stage) -> tuple[int, ...]:
        """Return the choices of a stage that stages before it decided."""
        return tuple(sorted(set(stage.forms.choices) - set(stage.new)))

    def _on(self, values: FloatArray, own: Sequence[int], union: Sequence[int]) -> FloatArray:
        """Return values of some choices ``(rows, ...)`` with an axis for each choice of a larger set."""
        shape = [self.cardinalities[choice] if choice in own else 1 for choice in union]
        return values.reshape(len(values), *shape)
