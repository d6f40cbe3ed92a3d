"""A choice graph as a chain of blocks: where one tensor alone passes, costs can be added up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from hwnas._errors import SpaceError
from hwnas.spaces._base import MOST_NETWORKS
from hwnas.spaces._choice_graph import ChoiceGraph, ChoiceNode
from hwnas.spaces._merging import Merging
from hwnas.spaces._relevance import may_be_absent
from hwnas.spaces._shape_tables import ShapeTables
from latency_tables import INPUT, Op, OpGraph

Tensors = tuple[str, ...]
"""Names of tensors, in the order of their statement."""
MOST_LOWERED = 2_000_000
"""Nodes that are lowered to list the ops of a block form by form."""


@dataclass(frozen=True)
class Block:
    """Successive nodes between tensors; nothing else passes at either end.

    A block that is one of several of `divided` lies between several tensors: some of them pass it by.

    Attributes:
        name: That of its first node.
        starts: The tensors that the nodes read or that pass by; one, unless the block is of `divided`, or several pass
            a stated cut (`ChoiceGraph.cut`).
        ends: The tensors that leave them or have passed by.
        nodes: In the order of their statement.
        columns: Choices that decide what the block looks like, ascending.
    """

    name: str
    starts: tuple[str, ...]
    ends: tuple[str, ...]
    nodes: tuple[ChoiceNode, ...]
    columns: tuple[int, ...]

    def part(self, tables: ShapeTables, codes: Sequence[int]) -> OpGraph | None:
        """Build the block of a network with these codes ``(d,)``; None where it computes nothing or is not there."""
        starts = {start: tables.shapes[start].at(codes) for start in self.starts}
        shapes = {start: shape for start, shape in starts.items() if shape is not None}
        return tables.lowering.part(self.nodes, codes, shapes, self.ends) if len(shapes) == len(starts) else None


def blocks_of(merging: Merging) -> tuple[Block, ...]:
    """Return the blocks of a choice graph from input to output.

    A cut is made where one tensor alone passes, and where no runtime merges an op before it with one behind it; and
    where the graph states one. Neighbours that depend on the same choices, and parts that depend on none, are one
    block.

    Raises:
        SpaceError: A stated cut is where an op before it can be merged with one behind it.
    """
    graph = merging.graph

    def is_cut(count: int, starts: Tensors, passing: Tensors) -> bool:
        """Return whether a block may end behind so many nodes."""
        if len(passing) == 1:
            return passing != starts and not merging.can_merge(passing[0])
        if count in graph.cuts:
            _require_apart(passing, merging)
        return count in graph.cuts

    blocks = _split(tuple(graph), (INPUT,), (graph.output,), merging.tables, is_cut)
    return blocks if len(blocks) > 1 else (replace(blocks[0], name="network"),)


def priced_blocks(merging: Merging) -> tuple[Block, ...]:
    """Return the blocks that have prices of their own: those of `blocks_of`, and the parts of those with many forms.

    Where the graph states cuts, its blocks are as it says.
    """
    blocks: list[Block] = []
    for block in blocks_of(merging):
        whole = bool(merging.graph.cuts) or merging.tables.count(block.columns) <= MOST_NETWORKS
        blocks += [block] if whole else divided(block, merging)
    return tuple(blocks)


def divided(block: Block, merging: Merging) -> tuple[Block, ...]:
    """Return the parts of a block between which several tensors pass, such as the skip connections of a U-Net.

    Costs of the parts add up as those of blocks do: the tensors that pass a part by are its inputs and outputs, too, so
    that its peak memory holds them. A cut is made where no runtime merges an op before it with one behind it, and where
    every network needs every tensor that passes.
    """
    needed = _needed(merging.graph)

    def is_cut(count: int, starts: Tensors, passing: Tensors) -> bool:
        """Return whether a part may end where some tensors pass."""
        return all(name in needed and not merging.can_merge(name) for name in passing)

    return _split(block.nodes, block.starts, block.ends, merging.tables, is_cut)


def _split(
    nodes: Sequence[ChoiceNode],
    starts: Tensors,
    ends: Tensors,
    tables: ShapeTables,
    is_cut: Callable[[int, Tensors, Tensors], bool],
) -> tuple[Block, ...]:
    """Return some nodes as successive blocks, of which neighbours depend on different choices.

    Args:
        nodes: In the order of their statement.
        starts: The tensors that enter.
        ends: The tensors that leave.
        tables: Shapes and ops of the graph.
        is_cut: Takes a number of nodes, the tensors that enter a block and those that pass behind so many nodes;
            returns whether the block ends there.
    """
    last_read = {name: place for place, node in enumerate(nodes) for name in node.inputs}
    last_read |= dict.fromkeys(ends, len(nodes))
    blocks: list[Block] = []
    passing, own = starts, list[ChoiceNode]()
    for place, node in enumerate(nodes):
        own.append(node)
        passing = tuple(name for name in (*passing, node.name) if last_read.get(name, -1) > place)
        if passing and (passing == ends or is_cut(place + 1, starts, passing)):
            blocks.append(_block(starts, passing, own, tables))
            starts, own = passing, []
            if passing == ends:
                break
    return tuple(_joined(blocks))


def _needed(graph: ChoiceGraph) -> frozenset[str]:
    """Return the tensors that every network needs: those on all ways to compute the output."""
    absent = may_be_absent(graph)
    on_all_ways: dict[str, frozenset[str]] = {INPUT: frozenset((INPUT,))}
    for node in graph:
        if node.parts is not None:
            ways = [[part for part in node.parts if part not in absent]]
        else:
            ways = [list(form.inputs) for form in node.forms if form is not None]
        each = [frozenset[str]().union(*(on_all_ways[name] for name in way)) for way in ways]
        on_all_ways[node.name] = frozenset.intersection(*each) | {node.name}
    return on_all_ways[graph.output]


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks with neighbours in one that depend on the same choices, or of which one depends on none."""
    joined: list[Block] = []
    for block in blocks:
        if joined and _as_one(joined[-1], block):
            block = _join(joined.pop(), block)
        joined.append(block)
    return joined


