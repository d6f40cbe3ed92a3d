"""Patterns that follow choices: channels that are there, taps of a kernel, as sums weighted by probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pattern:
    """A 0/1 vector for each combination of some choices.

    Attributes:
        columns: The choices that it depends on, ascending.
        allowed: The codes of each that are combined; probabilities are normalised over these.
        values: ``(codes of the first, ..., codes of the last, entries)`` in float32.
        key: Tells equal patterns.
    """

    columns: tuple[int, ...]
    allowed: tuple[tuple[int, ...], ...]
    values: Tensor
    key: tuple[object, ...]

    @classmethod
    def of(cls, columns: Sequence[int], allowed: Sequence[Sequence[int]], values: BoolArray) -> Pattern:
        """Return a pattern without the choices that make no difference to it."""
        kept, codes = list(columns), [tuple(own) for own in allowed]
        for column in columns:
            axis = kept.index(column)
            if (values == values.take([0], axis=axis)).all():
                values = np.asarray(values.take(0, axis=axis))
                del kept[axis], codes[axis]
        key = (tuple(kept), tuple(codes), values.shape, values.tobytes())
        return cls(tuple(kept), tuple(codes), torch.from_numpy(values.astype(np.float32)), key)

    @property
    def constant(self) -> bool:
        """Whether it depends on no choice."""
        return not self.columns


class Weights:
    """The probabilities of one forward pass, and the patterns that were weighed by them already.

    Args:
        distribution: Probabilities ``(values,)`` by column.
        cardinalities: How many values each choice has.
    """

    def __init__(self, distribution: Mapping[int, Tensor], cardinalities: Sequence[int]) -> None:
        self._distribution = distribution
        self._cardinalities = cardinalities
        self._weighed: dict[tuple[object, ...], Tensor] = {}

    def share(self, column: int, allowed: tuple[int, ...]) -> Tensor | None:
        """Return the probability ``()`` that a choice has one of some codes; None for all of them."""
        if len(allowed) == self._cardinalities[column]:
            return None
        return self._distribution[column][list(allowed)].sum()

    def expected(self, pattern: Pattern) -> Tensor:
        """Return a pattern's sum weighed by the probabilities of its choices, ``(entries,)``; one tensor for equals.

        Probabilities stay in their own number format, also where networks compute in bfloat16.
        """
        known = self._weighed.get(pattern.key)
        if known is None:
            first = next(iter(self._distribution.values()))
            with torch.autocast(first.device.type, enabled=False):
                known = self._sum(pattern, first)
            self._weighed[pattern.key] = known
        return known

    def _sum(self, pattern: Pattern, like: Tensor) -> Tensor:
        known = pattern.values.to(like)
        for column, allowed in zip(pattern.columns, pattern.allowed, strict=True):
            own = self._distribution[column]
            if len(allowed) < self._cardinalities[column]:
                own = own[list(allowed)]
                own = own / own.sum()
            known = torch.tensordot(own, known, dims=1)
        return known
