"""Summaries of a partition tree, as plain dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from search._arrays import IntArray
from search.lamoo._region import Region, Regions
from search.lamoo._tree import Node

__all__ = ["NodeSummary", "Partition", "TreeSummary", "summarise"]


@dataclass(frozen=True)
class NodeSummary:
    """One region of the partition.

    Attributes:
        identity: Number of the node; the root is 0.
        parent: Number of its parent; `None` for the root.
        depth: Number of splits above it.
        side: Whether it is the good child of its parent.
        size: Number of samples in it.
        hypervolume: Hypervolume of these samples, normalised.
        ucb: Its upper confidence bound.
        svm_accuracy: Training accuracy of its own split; `None` for a leaf.
        selected: Whether it lies on the path to the selected leaf.
        acceptance: Share of the untried (or, in large domains, of uniformly random) candidates inside
            it; `None` away from the selected path.
    """

    identity: int
    parent: int | None
    depth: int
    side: bool
    size: int
    hypervolume: float
    ucb: float
    svm_accuracy: float | None
    selected: bool
    acceptance: float | None


@dataclass(frozen=True)
class TreeSummary:
    """The tree behind one batch.

    Attributes:
        nodes: Every node, depth first.
        leaf: Number of the selected leaf.
        sampled: Number of the node that was sampled: the leaf, or the ancestor backed off to because too
            few candidates were left.
        pool: Number of candidates that the sampler chose from.
        sampler: Name of the leaf sampler.
    """

    nodes: tuple[NodeSummary, ...]
    leaf: int
    sampled: int
    pool: int
    sampler: str


@dataclass(frozen=True)
class Partition:
    """The tree over all samples of a study, and the leaf of each of them.

    Attributes:
        summary: The tree.
        trials: Numbers of the successful trials ``(n,)``.
        leaves: Number of the leaf of each of these trials ``(n,)``.
    """

    summary: TreeSummary
    trials: IntArray
    leaves: IntArray


def summarise(root: Node, leaf: Node, region: Region, regions: Regions, sampler: str) -> TreeSummary:
    """Summarise a tree and the choice of a region in it.

    Args:
        root: Root of the tree.
        leaf: The selected leaf.
        region: The region that is sampled.
        regions: Gives the acceptance rates.
        sampler: Name of the leaf sampler.
    """
    path = {node.identity for node in leaf.path}
    nodes = tuple(
        NodeSummary(
            identity=node.identity,
            parent=None if node.parent is None else node.parent.identity,
            depth=node.depth,
            side=node.side,
            size=len(node.members),
            hypervolume=node.value,
            ucb=node.ucb,
            svm_accuracy=None if node.split is None else node.split.accuracy,
            selected=node.identity in path,
            acceptance=regions.rates.get(node.identity),
        )
        for node in root.walk()
    )
    return TreeSummary(nodes, leaf.identity, region.node.identity, len(region.pool), sampler)
