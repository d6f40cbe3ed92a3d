"""Expectations of many tables at once: tables of equal shape are contracted with the probabilities together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas.oneshot._distribution import Distribution

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Numbers that depend on a few choices.

    Attributes:
        choices: Indices of the choices.
        counts: How many values each of them has.
        values: ``(rows, forms)``; the forms in the order of the choices, the last one fastest.
    """

    choices: tuple[int, ...]
    counts: tuple[int, ...]
    values: FloatArray


@dataclass(frozen=True)
class _Group:
    """Tables of one shape: their numbers in the list, values ``(tables, rows, *counts)``, places of probabilities."""

    members: tuple[int, ...]
    values: Tensor
    places: tuple[Tensor, ...]


class Contraction:
    """Computes ``sum over forms of value * probability`` for each row of each table, differentiably.

    Args:
        tables: The tables.
        cardinalities: How many values each choice has.
    """

    def __init__(self, tables: Sequence[Table], cardinalities: Sequence[int]) -> None:
        starts = np.concatenate([[0], np.cumsum(cardinalities)])
        groups: dict[tuple[tuple[int, ...], int], list[int]] = {}
        for number, table in enumerate(tables):
            groups.setdefault((table.counts, len(table.values)), []).append(number)
        self._groups = [
            _Group(
                tuple(members),
                torch.from_numpy(np.stack([tables[m].values.reshape(rows, *counts) for m in members])),
                tuple(
                    torch.from_numpy(np.stack([starts[tables[m].choices[axis]] + np.arange(n) for m in members]))
                    for axis, n in enumerate(counts)
                ),
            )
            for (counts, rows), members in groups.items()
        ]
        self.entries = sum(math.prod(table.values.shape) for table in tables)

    def __call__(self, distribution: Distribution) -> list[Tensor]:
        """Return for each table the expectations of its rows, ``(rows,)`` in float64."""
        flat = torch.cat([vector.double().cpu() for vector in distribution])
        results: dict[int, Tensor] = {}
        for group in self._groups:
            x = group.values
            for places in reversed(group.places):  # the last axis first: (tables, ..., n) @ (tables, n, 1)
                count, n = places.shape
                x = torch.bmm(x.reshape(count, -1, n), flat[places].unsqueeze(-1))
            results.update(zip(group.members, x.reshape(len(group.members), -1), strict=True))
        return [results[number] for number in sorted(results)]
