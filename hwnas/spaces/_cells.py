"""The cells of NAS-Bench-201 as small graphs: reduction to live edges, isomorphism, path features.

A cell (Dong and Yang 2020, arXiv 2001.00326, section 2) has four nodes, 0 the input and 3 the output; every
node is the sum of its incoming edges, and each of the six edges carries one of five operations.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Source and target of the six edges, in the order of the benchmark's strings."""
INPUT_NODE, OUTPUT_NODE = 0, 3
_SKIP = "skip_connect"


class CellEdge(NamedTuple):
    """A live edge of a reduced cell; `edge` is its index in `EDGES`, under which its weights are kept."""

    source: int
    target: int
    operation: str
    edge: int


class ReducedCell(NamedTuple):
    """A cell without dead edges and needless skips; the sum at node `output` is the result (0: the input)."""

    edges: tuple[CellEdge, ...]
    output: int


def reduce_cell(codes: tuple[int, ...]) -> ReducedCell | None:
    """Return the live part of a cell; None where no path leads from input to output.

    Skip edges that only rename a tensor are contracted: a node with a single incoming skip is its source, and a node
    whose only reader is a skip joins the sum that reads it. Neither changes the function or its cost.
    """
    edges = [
        CellEdge(source, target, OPERATIONS[code], number)
        for number, ((source, target), code) in enumerate(zip(EDGES, codes, strict=True))
        if OPERATIONS[code] != "none"
    ]
    reached = {INPUT_NODE}
    for edge in sorted(edges, key=lambda e: e.target):
        if edge.source in reached:
            reached.add(edge.target)
    useful = {OUTPUT_NODE}
    for edge in sorted(edges, key=lambda e: -e.source):
        if edge.target in useful:
            useful.add(edge.source)
    edges = [e for e in edges if e.source in reached and e.target in useful]
    if not edges:
        return None
    output = OUTPUT_NODE
    while (step := _contract(edges, output)) is not None:
        edges, output = step
    return ReducedCell(tuple(edges), output)


def _contract(edges: list[CellEdge], output: int) -> tuple[list[CellEdge], int] | None:
    for skip in edges:
        if skip.operation != _SKIP:
            continue
        rest = [e for e in edges if e is not skip]
        if not any(e.target == skip.target for e in rest):  # the target is its source
            moved = [e._replace(source=skip.source) if e.source == skip.target else e for e in rest]
            return moved, skip.source if output == skip.target else output
        if skip.source != INPUT_NODE and not any(e.source == skip.source for e in rest):  # the source joins the sum
            return [e._replace(target=skip.target) if e.target == skip.source else e for e in rest], output
    return None


def cell_signature(codes: tuple[int, ...]) -> tuple[tuple[int, int, str], ...] | None:
    """Return a signature that isomorphic cells share and no others; None for a disconnected cell."""
    cell = reduce_cell(codes)
    if cell is None:
        return None
    inner = sorted({n for e in cell.edges for n in (e.source, e.target)} - {INPUT_NODE, cell.output})
    best = None
    for order in permutations(range(1, 1 + len(inner))):
        names = {**dict(zip(inner, order, strict=True)), cell.output: OUTPUT_NODE, INPUT_NODE: INPUT_NODE}
        key = tuple(sorted((names[e.source], names[e.target], e.operation) for e in cell.edges))
        best = key if best is None or key < best else best
    return best


@cache
def representatives() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return, for each of the 15,625 cells, by mixed-radix index, the index of its class's first member."""
    first: dict[object, int] = {}
    table = np.empty(len(OPERATIONS) ** len(EDGES), dtype=np.int64)
    for index, codes in enumerate(product(range(len(OPERATIONS)), repeat=len(EDGES))):
        table[index] = first.setdefault(cell_signature(codes), index)
    return table


@cache
def path_counts(codes: tuple[int, ...]) -> tuple[Counter[tuple[str, ...]], Counter[str], int]:
    """Count the operation sequences of all paths from input to output (skips left out), live operations, and depth."""
    cell = reduce_cell(codes)
    sequences: Counter[tuple[str, ...]] = Counter()
    if cell is None:
        return sequences, Counter(), 0
    stack: list[tuple[int, tuple[str, ...]]] = [(INPUT_NODE, ())]
    while stack:
        node, sequence = stack.pop()
        if node == cell.output:
            sequences[sequence] += 1
            continue
        for edge in cell.edges:
            if edge.source == node:
                step = () if edge.operation == _SKIP else (edge.operation,)
                stack.append((edge.target, sequence + step))
    return sequences, Counter(e.operation for e in cell.edges), max(len(s) for s in sequences)
