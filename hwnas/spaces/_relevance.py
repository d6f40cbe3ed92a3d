"""Which choices matter in which architectures of a choice graph: validity and canonical codes, many at a time."""

from __future__ import annotations

import numpy as np

from hwnas.spaces._base import BoolArray, IntArray
from hwnas.spaces._choice_graph import ChoiceGraph, ChoiceNode, Form

Mask = BoolArray | bool
"""One truth for each row of codes, or one for all of them."""


class Relevance:
    """Presence and relevance in a choice graph, vectorised over codes ``(n, d)``.

    Args:
        graph: the choice graph.
    """

    def __init__(self, graph: ChoiceGraph) -> None:
        self.graph = graph
        self.structural = tuple(sorted({node.guard for node in graph if _changes_structure(node)} - {None}))  # type: ignore[type-var]
        self._selected = {
            node.name: [np.array(node.form_of) == number for number in range(len(node.forms))] for node in graph
        }
        self._may_be_absent = _may_be_absent(graph)

    def valid(self, codes: IntArray) -> BoolArray:
        """Which rows ``(n, d)`` have a path from the input to the output."""
        if self.graph.output not in self._may_be_absent:
            return np.ones(len(codes), dtype=np.bool_)
        return np.broadcast_to(self._present(codes)[self.graph.output], (len(codes),)).copy()

    def canonical(self, codes: IntArray) -> IntArray:
        """Rows ``(n, d)`` with every choice that does not matter at its first value.

        A choice matters where its node is wanted (the output reads it by nodes that are there) and one of its
        alternatives would be something. Choices that decide what is there are reset one at a time, each against the
        network that the last one left; so no two that matter together are lost.
        """
        rows = np.array(codes, dtype=np.int64)
        left = np.arange(len(rows))
        structural = np.array(self.structural, dtype=np.int64)
        while len(left):
            part = rows[left]
            idle = ~self._relevant(part) & (part != 0)
            resets = idle.copy()
            resets[:, structural] = False
            changed = idle[:, structural].any(axis=1)
            first = structural[idle[:, structural].argmax(axis=1)] if len(structural) else structural
            resets[np.flatnonzero(changed), first[changed] if len(structural) else []] = True
            part[resets] = 0
            rows[left] = part
            left = left[changed]
        return rows

    def _present(self, codes: IntArray) -> dict[str, Mask]:
        """For each tensor where it is there."""
        present: dict[str, Mask] = {self.graph.input: True}
        for node in self.graph:
            if node.name not in self._may_be_absent:
                present[node.name] = True
            elif node.parts is not None:
                present[node.name] = _any(present[part] for part in node.parts)
            else:
                forms = enumerate(node.forms)
                present[node.name] = _any(
                    _all((self._chosen(node, number, codes), *(present[name] for name in form.inputs)))
                    for number, form in forms
                    if form is not None
                )
        return present

    def _chosen(self, node: ChoiceNode, number: int, codes: IntArray) -> Mask:
        """Where the choice of a node selects one of its forms."""
        return True if len(node.forms) == 1 or node.guard is None else self._selected[node.name][number][codes[:, node.guard]]

    def _relevant(self, codes: IntArray) -> BoolArray:
        """Which choices ``(n, d)`` can change the network of their row."""
        present, wanted = self._present(codes), dict[str, Mask]()
        wanted[self.graph.output] = True
        relevant = np.zeros(codes.shape, dtype=np.bool_)
        relevant[:, list(self.graph.input_columns)] = True
        for node in reversed(self.graph.nodes.values()):
            needed = wanted.get(node.name, False)
            if needed is False:
                continue
            for part in node.parts or ():
                wanted[part] = _any((wanted.get(part, False), needed))
            for number, form in enumerate(node.forms):
                if form is not None:
                    self._mark(node, number, form, needed, present, wanted, relevant, codes)
        return relevant

    def _mark(
        self,
        node: ChoiceNode,
        number: int,
        form: Form,
        needed: Mask,
        present: dict[str, Mask],
        wanted: dict[str, Mask],
        relevant: BoolArray,
        codes: IntArray,
    ) -> None:
        """Pass on what one form of a wanted node wants, and mark the choices that it follows."""
        possible = _all((needed, *(present[name] for name in form.inputs)))
        chosen = self._chosen(node, number, codes)
        if node.guard is not None and len(node.forms) > 1:
            relevant[:, node.guard] |= possible
        used = _all((possible, chosen))
        for column in form.columns:
            relevant[:, column] |= used
        for name in form.inputs:
            others = (present[other] for other in form.inputs if other != name)
            wanted[name] = _any((wanted.get(name, False), _all((needed, chosen, *others))))


def _changes_structure(node: ChoiceNode) -> bool:
    """Whether the choice of a node decides what is there, and not only which op."""
    return len({form.inputs if form is not None and form.make is not None else form for form in node.forms}) > 1


def _may_be_absent(graph: ChoiceGraph) -> set[str]:
    absent: set[str] = set()
    for node in graph:
        if node.parts is not None:
            may = all(part in absent for part in node.parts)
        else:
            may = any(form is None or any(name in absent for name in form.inputs) for form in node.forms)
        if may:
            absent.add(node.name)
    return absent


def _all(masks: object) -> Mask:
    result: Mask = True
    for mask in masks:  # type: ignore[attr-defined]
        if mask is False or result is False:
            return False
        result = result if mask is True else mask if result is True else result & mask
    return result


def _any(masks: object) -> Mask:
    result: Mask = False
    for mask in masks:  # type: ignore[attr-defined]
        if mask is True or result is True:
            return True
        result = result if mask is False else mask if result is False else result | mask
    return result
