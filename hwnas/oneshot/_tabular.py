"""Learning with known values in place of training: the exact expectation of a table of all architectures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from hwnas._errors import SpaceError
from hwnas.oneshot._contraction import Contraction, Table
from hwnas.oneshot._distribution import Distribution, require_shapes
from hwnas.oneshot._method import OneShotMethod
from hwnas.spaces import Architecture, Space

_MOST = 10_000_000


class TabularExpectation:
    """The expectation of a value under a distribution, exact and differentiable: a sum over all architectures.

    The table has one axis for each choice, and is contracted with one vector of probabilities after the other: a few
    tenths of a millisecond for the 15,625 cells of NAS-Bench-201.

    Args:
        space: The space.
        values: Value of every architecture, ``(*cardinalities)`` or flat in that order.

    Attributes:
        space: The space.
        values: The values, ``(*cardinalities)``.

    Raises:
        SpaceError: There are more or fewer values than architectures.
    """

    def __init__(self, space: Space, values: npt.ArrayLike) -> None:
        self.space = space
        counts = tuple(space.cardinalities)
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
        if len(flat) != math.prod(counts):
            raise SpaceError(f"space {space.name}: {math.prod(counts)} values are needed, got {len(flat)}")
        self.values = flat.reshape(counts)
        self._contraction = Contraction([Table(tuple(range(len(counts))), counts, flat[None])], counts)

    @classmethod
    def of_rows(cls, space: Space, archs: Sequence[str], values: npt.ArrayLike) -> TabularExpectation:
        """Take the rows of a published table that holds every architecture.

        Args:
            space: The space.
            archs: The architectures, as `Space.format` writes them.
            values: Their values, ``(n,)``.

        Raises:
            SpaceError: The space is too large, an architecture is missing, or one is not of the space.
        """
        count = math.prod(space.cardinalities)
        if count > _MOST:
            raise SpaceError(f"space {space.name} has too many architectures ({count:.3g}) for a table of all of them")
        codes = np.array([space.encode(space.parse(text)) for text in archs])
        table = np.full(tuple(space.cardinalities), np.nan)
        table[tuple(codes.T)] = values
        missing = int(np.isnan(table).sum())
        if missing:
            raise SpaceError(
                f"space {space.name}: a value is needed for every architecture, {missing} of {count} have none"
            )
        return cls(space, table)

    def __call__(self, distribution: Distribution) -> Tensor:
        """Return the expectation as a scalar, with gradients.

        Raises:
            SpaceError: The vectors do not belong to the choices.
        """
        require_shapes(self.space, distribution)
        return self._contraction(distribution)[0].squeeze(0)

    def at(self, codes: Sequence[int]) -> float:
        """Return the value of one architecture by its codes."""
        return float(self.values[tuple(codes)])


def learn_tabular(
    method: OneShotMethod,
    metric: TabularExpectation,
    *,
    steps: int,
    rng: np.random.Generator,
    cost: Callable[[Distribution], Tensor] | None = None,
    budget: float = 1.0,
) -> list[Tensor]:
    """Let a method learn with a known metric in place of training, and return its distribution.

    The loss is one minus the expected metric under what the method draws; where a method judges drawn architectures,
    their metric is looked up.

    Args:
        method: The method, from its present state on.
        metric: The metric as a share of 1, higher is better.
        steps: Steps of the distribution in each epoch in which it learns.
        rng: Random generator.
        cost: Expected cost of a distribution, such as an `ExpectedCost`; None where costs do not count.
        budget: What the cost is a share of.
    """
    total = method.epochs * steps
    method.expect_steps(steps * sum(method.learns(epoch) for epoch in range(method.epochs)))
    for epoch in range(method.epochs):
        method.begin_epoch(epoch, rng)
        for step in range(steps if method.learns(epoch) else 0):
            loss = 1.0 - metric(method.draw(rng))
            share = None if cost is None else cost(method.priced()) / budget
            method.step(loss, share, (epoch * steps + step) / total)
        judged = method.judged()
        method.end_epoch(epoch, None if judged is None else _value(metric, judged), rng)
    return method.distribution()


def _value(metric: TabularExpectation, arch: Architecture) -> float:
    return metric.at(metric.space.encode(arch).tolist())
