"""A choice graph as a chain of blocks: where one tensor alone passes, costs can be added up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hwnas.spaces._base import MOST_NETWORKS
from hwnas.spaces._choice_graph import ChoiceGraph, ChoiceNode
from hwnas.spaces._merging import Merging
from hwnas.spaces._shape_tables import ShapeTables
from latency_tables import INPUT, Op

MOST_LOWERED = 2_000_000
"""Nodes that are lowered to list the ops of a block form by form."""


@dataclass(frozen=True)
class Block:
    """Successive nodes between two tensors; nothing else passes at either.

    Attributes:
        name: That of its first node.
        start: The tensor that the nodes read.
        end: The tensor that leaves them.
        nodes: In the order of their statement.
        columns: Choices that decide what the block looks like, ascending.
    """

    name: str
    start: str
    end: str
    nodes: tuple[ChoiceNode, ...]
    columns: tuple[int, ...]


def blocks_of(graph: ChoiceGraph, tables: ShapeTables) -> tuple[Block, ...]:
    """Return the blocks of a choice graph from input to output.

    A cut is made where one tensor alone passes, and where no runtime merges an op before it with one behind it.
    Neighbours that depend on the same choices, and parts that depend on none, are one block.
    """
    merging = Merging(graph, tables)
    last_read = {name: place for place, node in enumerate(graph) for name in node.inputs}
    last_read[graph.output] = len(graph.nodes)
    blocks: list[Block] = []
    open_tensors, nodes, start = {INPUT}, list[ChoiceNode](), INPUT
    for place, node in enumerate(graph):
        nodes.append(node)
        open_tensors.add(node.name)
        open_tensors = {name for name in open_tensors if last_read.get(name, -1) > place}
        if len(open_tensors) == 1:
            (end,) = open_tensors
            if end != start and (end == graph.output or not merging.can_merge(end)):
                blocks.append(_block(start, end, nodes, tables))
                nodes, start = [], end
                if end == graph.output:
                    break
    joined: list[Block] = []
    for block in blocks:
        if joined and _as_one(joined[-1], block):
            block = _join(joined.pop(), block)
        joined.append(block)
    return tuple(joined) if len(joined) > 1 else (replace(joined[0], name="network"),)


def ops_of(block: Block, graph: ChoiceGraph, tables: ShapeTables) -> Iterator[Op]:
    """Yield every op of every form of a block, as a runtime executes it (with repeats).

    A block in which nothing can be merged is listed node by node. One in which ops can be merged is listed form by
    form, if these are few; beyond that come each node's ops and what they can be merged to, a few more than there are.
    """
    merging = Merging(graph, tables)
    if not any(merging.can_merge(node.name) for node in block.nodes):
        for node in block.nodes:
            yield from merging.stated(node.name)
    elif (forms := tables.count(block.columns)) <= MOST_NETWORKS and forms * len(block.nodes) <= MOST_LOWERED:
        for row, _ in tables.codes(block.columns, f"block {block.name}"):
            shape = tables.shapes[block.start].at(row)
            if shape is not None:
                part = tables.lowering.part(block.nodes, row, block.start, shape, block.end)
                yield from part.op_counts if part is not None else ()
    else:
        for node in block.nodes:
            yield from merging.stated(node.name)
            yield from merging.merged(node.name)


def _block(start: str, end: str, nodes: list[ChoiceNode], tables: ShapeTables) -> Block:
    columns = set(tables.shapes[start].columns)
    for node in nodes:
        columns |= {column for form in node.forms if form is not None for column in form.columns}
        columns |= {node.guard} if node.guard is not None else set()
    return Block(nodes[0].name, start, end, tuple(nodes), tuple(sorted(columns)))


def _as_one(a: Block, b: Block) -> bool:
    return a.columns == b.columns or not a.columns or not b.columns


def _join(a: Block, b: Block) -> Block:
    return Block(a.name, a.start, b.end, a.nodes + b.nodes, a.columns or b.columns)
