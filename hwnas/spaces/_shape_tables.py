"""Which choices decide the shape of each tensor of a choice graph, and every op that each node can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from hwnas._errors import SpaceError
from hwnas.spaces._base import MOST_NETWORKS
from hwnas.spaces._choice_graph import ChoiceGraph, ChoiceNode, Form
from hwnas.spaces._lowering import Lowering
from latency_tables import INPUT, Op, Shape

Codes = tuple[int, ...]


@dataclass(frozen=True)
class ShapeTable:
    """The shapes of one tensor.

    Attributes:
        columns: The choices that decide the shape, ascending.
        shapes: For the codes of these columns the shape; None where the tensor is never there.
    """

    columns: tuple[int, ...]
    shapes: dict[Codes, Shape | None]

    def at(self, codes: Sequence[int]) -> Shape | None:
        """Return the shape for the codes of an architecture ``(d,)``."""
        return self.shapes[tuple(codes[column] for column in self.columns)]


@dataclass(frozen=True)
class OpTable:
    """The ops of one form of a node.

    Attributes:
        form: The form.
        columns: The choices that decide the op: those of its attributes and of its inputs' shapes, ascending.
        ops: For the codes of these columns the op; codes without inputs are left out.
    """

    form: Form
    columns: tuple[int, ...]
    ops: dict[Codes, Op]


class ShapeTables:
    """Shapes and ops of a choice graph, each worked out from the choices of one node alone.

    Args:
        graph: The choice graph.
        lowering: Makes its ops.
        most: Combinations of choices that are listed for all nodes together.

    Raises:
        SpaceError: There are more of them, an op cannot be made, or the parts of a sum differ in shape.
    """

    def __init__(self, graph: ChoiceGraph, lowering: Lowering, most: int) -> None:
        self.graph, self.lowering = graph, lowering
        self._most, self._listed = most, 0
        self.cardinalities = tuple(len(choice.values) for choice in graph.choices)
        self.shapes: dict[str, ShapeTable] = {INPUT: self._input()}
        self.ops: dict[str, tuple[OpTable | None, ...]] = {}
        for node in graph:
            self.ops[node.name] = tuple(self._op_table(form) for form in node.forms)
            self.shapes[node.name] = self._shapes(node)

    def codes(self, columns: Sequence[int], what: str) -> Iterator[tuple[list[int], Codes]]:
        """Yield all codes of some columns: as a row ``(d,)`` with zeros elsewhere, and by themselves.

        Raises:
            SpaceError: There are too many.
        """
        counts = [self.cardinalities[column] for column in columns]
        if self.count(columns) > MOST_NETWORKS:
            names = ", ".join(self.graph.choices[column].name for column in columns)
            raise SpaceError(
                f"choice graph: {what} depends on {self.count(columns):,} combinations of {names:.200}; at most "
                f"{MOST_NETWORKS:,} can be listed"
            )
        self._listed += self.count(columns)
        if self._listed > self._most:
            raise SpaceError(
                f"choice graph: its nodes have more than {self._most:,} forms; let fewer choices change shapes"
            )
        row = [0] * len(self.cardinalities)
        for own in product(*(range(count) for count in counts)):
            for column, code in zip(columns, own, strict=True):
                row[column] = code
            yield row, own

    def count(self, columns: Sequence[int]) -> int:
        """Count the combinations of some choices."""
        return math.prod(self.cardinalities[column] for column in columns)

    def _input(self) -> ShapeTable:
        columns = self.graph.input_columns
        table: dict[Codes, Shape | None] = {
            own: self.graph.input_shape(dict(zip(columns, own, strict=True)))
            for _, own in self.codes(columns, "the input's shape")
        }
        return _reduced(columns, table)

    def _op_table(self, form: Form | None) -> OpTable | None:
        if form is None or form.make is None:
            return None
        inputs = [self.shapes[name] for name in form.inputs]
        columns = tuple(sorted({*form.columns, *(column for table in inputs for column in table.columns)}))
        ops: dict[Codes, Op] = {}
        for row, own in self.codes(columns, f"node {form.name}"):
            shapes = tuple(shape for table in inputs if (shape := table.at(row)) is not None)
            if len(shapes) == len(inputs):
                ops[own] = self.lowering.op(form, shapes, row)
        return OpTable(form, columns, ops)

    def _shapes(self, node: ChoiceNode) -> ShapeTable:
        if node.parts is not None:
            tables = [self.shapes[name] for name in node.parts]
        else:
            tables = [self._form_shapes(form, ops) for form, ops in zip(node.forms, self.ops[node.name], strict=True)]
        columns = {column for table in tables for column in table.columns}
        columns |= set() if node.guard is None else {node.guard}
        ordered = tuple(sorted(columns))
        listed: dict[Codes, Shape | None] = {}
        for row, own in self.codes(ordered, f"the shape of {node.name}"):
            if node.parts is None:
                listed[own] = tables[node.form_number(row)].at(row)
                continue
            shapes = {shape for table in tables if (shape := table.at(row)) is not None}
            if len(shapes) > 1:
                return self._sum_of_present(node, columns)
            listed[own] = next(iter(shapes), None)
        return _reduced(ordered, listed)

    def _sum_of_present(self, node: ChoiceNode, columns: set[int]) -> ShapeTable:
        """Return the shapes of a sum whose parts differ: those that are there together must agree.

        Raises:
            SpaceError: They do not.
        """
        parts = node.parts or ()
        sources = self._sources(node)
        guards = {source.guard for source in sources if source.guard is not None}
        ordered = tuple(sorted(columns | guards))
        listed: dict[Codes, Shape | None] = {}
        for row, own in self.codes(ordered, f"the shape of {node.name}"):
            there = _present(sources, row)
            shapes = {shape for part in parts if part in there and (shape := self.shapes[part].at(row)) is not None}
            if len(shapes) > 1:
                raise SpaceError(f"choice graph: the parts of the sum {node.name!r} have shapes {sorted(shapes)}")
            listed[own] = next(iter(shapes), None)
        return _reduced(ordered, listed)

    def _sources(self, node: ChoiceNode) -> list[ChoiceNode]:
        """Return all nodes that a node follows from, in the order of their statement."""
        needed, waiting = set[str](), list(node.inputs)
        while waiting:
            tensor = waiting.pop()
            if tensor in self.graph.nodes and tensor not in needed:
                needed.add(tensor)
                waiting += self.graph.nodes[tensor].inputs
        return [source for source in self.graph if source.name in needed]

    def _form_shapes(self, form: Form | None, ops: OpTable | None) -> ShapeTable:
        if form is None:
            return ShapeTable((), {(): None})
        if ops is None:
            return self.shapes[form.inputs[0]]
        combinations = product(*(range(self.cardinalities[column]) for column in ops.columns))
        listed = {own: op.output if (op := ops.ops.get(own)) is not None else None for own in combinations}
        return _reduced(ops.columns, listed)


def _present(nodes: Sequence[ChoiceNode], codes: Sequence[int]) -> set[str]:
    """Return the tensors of nodes, each after its inputs, that are there for the codes of an architecture ``(d,)``."""
    there = {INPUT}
    for node in nodes:
        if node.parts is not None:
            present = any(part in there for part in node.parts)
        else:
            form = node.forms[node.form_number(codes)]
            present = form is not None and all(tensor in there for tensor in form.inputs)
        if present:
            there.add(node.name)
    return there


def _reduced(columns: tuple[int, ...], table: dict[Codes, Shape | None]) -> ShapeTable:
    """Return the table without columns that never change the shape; an absent tensor has any shape."""
    for column in columns:
        at = columns.index(column)
        smaller: dict[Codes, Shape | None] = {}
        for codes, shape in table.items():
            rest = codes[:at] + codes[at + 1 :]
            if smaller.get(rest) is not None and shape is not None and smaller[rest] != shape:
                break
            smaller[rest] = smaller.get(rest) or shape
        else:
            columns, table = columns[:at] + columns[at + 1 :], smaller
    return ShapeTable(columns, table)
