"""Which choices matter in which architectures of a choice graph: validity and canonical codes, many at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hwnas.spaces._base import BoolArray, IntArray
from hwnas.spaces._choice_graph import ChoiceGraph, ChoiceNode

Mask = BoolArray | bool
"""One truth for each row of codes, or one for all of them."""


class Relevance:
    """Presence and relevance in a choice graph, vectorised over codes ``(n, d)``.

    Args:
        graph: The choice graph.
    """

    def __init__(self, graph: ChoiceGraph) -> None:
        self.graph = graph
        self.structural = {node.guard for node in graph if _changes_structure(node)}
        self._selected = {
            node.name: [np.array(node.form_of) == number for number in range(len(node.forms))] for node in graph
        }
        self._input_columns = set(graph.input_columns)
        self._may_be_absent = may_be_absent(graph)

    def valid(self, codes: IntArray) -> BoolArray:
        """Return which rows ``(n, d)`` have a path from the input to the output."""
        if self.graph.output not in self._may_be_absent:
            return np.ones(len(codes), dtype=np.bool_)
        present = self._present(np.ascontiguousarray(codes.T))[self.graph.output]
        return np.broadcast_to(np.asarray(present), (len(codes),)).copy()

    def canonical(self, codes: IntArray) -> IntArray:
        """Set every choice of rows ``(n, d)`` that does not matter to its first value.

        A choice matters where its node is wanted (the output reads it by nodes that are there) and one of its
        alternatives would be something. Choices that decide what is there are reset one at a time, each against the
        network that the last one left; so no two that matter together are lost.
        """
        columns = np.array(codes.T, order="C")  # a copy, also of a single row
        left = np.arange(len(codes))
        while len(left):
            part = columns if len(left) == len(codes) else columns[:, left]
            mattering = self._mattering(part)
            changed = np.zeros(len(left), dtype=np.bool_)
            for column, matters in enumerate(mattering):
                if matters is True:
                    continue
                idle = part[column] != 0 if matters is False else (part[column] != 0) & ~matters
                if column in self.structural:
                    idle &= ~changed
                    changed |= idle
                np.putmask(part[column], idle, 0)
            if len(left) < len(codes):
                columns[:, left] = part
            left = left[changed]
        return np.ascontiguousarray(columns.T)

    def _present(self, columns: IntArray) -> dict[str, Mask]:
        """Find for each tensor in which rows it is there."""
        present: dict[str, Mask] = {self.graph.input: True}
        for node in self.graph:
            if node.name not in self._may_be_absent:
                present[node.name] = True
            elif node.parts is not None:
                present[node.name] = _any(present[part] for part in node.parts)
            else:
                present[node.name] = _any(
                    _all((self._chosen(node, number, columns), *(present[name] for name in form.inputs)))
                    for number, form in enumerate(node.forms)
                    if form is not None
                )
        return present

    def _chosen(self, node: ChoiceNode, number: int, columns: IntArray) -> Mask:
        """Return in which rows the choice of a node selects one of its forms."""
        if len(node.forms) == 1 or node.guard is None:
            return True
        selected: BoolArray = self._selected[node.name][number].take(columns[node.guard])
        return selected

    def _mattering(self, columns: IntArray) -> list[Mask]:
        """Find for each choice in which rows it can change the network."""
        present = self._present(columns)
        wanted: dict[str, Mask] = {self.graph.output: True}
        matters: list[Mask] = [column in self._input_columns for column in range(len(columns))]
        for node in reversed(self.graph.nodes.values()):
            needed = wanted.get(node.name, False)
            if needed is False:
                continue
            for part in node.parts or ():
                wanted[part] = _any((wanted.get(part, False), needed))
            for number, form in enumerate(node.forms):
                if form is None:
                    continue
                possible = _all((needed, *(present[name] for name in form.inputs)))
                if node.guard is not None and len(node.forms) > 1:
                    matters[node.guard] = _any((matters[node.guard], possible))
                asking = [name for name in form.inputs if wanted.get(name) is not True]
                following = [column for column in form.columns if matters[column] is not True]
                if not asking and not following:
                    continue
                chosen = self._chosen(node, number, columns)
                for column in following:
                    matters[column] = _any((matters[column], _all((possible, chosen))))
                for name in asking:
                    others = (present[other] for other in form.inputs if other != name)
                    wanted[name] = _any((wanted.get(name, False), _all((needed, chosen, *others))))
        return matters


def _changes_structure(node: ChoiceNode) -> bool:
    """Return whether the choice of a node decides what is there, and not only which op."""
    return len({form.inputs if form is not None and form.make is not None else form for form in node.forms}) > 1


def may_be_absent(graph: ChoiceGraph) -> set[str]:
    """Return the tensors that some networks lack."""
    absent: set[str] = set()
    for node in graph:
        if node.parts is not None:
            may = all(part in absent for part in node.parts)
        else:
            may = any(form is None or any(name in absent for name in form.inputs) for form in node.forms)
        if may:
            absent.add(node.name)
    return absent


def _all(masks: Iterable[Mask]) -> Mask:
    """Combine masks: where all are true."""
    result: Mask = True
    for mask in masks:
        if mask is False or result is False:
            return False
        result = result if mask is True else mask if result is True else result & mask
    return result


def _any(masks: Iterable[Mask]) -> Mask:
    """Combine masks: where some is true."""
    result: Mask = False
    for mask in masks:
        if mask is True or result is True:
            return True
        result = result if mask is False else mask if result is False else result | mask
    return result