def ops_of(block: Block, merging: Merging) -> Iterator[Op]:
    """Yield every op of every form of a block, as a runtime executes it (with repeats).

    A block in which nothing can be merged is listed node by node. One in which ops can be merged is listed form by
    form, if these are few; beyond that come each node's ops and what they can be merged to, a few more than there are.
    """
    tables = merging.tables
    if not any(merging.can_merge(node.name) for node in block.nodes):
        for node in block.nodes:
            yield from merging.stated(node.name)
    elif (forms := tables.count(block.columns)) <= MOST_NETWORKS and forms * len(block.nodes) <= MOST_LOWERED:
        for row, _ in tables.codes(block.columns, f"block {block.name}"):
            part = block.part(tables, row)
            yield from part.op_counts if part is not None else ()
    else:
        for node in block.nodes:
            yield from merging.stated(node.name)
            yield from merging.merged(node.name)


def _require_apart(tensors: Sequence[str], merging: Merging) -> None:
    for name in tensors:
        if merging.can_merge(name):
            raise SpaceError(
                f"choice graph: a part cannot be cut off at {name!r}, since a runtime merges the op before it with one "
                "behind it; give the convolution an activation"
            )


def _block(starts: tuple[str, ...], ends: tuple[str, ...], nodes: list[ChoiceNode], tables: ShapeTables) -> Block:
    columns = {column for start in starts for column in tables.shapes[start].columns}
    for node in nodes:
        columns |= {column for form in node.forms if form is not None for column in form.columns}
        columns |= {node.guard} if node.guard is not None else set()
    return Block(nodes[0].name, starts, ends, tuple(nodes), tuple(sorted(columns)))


def _as_one(a: Block, b: Block) -> bool:
    return a.columns == b.columns or not a.columns or not b.columns


def _join(a: Block, b: Block) -> Block:
    return Block(a.name, a.starts, b.ends, a.nodes + b.nodes, a.columns or b.columns)
