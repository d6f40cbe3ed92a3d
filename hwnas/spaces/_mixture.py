"""A choice graph as a mixture: every alternative at once, for one-shot methods that weigh them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwnas._errors import SpaceError
from hwnas.spaces._choice_graph import ChoiceGraph, ChoiceNode
from hwnas.spaces._shape_tables import ShapeTables
from latency_tables import Op


@dataclass(frozen=True)
class MixtureOption:
    """One thing that a node can be.

    Attributes:
        codes: Codes of the node's columns under which it is this; several where they make no difference.
        name: Name of the op's node in op graphs, and so of its weights.
        op: The op; None where a tensor is passed on, or where there is nothing.
        inputs: The tensors that the op reads, or the one that is passed on; empty where there is nothing.
    """

    codes: tuple[tuple[int, ...], ...]
    name: str
    op: Op | None
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class MixtureNode:
    """A node of a mixture: the weighted sum of its options, or the plain sum of its parts.

    Attributes:
        name: Name of its tensor.
        columns: Columns of the choices that decide between the options; empty where there is one.
        options: What the node can be; empty for a sum.
        parts: The tensors that a sum adds up, those that are there; empty for any other node.
    """

    name: str
    columns: tuple[int, ...]
    options: tuple[MixtureOption, ...]
    parts: tuple[str, ...] = ()


def mixture_of(graph: ChoiceGraph, tables: ShapeTables, codes: Sequence[int]) -> Iterator[MixtureNode]:
    """Yield the nodes of a choice graph in topological order, each with its options.

    Choices that change the shape of a tensor that passes between nodes (width, resolution) cannot be mixed: they stay
    as `codes` says. All others are open.

    Args:
        graph: The choice graph.
        tables: Its shapes and ops.
        codes: Codes of an architecture, ``(d,)``.
    """
    fixed = frozen_columns(tables)
    for node in graph:
        if node.parts is not None:
            yield MixtureNode(node.name, (), (), node.parts)
            continue
        columns = {node.guard} if node.guard is not None else set()
        columns |= {column for table in tables.ops[node.name] if table is not None for column in table.columns}
        yield _node(node, tuple(sorted(columns - fixed)), tables, codes)


def frozen_columns(tables: ShapeTables) -> set[int]:
    """Return the columns of the choices that change the shape of some tensor."""
    return {column for table in tables.shapes.values() for column in table.columns}


def _node(node: ChoiceNode, columns: tuple[int, ...], tables: ShapeTables, codes: Sequence[int]) -> MixtureNode:
    options: dict[tuple[str, Op | None, tuple[str, ...]], list[tuple[int, ...]]] = {}
    for _, own in tables.codes(columns, f"node {node.name}"):
        row = list(codes)
        for column, code in zip(columns, own, strict=True):
            row[column] = code
        number = node.form_number(row)
        form, table = node.forms[number], tables.ops[node.name][number]
        op = None if table is None else table.ops.get(tuple(row[column] for column in table.columns))
        nothing = form is None or (table is not None and op is None)
        key = (node.name, None, ()) if form is None or nothing else (form.name, op, form.inputs)
        options.setdefault(key, []).append(own)
    if not options:
        raise SpaceError(f"choice graph: node {node.name!r} has no option")
    return MixtureNode(node.name, columns, tuple(MixtureOption(tuple(own), *key) for key, own in options.items()))
