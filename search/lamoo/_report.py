"""What a tree looks like, as plain dataclasses."""

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
        side: Whether it is its parent's good child.
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
        pool: Number of candidates the sampler chose from.
        sampler: Name of the inner sampler.
    """

    nodes: tuple[NodeSummary, ...]
    leaf: int
    sampled: int
    pool: int
    sampler: str


@dataclass(frozen=True)
class Partition:
    """The tree over all samples of a study, and where each of them lies.

    Attributes:
        summary: The tree.
        trials: Numbers of the successful trials (n,).
        leaves: For each of them the number of its leaf (n,).
    """

    summary: TreeSummary
    trials: IntArray
    leaves: IntArray


def summarise(root: Node, leaf: Node, region: Region, regions: Regions, sampler: str) -> TreeSummary:
    """Describes the tree and what was chosen in it."""
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
