"""`ChoiceGraphSpace`: a space that is stated as a choice graph; everything else follows from the graph."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hwnas._errors import SpaceError
from hwnas.spaces._base import MOST_NETWORKS, Architecture, BoolArray, Choice, IntArray, Space, Term
from hwnas.spaces._blocks import Block, ops_of, priced_blocks
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._lowering import Lowering, weightless
from hwnas.spaces._merging import Merging
from hwnas.spaces._mixture import MixtureNode, mixture_of
from hwnas.spaces._relevance import Relevance
from hwnas.spaces._shape_tables import ShapeTables
from latency_tables import INPUT, GraphBuilder, Op, OpGraph, Shape

MOST_FORMS = 4_000_000
"""Forms of one term whose costs are kept."""


class ChoiceGraphSpace(Space):
    """A space whose networks are those of a choice graph.

    A subclass needs a `name` and `state`. It may override what it knows a faster way to.
    """

    terms_want_canonical_codes = False
    most_forms: ClassVar[int] = 1_000_000
    """Combinations of choices that are listed for all nodes together, to find their shapes and ops."""

    @abstractmethod
    def state(self) -> ChoiceGraph:
        """State the choice graph; called once."""

    @cached_property
    def choice_graph(self) -> ChoiceGraph:
        """The choice graph.

        Raises:
            SpaceError: No output was stated (`ChoiceGraph.finish`).
        """
        graph = self.state()
        if not graph.output:
            raise SpaceError(
                f"space {self.name}: its choice graph has no output; call graph.finish(tensor) at the end of state"
            )
        return graph

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices of the graph, in the order in which they were stated."""
        return self.choice_graph.choices

    @cached_property
    def size(self) -> int:
        """Number of different networks; for more than `MOST_NETWORKS` assignments of choices, their number."""
        count = math.prod(self.cardinalities)
        if count > MOST_NETWORKS:
            return count
        rows = np.indices(self.cardinalities).reshape(len(self.choices), -1).T
        return len(np.unique(self.canonical_codes(rows[self.valid_codes(rows)]), axis=0))

    def graph(self, arch: Architecture) -> OpGraph:
        """Build the network of an architecture.

        Raises:
            SpaceError: The architecture is not of this space, or no path leads from its input to its output.
        """
        codes = self.encode(arch)
        if self.terms_want_canonical_codes:
            codes = self.canonical_codes(codes[None])[0]
        graph = self._chained(codes.tolist()) if self.choice_graph.cuts else self._lowering.network(codes.tolist())
        if graph is None:
            raise SpaceError(f"space {self.name}: {self.format(arch)} has no path from its input to its output")
        return graph

    def _chained(self, codes: list[int]) -> OpGraph | None:
        """Build a network block by block, so that the order of its ops is that of the blocks."""
        shape = self.choice_graph.input_shape(dict(enumerate(codes)))
        builder, names = GraphBuilder(shape), {self.choice_graph.input: INPUT}
        for block in self._blocks.values():
            part = block.part(self._tables, codes)
            if part is None:  # its tensors are passed on
                names |= {end: names[start] for end, start in zip(block.ends, block.starts, strict=True)}
                continue
            own = dict(zip(part.input_names, (names[start] for start in block.starts), strict=True))
            for node in part.nodes:
                own[node.name] = builder.add(node.name, node.op, *(own[name] for name in node.inputs))
            names |= {end: own[output] for end, output in zip(block.ends, part.outputs, strict=True)}
        return builder.build(names[self.choice_graph.output])

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The blocks of the choice graph: parts between which one tensor alone passes, where these have few forms.

        Blocks of many forms are divided where several tensors pass.

        Raises:
            SpaceError: A block has too many forms for tables of its costs.
        """
        for block in self._blocks.values():
            count = self._tables.count(block.columns)
            if count > MOST_FORMS:
                start, end = block.starts[0], block.ends[0]
                raise SpaceError(
                    f"space {self.name}: the part from {start} to {end} has {count:,} forms, at most {MOST_FORMS:,} "
                    "can be priced; let all paths lead through a node within it"
                )
        return tuple(Term(block.name, block.columns, len(block.starts)) for block in self._blocks.values())

    def term_graph(self, term: Term, arch: Architecture) -> OpGraph | None:
        """Build one block of a network; None where it is empty."""
        return self._blocks[term.name].part(self._tables, self.encode(arch).tolist())

    def input_shape(self, arch: Architecture) -> Shape:
        """Return the shape of the input tensor, without the batch axis."""
        return self.choice_graph.input_shape(dict(enumerate(self.encode(arch).tolist())))

    def canonical_codes(self, codes: npt.ArrayLike) -> IntArray:
        """Set every choice that does not matter for its network to the first value."""
        return self._relevance.canonical(np.asarray(codes, dtype=np.int64).reshape(-1, len(self.choices)))

    def valid_codes(self, codes: npt.ArrayLike) -> BoolArray:
        """Return which rows have a path from the input to the output."""
        return self._relevance.valid(np.asarray(codes, dtype=np.int64).reshape(-1, len(self.choices)))

    def ops(self) -> list[Op]:
        """Return every op of every network, from each node's own choices."""
        return list(self._ops)

    def weighted_ops(self) -> Iterator[tuple[str, Op]]:
        """Yield the name and op of every node that has weights, for all values of the choices that it depends on.

        Networks share the weights of a name; the largest extents over these ops are those that a supernet needs.
        """
        for tables in self._tables.ops.values():
            for table in tables:
                for op in dict.fromkeys(table.ops.values() if table is not None else ()):
                    if table is not None and not weightless(op):
                        yield table.form.name, op

    @property
    def shape_tables(self) -> ShapeTables:
        """The shapes of all tensors and the ops of all nodes, each by the choices that decide it."""
        return self._tables

    def mixture(self, arch: Architecture) -> Iterator[MixtureNode]:
        """Yield the nodes in topological order, each with everything that it can be (for one-shot methods).

        Args:
            arch: Says the choices that change the shape of a tensor between nodes, which cannot be mixed.
        """
        return mixture_of(self.choice_graph, self._tables, self.encode(arch).tolist())

    def __getstate__(self) -> dict[str, object]:
        """Leave out what follows from the rest: a choice graph may hold functions that cannot be pickled."""
        cached = {n for kind in type(self).__mro__ for n, v in vars(kind).items() if isinstance(v, cached_property)}
        return {name: value for name, value in self.__dict__.items() if name not in cached}

    @cached_property
    def _lowering(self) -> Lowering:
        return Lowering(self.choice_graph)

    @cached_property
    def _tables(self) -> ShapeTables:
        return ShapeTables(self.choice_graph, self._lowering, self.most_forms)

    @cached_property
    def _relevance(self) -> Relevance:
        return Relevance(self.choice_graph)

    @cached_property
    def _merging(self) -> Merging:
        return Merging(self.choice_graph, self._tables)

    @cached_property
    def _blocks(self) -> dict[str, Block]:
        return {block.name: block for block in priced_blocks(self._merging)}

    @cached_property
    def _ops(self) -> tuple[Op, ...]:
        ops: dict[Op, None] = {}
        for block in self._blocks.values():
            ops.update(dict.fromkeys(ops_of(block, self._merging)))
        return tuple(sorted(ops, key=lambda op: op.key))
