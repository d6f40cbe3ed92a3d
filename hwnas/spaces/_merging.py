"""Which ops of a choice graph a runtime can merge into one, found by asking the fusion rule itself."""

from __future__ import annotations

from collections.abc import Iterable

from hwnas.spaces._choice_graph import ChoiceGraph, ChoiceNode
from hwnas.spaces._shape_tables import OpTable, ShapeTables
from latency_tables import INPUT, Node, Op, OpGraph, Shape
from profilers import executed_graph, ops

_SMALL = (0, 1)
_Look = tuple[object, ...]


class Merging:
    """Merges between the ops of neighbouring nodes.

    Args:
        graph: The choice graph.
        tables: Its ops.
    """

    def __init__(self, graph: ChoiceGraph, tables: ShapeTables) -> None:
        self.graph, self.tables = graph, tables
        self._readers: dict[str, list[ChoiceNode]] = {graph.input: []}
        for node in graph:
            self._readers[node.name] = []
            for name in node.inputs:
                self._readers[name].append(node)
        self._known: dict[tuple[_Look, _Look], bool] = {}

    def stated(self, name: str) -> list[Op]:
        """Return the ops that a node can be before anything is merged, each once."""
        node = self.graph.nodes[name]
        if node.parts is None:
            return list(dict.fromkeys(op for table in self.tables.ops[name] if table for op in table.ops.values()))
        shapes = {shape for shape in self.tables.shapes[name].shapes.values() if shape is not None}
        return [ops.add(shape) for shape in sorted(shapes)] if len(node.parts) > 1 else []

    def can_merge(self, tensor: str) -> bool:
        """Return whether an op that makes a tensor can be merged with one that reads it."""
        second = self._by_look(self._consumers(tensor))
        return any(
            self._may_merge(producers, consumers) is not None
            for producers in self._by_look(self._producers(tensor)).values()
            for consumers in second.values()
        )

    def merged(self, name: str) -> list[Op]:
        """Return what the ops of a node can become by merging with ops that read them, one after the other."""
        results: dict[Op, None] = {}
        left, readers = self.stated(name), self._consumers(name)
        while left:
            first = left.pop()
            for second in readers:
                if self._may_merge([first], [second]) is not None:
                    op = merge(first, second)
                    if op is not None and op not in results:
                        results[op] = None
                        left.append(op)
        return list(results)

    def _producers(self, tensor: str) -> dict[Op, None]:
        """Return the ops that a tensor can be the result of."""
        ops: dict[Op, None] = {}
        left, seen = [tensor], set[str]()
        while left:
            name = left.pop()
            if name == INPUT or name in seen:
                continue
            seen.add(name)
            ops.update(dict.fromkeys(self.stated(name)))
            node = self.graph.nodes[name]
            left += node.parts or ()
            for form, table in zip(node.forms, self.tables.ops[name], strict=True):
                if form is not None and _passes(table):
                    left += form.inputs
        return ops

    def _consumers(self, tensor: str) -> dict[Op, None]:
        """Return the ops that can read a tensor, under any of the names that it is passed on by."""
        ops: dict[Op, None] = {}
        left, seen = [tensor], set[str]()
        while left:
            name = left.pop()
            if name in seen:
                continue
            seen.add(name)
            for node in self._readers[name]:
                if node.parts is not None:
                    ops.update(dict.fromkeys(self.stated(node.name)))
                    left.append(node.name)
                    continue
                for form, table in zip(node.forms, self.tables.ops[node.name], strict=True):
                    if form is not None and name in form.inputs:
                        ops.update(dict.fromkeys(table.ops.values() if table is not None else ()))
                        left += [node.name] if _passes(table) else []
        return ops

    def _by_look(self, given: Iterable[Op]) -> dict[_Look, list[Op]]:
        """Group ops that a fusion rule treats alike."""
        groups: dict[_Look, list[Op]] = {}
        for op in given:
            groups.setdefault(_look(op), []).append(op)
        return groups

    def _may_merge(self, first: list[Op], second: list[Op]) -> Op | None:
        """Return what some op of one look becomes by merging with some op of another; None where these stay apart."""
        looks = _look(first[0]), _look(second[0])
        if self._known.get(looks) is False:
            return None
        shapes = {shape: op for op in second for shape in op.inputs}
        pair = next(((op, shapes[op.output]) for op in first if op.output in shapes), None)
        if pair is None:
            return None
        merged = merge(*pair)
        self._known[looks] = merged is not None
        return merged


def _passes(table: OpTable | None) -> bool:
    """Return whether a form passes its input on, or adds others to it: what makes it may merge with what reads it."""
    return table is None or any(op.kind == "add" for op in table.ops.values())


def merge(first: Op, second: Op) -> Op | None:
    """Return the one op that two become where `second` alone reads the result of `first`; None where they stay two."""
    if first.output not in second.inputs:
        return None
    place = second.inputs.index(first.output)
    start: Shape = (first.inputs or (first.output,))[0]
    others = [*first.inputs, *second.inputs[:place], *second.inputs[place + 1 :]]
    sources = [Node(f"source{i}", Op("source", (start,), shape), (INPUT,)) for i, shape in enumerate(others)]
    names = [node.name for node in sources]
    own, rest = names[: len(first.inputs)], names[len(first.inputs) :]
    nodes = (
        *sources,
        Node("first", first, tuple(own)),
        Node("second", second, (*rest[:place], "first", *rest[place:])),
    )
    graph = executed_graph(OpGraph(start, nodes, ("second",)))
    return graph.nodes[-1].op if len(graph.nodes) < len(nodes) else None


def _look(op: Op) -> _Look:
    """Return what a fusion rule may look at: not the extents."""
    small = (pair for pair in op.attributes if isinstance(pair[1], str) or pair[1] in _SMALL)
    return (op.kind, len(op.inputs), *small)
