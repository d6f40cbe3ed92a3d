"""The partition tree: recursive splits of the samples, valued by hypervolume, searched by UCB."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from search._arrays import FloatArray, IntArray
from search._context import Context
from search._pareto import hypervolume
from search.lamoo._split import Kernel, Scaler, Split, fit_split, label_good

__all__ = ["SELECTIONS", "Node", "TreeSettings", "build_tree", "select", "ucb"]

Selection = Literal["path", "leaf"]
SELECTIONS: tuple[str, ...] = get_args(Selection)


@dataclass(frozen=True)
class TreeSettings:
    """How the tree is grown and searched.

    Attributes:
        exploration: Cp of the UCB, as a share of the hypervolume of all samples.
        min_split: A region with at least this many samples may be split.
        max_depth: Depth at which splitting ends; the root has depth 0.
        kernel: Kernel of the support vector machines.
        penalty: C of the support vector machines.
        selection: ``"path"`` follows the larger UCB from the root down, ``"leaf"`` takes the leaf with the
            largest UCB.
    """

    exploration: float = 0.03
    min_split: int = 11
    max_depth: int = 20
    kernel: Kernel = "rbf"
    penalty: float = 10.0
    selection: Selection = "path"


@dataclass
class Node:
    """A region of the domain, with its samples.

    Attributes:
        identity: Number of the node, in depth-first order with good children first.
        depth: Number of splits above it.
        members: Indices ``(k,)`` of its samples among the context's successful trials.
        value: Hypervolume of these samples.
        ucb: Upper confidence bound; the value alone at the root.
        parent: The node above it, `None` for the root.
        side: Whether it is the good child of its parent.
        split: The split into its children, `None` for a leaf.
        children: The good and the bad child, or nothing.
    """

    identity: int
    depth: int
    members: IntArray
    value: float
    ucb: float
    parent: Node | None = None
    side: bool = True
    split: Split | None = None
    children: tuple[Node, ...] = ()

    @property
    def path(self) -> list[Node]:
        """The nodes from the root down to this one."""
        return [*(self.parent.path if self.parent else []), self]

    def walk(self) -> list[Node]:
        """List this node and all below it, depth first."""
        return [self, *(node for child in self.children for node in child.walk())]


def ucb(value: float, constant: float, n_parent: int, n_child: int) -> float:
    """Compute the upper confidence bound v + 2 Cp sqrt(2 ln(n_parent) / n_child) (arXiv 2110.03173, section 3.2).

    Args:
        value: Hypervolume of the child's samples, v.
        constant: Cp, in units of hypervolume.
        n_parent: Samples of the parent, at least 1.
        n_child: Samples of the child, at least 1.
    """
    return value + 2.0 * constant * math.sqrt(2.0 * math.log(n_parent) / n_child)


@dataclass
class _Grower:
    """Grows the tree depth first; `scaled` are the scaled encodings ``(n, f)`` of all samples, `count` its nodes."""

    context: Context
    settings: TreeSettings
    scaled: FloatArray
    count: int = field(default=0)

    def grow(self, members: IntArray, depth: int, parent: Node | None, side: bool) -> Node:
        """Make the node of the samples with the indices `members` ``(k,)``, and all nodes below it."""
        context = self.context
        value = hypervolume(context.points[members], context.reference)
        bound = value
        if parent is not None:
            constant = self.settings.exploration * context.hypervolume
            bound = ucb(value, constant, len(parent.members), len(members))
        node = Node(self.count, depth, members, value, bound, parent, side)
        self.count += 1
        if len(members) >= self.settings.min_split and depth < self.settings.max_depth:
            self._divide(node)
        return node

    def _divide(self, node: Node) -> None:
        """Give the node children when the machine separates its samples into two non-empty sets."""
        scaled = self.scaled[node.members]
        good = label_good(self.context.points[node.members])
        split = fit_split(scaled, good, self.settings.kernel, self.settings.penalty)
        if split is None:
            return
        decided = split.good(scaled)
        if decided.all() or not decided.any():
            return
        node.split = split
        first = self.grow(node.members[decided], node.depth + 1, node, True)
        second = self.grow(node.members[~decided], node.depth + 1, node, False)
        node.children = (first, second)


def build_tree(context: Context, settings: TreeSettings, scaler: Scaler) -> Node:
    """Grow the tree over all successful trials.

    A sample belongs to the child on whose side of the decision function it lies, as any candidate does,
    whatever its label is.

    Args:
        context: The study's view.
        settings: How the tree is grown.
        scaler: Scales the encodings.

    Returns:
        The root.
    """
    grower = _Grower(context, settings, scaler(context.encodings))
    return grower.grow(np.arange(len(context.codes)), 0, None, True)


def select(root: Node, selection: Selection) -> Node:
    """Select the leaf to sample from; ties go to the good side.

    Args:
        root: Root of the tree.
        selection: See `TreeSettings`.
    """
    if selection == "leaf":
        leaves = [node for node in root.walk() if not node.children]
        return max(leaves, key=lambda node: node.ucb)
    node = root
    while node.children:
        node = max(node.children, key=lambda child: child.ucb)
    return node
