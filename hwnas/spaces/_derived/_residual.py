"""Residual blocks that can be left out: those whose input is added to their result as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from latency_tables import INPUT, Node, OpGraph

_KEEP_RANGE = ("pool", "global_pool", "upsample", "concat", "slice")
_SAME_RANGE = {"relu": ("relu", "relu6", "sigmoid", "hsigmoid"), "relu6": ("relu6", "sigmoid", "hsigmoid")}
"""Activations behind which another one changes nothing, by that other one."""


@dataclass(frozen=True)
class Residual:
    """A residual block.

    Attributes:
        end: The node that adds the block's input; without the block its tensor is what `otherwise` says.
        skip: The tensor that the block reads and that is added.
        nodes: Every node of the block, its end among them, in the order of the network.
        act: The activation behind the sum that is still needed without the block; ``none`` where it changes nothing.
    """

    end: str
    skip: str
    nodes: tuple[str, ...]
    act: str


def residual_blocks(graph: OpGraph) -> tuple[Residual, ...]:
    """Find the blocks of a prepared network that can be left out, in the order of their ends."""
    blocks = []
    by_name = {node.name: node for node in graph.nodes}
    readers = {name: [node.name for node in nodes] for name, nodes in graph.consumers().items()}
    for node in graph.nodes:
        for branch, skip in _operands(node):
            inner = _between(branch, skip, by_name)
            if inner is None or (node.op.kind == "add" and not inner):
                continue
            closed = {*inner, node.name}
            if all(name not in graph.outputs and set(readers[name]) <= closed for name in inner):
                nodes = tuple(other.name for other in graph.nodes if other.name in closed)
                blocks.append(Residual(node.name, skip, nodes, _needed_activation(node, skip, by_name)))
                break
    return tuple(blocks)


def stages(blocks: tuple[Residual, ...]) -> list[list[Residual]]:
    """Join blocks of which each reads what the one before it wrote."""
    chains: list[list[Residual]] = []
    ends: dict[str, list[Residual]] = {}
    for block in blocks:
        chain = ends.pop(block.skip, None)
        if chain is None:
            chain = []
            chains.append(chain)
        chain.append(block)
        ends[block.end] = chain
    return chains


def _operands(node: Node) -> list[tuple[str, str]]:
    """Return what a node can add up: the branch and the shortcut."""
    if node.op.kind == "conv" and node.op.integer("add", 0):
        return [(node.inputs[0], node.inputs[1])]
    if node.op.kind == "add":
        return [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])]
    return []


def _between(branch: str, skip: str, by_name: Mapping[str, Node]) -> set[str] | None:
    """Return the nodes that compute a branch from the shortcut alone; None where it reads something else too."""
    inner: set[str] = set()
    left = [branch]
    while left:
        name = left.pop()
        if name == skip or name in inner:
            continue
        if name == INPUT:
            return None
        inner.add(name)
        left += by_name[name].inputs
    return inner


def _needed_activation(node: Node, skip: str, by_name: Mapping[str, Node]) -> str:
    act = node.op.word("act") if node.op.kind == "conv" else "none"
    return "none" if _within(skip, _SAME_RANGE.get(act, ()), by_name) else act


def _within(name: str, acts: tuple[str, ...], by_name: Mapping[str, Node]) -> bool:
    """Return whether all values of a tensor come from these activations, so that another one changes nothing."""
    left = [name]
    while left:
        node = by_name.get(left.pop())
        if node is None:
            return False
        act = dict(node.op.attributes).get("function" if node.op.kind == "activation" else "act", "none")
        if act not in acts:
            if node.op.kind not in _KEEP_RANGE:
                return False
            left += node.inputs
    return True
