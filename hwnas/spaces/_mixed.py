"""`mixed`: the networks of another space, each block in float32 or in int8."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hwnas._errors import SpaceError
from hwnas.spaces._base import (
    MOST_NETWORKS,
    Architecture,
    BoolArray,
    Choice,
    FloatArray,
    IntArray,
    Segments,
    Space,
    Term,
)
from latency_tables import Op, OpGraph, Shape
from profilers import float_only, mixed_graph

PRECISIONS = ("fp32", "int8")
_DTYPES = {"fp32": "float32", "int8": "int8"}
_LETTERS = {"fp32": "f", "int8": "i"}
_MARK = "@"
_MOST_FORMS = 1_000_000
_UNKNOWN = -1


class MixedPrecisionSpace(Space):
    """The networks of a space with a precision for each block: fp32 or int8.

    The blocks are the space's terms. A block converts what it reads where the block before it has the other precision,
    so its conversions depend on its own precision and on that of the block before it. A block that a network leaves out
    has the precision of the block before it. The image and the outputs are float32, and so is a block of ops that
    compute in no other precision (a front end).

    Args:
        inner: The space whose networks these are.
    """

    name = "mixed"
    terms_want_canonical_codes = True

    def __init__(self, inner: Space) -> None:
        self.inner = inner
        self._columns = len(inner.choices)
        self._empty: dict[int, IntArray] = {}
        self._empty_of_many: dict[tuple[int, ...], bool] = {}

    @property
    def settings(self) -> dict[str, object]:
        """Name and settings of the space whose networks these are."""
        return {"space": self.inner.name, "settings": self.inner.settings}

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """The choices of the inner space, then the precision of each block.

        Raises:
            SpaceError: Several tensors pass between blocks, which would need a conversion each.
        """
        if any(term.tensors > 1 for term in self.inner.terms):
            raise SpaceError(
                f"space {self.inner.name}: several tensors pass between its blocks, so --precision mixed cannot "
                "convert them; use --precision fp32 or int8"
            )
        return (*self.inner.choices, *(Choice(f"{term.name}.precision", PRECISIONS) for term in self.inner.terms))

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The inner space's terms; each depends on its own precision too, and on that of the block before it."""
        terms = []
        for number, term in enumerate(self.inner.terms):
            own = self._columns + number
            terms.append(Term(term.name, (*term.choices, *([own - 1] if number else []), own)))
        return tuple(terms)

    @cached_property
    def size(self) -> int:
        """Number of distinct networks; of more than `MOST_NETWORKS`, those that leave blocks out count repeatedly."""
        if math.prod(self.cardinalities) > MOST_NETWORKS:
            return int(self.inner.size * len(PRECISIONS) ** len(self.inner.terms))
        rows = np.indices(self.cardinalities).reshape(len(self.choices), -1).T
        return len(np.unique(self.canonical_codes(rows[self.valid_codes(rows)]), axis=0))

    def float_architecture(self, arch: Architecture) -> Architecture:
        """Return the architecture of the inner space whose weights a network has."""
        return Architecture(arch.values[: self._columns])

    def weight_segments(self, arch: Architecture) -> Segments:
        """Return which parts of shared weights a network uses: those of its form without precisions."""
        return self.inner.weight_segments(self.float_architecture(arch))

    def with_float_blocks(self, codes: npt.ArrayLike) -> IntArray:
        """Return the codes of networks of the inner space, ``(n, d)``, with all blocks in fp32."""
        rows = np.asarray(codes, dtype=np.int64)
        return np.concatenate([rows, np.zeros((len(rows), len(self.inner.terms)), dtype=np.int64)], axis=1)

    def graph(self, arch: Architecture) -> OpGraph:
        """Build the network, with a node for each conversion.

        Raises:
            SpaceError: As the inner space; or a node of its network belongs to none of its terms.
        """
        arch = self.canonical(arch)
        inner, precisions = self.float_architecture(arch), arch.values[self._columns :]
        graph, int8, known = self.inner.graph(inner), set[str](), set[str]()
        for term, precision in zip(self.inner.terms, precisions, strict=True):
            part = self.inner.term_graph(term, inner)
            names = {node.name for node in part.nodes} if part is not None else set()
            known |= names
            int8 |= names if precision == "int8" else set()
        strange = next((node.name for node in graph.nodes if node.name not in known), None)
        if strange is not None:
            raise SpaceError(
                f"space {self.inner.name}: the node {strange} is in none of its terms, so it has no precision; "
                "name the nodes of term_graph as those of graph"
            )
        return mixed_graph(graph, int8)

    def term_graph(self, term: Term, arch: Architecture) -> OpGraph | None:
        """Build one block of a network, with the conversions of what it reads; None where it is empty."""
        arch = self.canonical(arch)
        number = self._number[term.name]
        part = self.inner.term_graph(self.inner.terms[number], self.float_architecture(arch))
        if part is None or not part.nodes:
            return None
        precisions = [_DTYPES[str(value)] for value in arch.values[self._columns :]]
        own = precisions[number]
        return mixed_graph(
            part,
            {node.name for node in part.nodes} if own == "int8" else (),
            reads=precisions[number - 1] if number else "float32",
            writes=own if number + 1 < len(precisions) else "float32",
        )

    def ops(self) -> list[Op]:
        """Return every op of the inner networks in both precisions, and the conversions between their blocks."""
        ops: dict[Op, None] = {}
        for op in self.inner.ops():
            graph = OpGraph.single(op)
            for int8 in ((), ("op",)):
                ops.update(dict.fromkeys(mixed_graph(graph, int8).op_counts))
        return sorted(ops, key=lambda op: op.key)

    def input_shape(self, arch: Architecture) -> Shape:
        """Return the shape of the input tensor, without the batch axis."""
        return self.inner.input_shape(self.float_architecture(arch))

    def canonical_codes(self, codes: npt.ArrayLike) -> IntArray:
        """Return the inner space's canonical codes, with the precision of the block before for blocks left out."""
        rows = np.array(codes, dtype=np.int64).reshape(-1, len(self.choices))
        valid = self.inner.valid_codes(rows[:, : self._columns])
        rows[valid, : self._columns] = self.inner.canonical_codes(rows[valid, : self._columns])
        for number in range(len(self.inner.terms)):
            own = self._columns + number
            absent = self._absent(number, rows, valid)
            rows[absent, own] = rows[absent, own - 1] if number else 0
        return rows

    def valid_codes(self, codes: npt.ArrayLike) -> BoolArray:
        """Return which rows stand for networks: those whose inner codes do."""
        return self.inner.valid_codes(np.asarray(codes, dtype=np.int64)[:, : self._columns])

    def features(self, codes: npt.ArrayLike) -> FloatArray:
        """Return the inner space's features ``(n, f)``, then 1 for each int8 block and their share."""
        rows = self.canonical_codes(codes)
        int8 = rows[:, self._columns :].astype(np.float64)
        return np.concatenate(
            [self.inner.features(rows[:, : self._columns]), int8, int8.mean(axis=1, keepdims=True)], axis=1
        )

    def format(self, arch: Architecture) -> str:
        """Return the inner space's text, ``@``, and a letter for each block: ``f`` for fp32, ``i`` for int8."""
        arch = self.canonical(arch)
        letters = "".join(_LETTERS[str(value)] for value in arch.values[self._columns :])
        return f"{self.inner.format(self.float_architecture(arch))}{_MARK}{letters}"

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        inner, mark, letters = text.strip().rpartition(_MARK)
        named = {letter: precision for precision, letter in _LETTERS.items()}
        if not mark or len(letters) != len(self.inner.terms) or not set(letters) <= set(named):
            raise SpaceError(
                f"space mixed: cannot read {text!r}; it must end in {_MARK} and {len(self.inner.terms)} letters, f for "
                "an fp32 block and i for an int8 block"
            )
        return Architecture((*self.inner.parse(inner).values, *(named[letter] for letter in letters)))

    @cached_property
    def _number(self) -> dict[str, int]:
        return {term.name: number for number, term in enumerate(self.inner.terms)}

    def _absent(self, number: int, rows: IntArray, valid: BoolArray) -> BoolArray:
        """Return in which rows of codes ``(n, d)`` a block has no precision of its own, ``(n,)``.

        Whether it has is kept for each of its forms: in an array where these are few.
        """
        columns = list(self.inner.terms[number].choices)
        counts = [self.cardinalities[column] for column in columns]
        if math.prod(counts) > _MOST_FORMS:
            forms = [(number, *row) for row in rows[:, columns].tolist()]
            for i in (i for i in np.flatnonzero(valid) if forms[i] not in self._empty_of_many):
                self._empty_of_many[forms[i]] = self._is_empty(number, rows[i])
            return valid & np.array([self._empty_of_many.get(form, False) for form in forms], dtype=np.bool_)
        if number not in self._empty:
            self._empty[number] = np.full(math.prod(counts), _UNKNOWN, dtype=np.int64)
        known = self._empty[number]
        places = np.zeros(len(rows), dtype=np.int64)
        for column, count in zip(columns, counts, strict=True):
            places = places * count + rows[:, column]
        for i in np.flatnonzero(valid & (known[places] == _UNKNOWN)):
            if known[places[i]] == _UNKNOWN:
                known[places[i]] = int(self._is_empty(number, rows[i]))
        absent: BoolArray = valid & (known[places] == 1)
        return absent

    def _is_empty(self, number: int, row: IntArray) -> bool:
        """Return whether a block has no precision of its own, by a row of codes."""
        part = self.inner.term_graph(self.inner.terms[number], self.inner.decode(row[: self._columns]))
        return part is None or all(float_only(node.op) for node in part.nodes)
