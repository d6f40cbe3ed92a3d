"""Groups of nodes that must become one op, because an op graph cannot hold the tensors between them.

An op graph holds 32-bit floats with the batch axis in front. The node that writes any other tensor (integers, scalars,
the batch axis elsewhere) and all nodes that read it belong to one group. So that no path leaves a group and comes back,
groups that depend on each other are merged.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import pairwise

import onnx

from profilers._read._infer import FileGraph


def grouped_nodes(file: FileGraph, fits: Callable[[str], bool]) -> list[list[onnx.NodeProto]]:
    """Put nodes into groups; most stand alone.

    Args:
        file: The file's graph.
        fits: Whether an op graph can hold a tensor.

    Returns:
        The groups in topological order; within a group, nodes are in the file's order.
    """
    count = len(file.nodes)
    maker = {name: number for number, node in enumerate(file.nodes) for name in node.output if name}
    sources = [sorted({maker[name] for name in node.input if name in maker}) for node in file.nodes]
    group = _Union(count)
    for number, node in enumerate(file.nodes):
        for name in node.input:
            if name in maker and not fits(name):
                group.join(maker[name], number)
    while cycle := _cyclic(sources, group, count):
        for first, second in pairwise(cycle):
            group.join(first, second)
    return [[file.nodes[number] for number in numbers] for numbers in _sorted_groups(sources, group, count)]


class _Union:
    """Disjoint sets of numbers."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = number = self.parent[self.parent[number]]
        return number

    def join(self, first: int, second: int) -> None:
        one, other = sorted((self.root(first), self.root(second)))
        self.parent[other] = one


def _edges(sources: list[list[int]], group: _Union, count: int) -> dict[int, set[int]]:
    """Return which groups each group reads."""
    reads: dict[int, set[int]] = {group.root(number): set() for number in range(count)}
    for number in range(count):
        root = group.root(number)
        reads[root].update(other for source in sources[number] if (other := group.root(source)) != root)
    return reads


def _cyclic(sources: list[list[int]], group: _Union, count: int) -> list[int]:
    """Return a number of each group on some cycle of groups; empty where there is none."""
    reads = _edges(sources, group, count)
    state: dict[int, int] = {}  # 1 on the path, 2 done
    for start in reads:
        if start in state:
            continue
        path, pending = [start], [iter(sorted(reads[start]))]
        state[start] = 1
        while path:
            following = next(pending[-1], None)
            if following is None:
                state[path.pop()] = 2
                pending.pop()
            elif following not in state:
                state[following] = 1
                path.append(following)
                pending.append(iter(sorted(reads[following])))
            elif state[following] == 1:
                return path[path.index(following) :]
    return []


def _sorted_groups(sources: list[list[int]], group: _Union, count: int) -> list[list[int]]:
    """Return the members of each group, groups in topological order and otherwise by their last node."""
    members: dict[int, list[int]] = {}
    for number in range(count):
        members.setdefault(group.root(number), []).append(number)
    reads = _edges(sources, group, count)
    readers: dict[int, list[int]] = {root: [] for root in reads}
    for root, others in reads.items():
        for other in others:
            readers[other].append(root)
    waits = {root: len(others) for root, others in reads.items()}
    ready = [(members[root][-1], root) for root, number in waits.items() if not number]
    heapq.heapify(ready)
    ordered = []
    while ready:
        _, root = heapq.heappop(ready)
        ordered.append(members[root])
        for reader in readers[root]:
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, (members[reader][-1], reader))
    return ordered
