"""The region of a tree node: which candidates lie in it, and how to draw some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray, unique_rows
from search._context import Context
from search.lamoo._split import Scaler
from search.lamoo._tree import Node

__all__ = ["Region", "Regions"]

_PROBE = 1024
_POOL = 1024
_MUTATION_ROUNDS = 12


@dataclass(frozen=True)
class Region:
    """The candidates that satisfy all decisions on the path to a node.

    Attributes:
        node: The node.
        scaler: Scales encodings as for the node's splits.
        context: The study's view.
        pool: Untried candidates inside the region ``(p, d)``: all of them for an enumerable domain, a
            sample for a large one.
        rows: Their indices ``(p,)`` into `context.candidates.codes`; `None` for a large domain.
        uniform: Number of leading rows of the pool that are uniformly random members of the region.
    """

    node: Node
    scaler: Scaler
    context: Context
    pool: IntArray
    rows: IntArray | None
    uniform: int

    def contains(self, codes: IntArray) -> BoolArray:
        """Mark the canonical rows ``(n, d)`` in the region ``(n,)``."""
        return inside(self.node, self.scaler(self.context.problem.domain.encode(codes)))


def inside(node: Node, scaled: FloatArray) -> BoolArray:
    """Find the scaled encodings that satisfy every decision on the path to a node.

    Args:
        node: The node.
        scaled: Scaled encodings ``(n, f)``.

    Returns:
        Which of them ``(n,)`` do.
    """
    within = np.ones(len(scaled), dtype=bool)
    for step in node.path[1:]:
        if step.parent is not None and step.parent.split is not None and within.any():
            alive = np.flatnonzero(within)
            within[alive] = step.parent.split.good(scaled[alive]) == step.side
    return within


class Regions:
    """Draws the pools of a batch, and records the share of the domain that each region accepts.

    Args:
        context: The study's view.
        scaler: Scales the encodings.
        rng: Random generator of the batch.
    """

    def __init__(self, context: Context, scaler: Scaler, rng: np.random.Generator) -> None:
        self.context, self.scaler, self.rng = context, scaler, rng
        self.rates: dict[int, float] = {}
        """Acceptance rate by node identity: share of the untried candidates (enumerable domains) or of
        uniformly random ones (large domains) that lie in the node's region; estimated for the nodes of
        the selected path and their siblings."""
        self._rows = context.unseen
        if self._rows is not None and context.candidates.codes is not None:
            self._probe = context.candidates.codes[self._rows]
            self._scaled = scaler(context.candidates.encodings[self._rows])
        else:
            self._probe = context.random(_PROBE, rng)
            self._scaled = scaler(context.problem.domain.encode(self._probe))

    def narrow(self, leaf: Node, n: int) -> Region:
        """Find the region of a leaf, or of its nearest ancestor with enough candidates.

        Args:
            leaf: The leaf.
            n: Least number of candidates.
        """
        path = leaf.path
        alive = [np.arange(len(self._probe))]
        self.rates[path[0].identity] = 1.0
        for step in path[1:]:
            assert step.parent is not None
            assert step.parent.split is not None
            good = step.parent.split.good(self._scaled[alive[-1]])
            for child in step.parent.children:
                self.rates[child.identity] = float((good == child.side).sum()) / max(1, len(self._probe))
            alive.append(alive[-1][good == step.side])
        for node, rows in zip(reversed(path), reversed(alive), strict=True):
            region = self._region(node, rows)
            if len(region.pool) >= n or node is path[0]:
                return region
        raise AssertionError("the root is always returned")

    def _region(self, node: Node, rows: IntArray) -> Region:
        """Make the region of a node whose members among the probed candidates have the indices `rows`."""
        pool = self._probe[rows]
        if self._rows is not None:
            return Region(node, self.scaler, self.context, pool, self._rows[rows], len(pool))
        full = self._mutate(node, pool)
        return Region(node, self.scaler, self.context, full, None, len(pool))

    def _mutate(self, node: Node, pool: IntArray) -> IntArray:
        """Fill a pool up with mutations of the region's samples and of the pool."""
        context, domain = self.context, self.context.problem.domain
        samples = context.codes[node.members]
        parents = samples if len(samples) else pool
        for attempt in range(_MUTATION_ROUNDS):
            if len(pool) >= _POOL or len(parents) == 0:
                break
            chosen = parents[self.rng.integers(len(parents), size=_POOL)]
            fresh = context.admit(domain.mutate(chosen, self.rng, changes=1 + attempt % 3))
            if len(fresh):
                fresh = fresh[inside(node, self.scaler(domain.encode(fresh)))]
            pool = unique_rows(np.concatenate([pool, fresh]))
            parents = np.concatenate([samples, pool])
        return pool[:_POOL]
