"""LaMOO: learn a partition of the space, choose a region of it, and sample inside that region."""

from __future__ import annotations

import numpy as np

from search._context import Context
from search.lamoo._region import Region, Regions
from search.lamoo._report import Partition, TreeSummary, summarise
from search.lamoo._samplers import Sampler
from search.lamoo._split import Scaler
from search.lamoo._tree import Node, TreeSettings, build_tree, select
from search.strategies._base import Suggestion

__all__ = ["LaMOO"]


class LaMOO:
    """Multi-objective search by learning space partitions (arXiv 2110.03173, 2406.00291).

    Each batch grows the tree anew over all samples, selects a leaf by UCB on hypervolume, and lets an
    inner sampler choose candidates inside the conjunction of the decisions on the leaf's path.

    Args:
        sampler: The inner sampler.
        settings: How the tree is grown and searched.
        name: Name of the strategy.
    """

    def __init__(self, sampler: Sampler, settings: TreeSettings | None = None, name: str = "lamoo") -> None:
        self.name = name
        self.sampler = sampler
        self.settings = settings or TreeSettings()

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Samples the selected region; the report is a `TreeSummary`."""
        summary, region, _ = self._grow(context, n, rng)
        return Suggestion(self.sampler.sample(region, context, n, rng), summary)

    def partition(self, context: Context) -> Partition:
        """The tree as the next batch would find it, with every sample's place in it."""
        summary, _, root = self._grow(context, 1, np.random.default_rng(0))
        leaves = np.zeros(len(context.codes), dtype=np.int64)
        for node in root.walk():
            if not node.children:
                leaves[node.members] = node.identity
        return Partition(summary, np.array([trial.number for trial in context.successful], dtype=np.int64), leaves)

    def _grow(self, context: Context, n: int, rng: np.random.Generator) -> tuple[TreeSummary, Region, Node]:
        """The tree, its selected region and its root."""
        scaler = self._scaler(context)
        root = build_tree(context, self.settings, scaler)
        leaf = select(root, self.settings.selection)
        regions = Regions(context, scaler, rng)
        region = regions.narrow(leaf, n)
        return summarise(root, leaf, region, regions, self.sampler.name), region, root

    @staticmethod
    def _scaler(context: Context) -> Scaler:
        if context.problem.domain.features is None:
            return Scaler.identity(context.encodings.shape[1])
        return Scaler.fit(context.encodings)
