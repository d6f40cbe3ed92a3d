"""`Space`: named finite choices, and what an assignment of them (an architecture) stands for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from inspect import getattr_static
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas._errors import SpaceError
from hwnas.spaces._task import Task, usual_defaults
from latency_tables import Op, OpGraph, Shape, content_hash
from profilers import executed_graph

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Value = int | float | str
Segments = Mapping[str, Mapping[int, tuple[tuple[int, int], ...]]]
"""Parts of shared weights: by ``"node.parameter"`` and axis the pieces that are used, each a start and a length."""
_FILLINGS = 16
"""Random values of a term's other choices that are tried to find a network with a form."""
MOST_NETWORKS = 20_000
"""Networks of a space that are priced one by one, and forms of a term whose ops are listed."""


@dataclass(frozen=True)
class Choice:
    """One decision of a space.

    Attributes:
        name: Unique in the space, such as ``"stage2.block1.kernel"``.
        values: What can be chosen, at least one, all different, also as text.

    Raises:
        SpaceError: The values are not like that.
    """

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.values or len({str(value) for value in self.values}) != len(self.values):
            raise SpaceError(f"choice {self.name}: needs one or more values, all different, got {self.values}")


@dataclass(frozen=True)
class Architecture:
    """One assignment of all choices of a space, in the order of the choices; hashable.

    Attributes:
        values: The chosen values.
    """

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Term:
    """A part of every network of a space that depends on few choices.

    The networks of a space are chains of its terms, so costs that add up (latency, MACs, parameters) are sums over
    terms and peak memory is their maximum; both become table look-ups.

    Attributes:
        name: What the part is called.
        choices: Indices of the choices that decide what the part looks like.
        tensors: Tensors that pass from the part before; each is an input of the part's graph, and those that pass on to
            the next part are its outputs, in the same order as there.
    """

    name: str
    choices: tuple[int, ...]
    tensors: int = 1


class Space(ABC):
    """A search space. Codes are the indices of the chosen values, one column a choice.

    A subclass needs a `name`, `choices` and `graph`. The rest follows from these in small spaces where every
    architecture is another network; a space of many networks says what its `terms` are.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        """Let `graph` and `term_graph` of every space return executed graphs, whatever their authors return."""
        super().__init_subclass__(**options)
        for name in ("graph", "term_graph"):
            method = getattr_static(cls, name)
            if method is not vars(Space)[name] and getattr(method, _EXECUTED, None) is not method:
                setattr(cls, name, _executed(method))

    terms_want_canonical_codes: ClassVar[bool] = True
    """False where `term_graph` gives the same part for all codes of a network, canonical or not."""

    sharing: ClassVar[int] = 1
    """Version of how the networks share weights (`weight_segments`)."""

    @property
    def settings(self) -> dict[str, object]:
        """JSON-able keyword arguments of the constructor that build the same space again; none by default."""
        return {}

    @property
    def sharing_identity(self) -> str:
        """What shared weights belong to: a checkpoint is good for one such text alone."""
        version = () if self.sharing == 1 else (f"sharing {self.sharing}",)
        return repr((self.name, sorted(self.settings.items()), *version))

    @property
    @abstractmethod
    def choices(self) -> tuple[Choice, ...]:
        """The choices, in the order of the code columns."""

    @abstractmethod
    def graph(self, arch: Architecture) -> OpGraph:
        """Build the whole network, from its input to its outputs.

        What a subclass returns may hold identities, dead code, and ops that runtimes execute as one; whoever calls
        this gets the network as it is executed (`profilers.executed_graph`).

        Raises:
            SpaceError: The architecture is not of this space, or no network (a disconnected cell).
        """

    @property
    def terms(self) -> tuple[Term, ...]:
        """The parts that the networks are chains of, from input to output; by default the whole network.

        Raises:
            SpaceError: There are too many networks for that.
        """
        if math.prod(self.cardinalities) > MOST_NETWORKS:
            raise SpaceError(
                f"space {self.name}: {math.prod(self.cardinalities)} architectures cannot be priced one by one, only "
                f"{MOST_NETWORKS} can; state it as a choice graph, or override terms and term_graph"
            )
        return (Term("network", tuple(range(len(self.choices)))),)

    def term_graph(self, term: Term, arch: Architecture) -> OpGraph | None:
        """Build the part `term` of the network of `arch`; None where that part is empty.

        Only the choices that the term names may matter. Without terms of its own, the whole network.
        """
        if type(self).terms is not Space.terms:
            raise SpaceError(f"space {self.name}: it overrides terms; override term_graph too")
        return self.graph(arch)

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return settings that follow from a task; by default ``classes`` and ``image_channels`` if it has them.

        Args:
            task: What the networks are for.
            chosen: Settings that are chosen already.
        """
        return usual_defaults(cls, task)

    def input_shape(self, arch: Architecture) -> Shape:
        """Return ``(channels, height, width)`` of the images that the network of `arch` reads."""
        return self.graph(arch).input_shape

    def op_counts(self, arch: Architecture) -> Counter[Op]:
        """Return how often each op occurs in the network of `arch`.

        Raises:
            SpaceError: As `graph`.
        """
        return self.graph(arch).op_counts

    def ops(self) -> list[Op]:
        """Return every distinct op of every network: what a profile measures. By default those of all terms."""
        return list(self._ops_of_terms)

    def canonical_codes(self, codes: npt.ArrayLike) -> IntArray:
        """Map codes ``(n, d)`` to those of each row's representative: isomorphic networks share one.

        By default every row stands for itself.
        """
        return np.asarray(codes, dtype=np.int64)

    def format(self, arch: Architecture) -> str:
        """Print an architecture as one word, without spaces; equal text means the same canonical network.

        By default ``name=value`` of the choices, with commas between.

        Raises:
            SpaceError: Such a text could not be read back.
        """
        values = self.canonical(arch).values
        text = ",".join(f"{choice.name}={value}" for choice, value in zip(self.choices, values, strict=True))
        if len(text.split()) != 1 or text.count(",") + 1 != len(values):
            raise SpaceError(
                f"space {self.name}: cannot write an architecture as {text!r}; names of choices and values must not "
                "contain commas or spaces"
            )
        return text

    def parse(self, text: str) -> Architecture:
        """Read an architecture back from its text.

        Raises:
            SpaceError: The text is none of this space.
        """
        parts = text.strip().split(",")
        known = [{f"{choice.name}={value}": value for value in choice.values} for choice in self.choices]
        if len(parts) != len(known) or any(part not in values for part, values in zip(parts, known, strict=True)):
            like = ",".join(next(iter(values)) for values in known)
            raise SpaceError(f"space {self.name}: cannot read {text!r}; it must look like {like}")
        return Architecture(tuple(values[part] for part, values in zip(parts, known, strict=True)))

    @property
    def fingerprint(self) -> str:
        """Return a hash of choices and ops, which identifies a space beyond its name and settings."""
        choices = [[choice.name, list(choice.values)] for choice in self.choices]
        return content_hash([choices, sorted(op.key for op in self.ops())])

    def rows_of_forms(self, term: Term) -> tuple[IntArray, BoolArray]:
        """Return for each form of a term codes ``(forms, d)`` of a network that holds it, and whether it is valid.

        A form is one combination of values of the term's choices, the last choice fastest. The other choices have their
        first values where these make a network, else values of some network; a form without any is not valid.
        """
        counts = [self.cardinalities[choice] for choice in term.choices]
        own = np.indices(counts).reshape(len(counts), math.prod(counts)).T
        rows = np.zeros((math.prod(counts), len(self.choices)), dtype=np.int64)
        rows[:, list(term.choices)] = own
        valid = np.asarray(self.valid_codes(rows))
        rng = np.random.default_rng(0)
        for _ in range(_FILLINGS):
            if valid.all():
                break
            others = np.tile(rng.integers(0, self.cardinalities), (len(rows), 1))
            others[:, list(term.choices)] = own
            better = self.valid_codes(others) & ~valid
            rows[better] = others[better]
            valid = valid | better
        return rows, valid

    @cached_property
    def _ops_of_terms(self) -> tuple[Op, ...]:
        ops: dict[Op, None] = {}
        for term in self.terms:
            if math.prod(self.cardinalities[c] for c in term.choices) > MOST_NETWORKS:
                raise SpaceError(
                    f"space {self.name}: term {term.name} has too many forms to list its ops; override ops"
                )
            rows, valid = self.rows_of_forms(term)
            rows = self.canonical_codes(rows[valid])
            for row in np.unique(rows, axis=0):
                graph = self.term_graph(term, self.decode(row))
                ops.update(dict.fromkeys(graph.op_counts if graph is not None else ()))
        return tuple(sorted(ops, key=lambda op: op.key))

    @property
    def size(self) -> int:
        """Number of distinct architectures."""
        return math.prod(self.cardinalities)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each choice."""
        return tuple(len(choice.values) for choice in self.choices)

    def valid_codes(self, codes: npt.ArrayLike) -> BoolArray:
        """Return which rows of codes ``(n, d)`` stand for networks; by default every row."""
        return np.ones(len(np.asarray(codes)), dtype=np.bool_)

    def features(self, codes: npt.ArrayLike) -> FloatArray:
        """Return numbers ``(n, f)`` that describe canonical networks to an accuracy model; one-hot codes by default."""
        return self.one_hot(self.canonical_codes(codes))

    def encode(self, arch: Architecture) -> IntArray:
        """Return codes ``(d,)`` of an architecture.

        Raises:
            SpaceError: A value is none of its choice's.
        """
        if len(arch.values) != len(self.choices):
            raise SpaceError(
                f"space {self.name}: an architecture must have {len(self.choices)} values, got {len(arch.values)}"
            )
        codes = []
        for choice, value in zip(self.choices, arch.values, strict=True):
            if value not in choice.values:
                known = ", ".join(map(str, choice.values))
                raise SpaceError(f"space {self.name}: {choice.name} must be one of {known}, got {value}")
            codes.append(choice.values.index(value))
        return np.array(codes, dtype=np.int64)

    def decode(self, codes: Sequence[int] | IntArray) -> Architecture:
        """Return the architecture with these codes ``(d,)``.

        Raises:
            SpaceError: A code is out of range.
        """
        row = [int(code) for code in codes]
        counts = self.cardinalities
        if len(row) != len(counts) or any(not 0 <= c < n for c, n in zip(row, counts, strict=True)):
            raise SpaceError(f"space {self.name}: codes {row} are out of range")
        return Architecture(tuple(choice.values[c] for choice, c in zip(self.choices, row, strict=True)))

    def canonical(self, arch: Architecture) -> Architecture:
        """Return the representative of all architectures with the same network."""
        return self.decode(self.canonical_codes(self.encode(arch)[None])[0])

    def one_hot(self, codes: npt.ArrayLike) -> FloatArray:
        """Return codes ``(n, d)`` as 0/1 indicators ``(n, sum of cardinalities)``."""
        rows = np.asarray(codes, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(self.cardinalities)[:-1]])
        hot = np.zeros((len(rows), sum(self.cardinalities)))
        np.put_along_axis(hot, rows + offsets, 1.0, axis=1)
        return hot

    def weight_segments(self, arch: Architecture) -> Segments:
        """Return which parts of shared weights a network uses where these are not the leading ones; none by default.

        A weight whose channels come from several tensors (a concatenation) is used piece by piece: the leading part of
        each tensor's share.
        """
        return {}

    def sample(self, count: int, rng: np.random.Generator) -> list[Architecture]:
        """Draw `count` canonical architectures, choice by choice uniformly (repeats possible)."""
        archs: list[Architecture] = []
        while len(archs) < count:
            codes = rng.integers(0, self.cardinalities, size=(2 * (count - len(archs)) + 8, len(self.choices)))
            rows = self.canonical_codes(codes[self.valid_codes(codes)])
            archs += [self.decode(row) for row in rows[: count - len(archs)]]
        return archs

    def draw(self, rng: np.random.Generator) -> Iterator[tuple[str, OpGraph]]:
        """Draw networks at random without end, each with its text: what makes a space a `profilers.Workload`."""
        while True:
            (arch,) = self.sample(1, rng)
            yield self.format(arch), self.graph(arch)

    def neighbours(self, arch: Architecture) -> Iterator[Architecture]:
        """Yield every other canonical network one choice away, each once."""
        codes = self.encode(arch)
        rows = []
        for column, count in enumerate(self.cardinalities):
            for code in range(count):
                if code != codes[column]:
                    row = codes.copy()
                    row[column] = code
                    rows.append(row)
        moved = np.array(rows, dtype=np.int64).reshape(-1, len(codes))
        here = tuple(self.canonical_codes(codes[None])[0].tolist())
        canonical = self.canonical_codes(moved[self.valid_codes(moved)])
        for neighbour in dict.fromkeys(tuple(r.tolist()) for r in canonical):
            if neighbour != here:
                yield self.decode(neighbour)


_EXECUTED = "_executed"
"""Attribute of wrapped methods that names themselves; what `functools.wraps` copies elsewhere names another one."""


def _executed(method: Any) -> Callable[..., OpGraph | None]:
    """Return a method that gives the executed form of what `method`, as it stands in a class, returns."""

    @wraps(method)
    def wrapped(self: Space, *args: Any, **options: Any) -> OpGraph | None:
        """Call the method; return the executed form of its graph."""
        graph = method.__get__(self, type(self))(*args, **options)
        return None if graph is None else executed_graph(graph)

    setattr(wrapped, _EXECUTED, wrapped)
    return wrapped


_MOST_OF = {
    "bands": 1024,
    "cells": 100,
    "channels": 4096,
    "classes": 1_000_000,
    "filters": 4096,
    "frames": 100_000,
    "image_channels": 1024,
    "image_size": 4096,
    "input_channels": 1024,
    "length": 1_000_000,
    "sample_rate": 1_000_000,
}
"""Largest settings of spaces: larger networks are unrealistic, and their graphs would fill the memory."""


def require_positive(space: str, values: Mapping[str, int]) -> None:
    """Raise `SpaceError` for the first value that is not a positive integer, or larger than any network has."""
    for name, value in values.items():
        if type(value) is not int or value < 1:
            raise SpaceError(f"space {space}: {name} must be a positive integer, got {_short(value)}")
        if value > _MOST_OF.get(name, value):
            raise SpaceError(f"space {space}: {name} must be at most {_MOST_OF[name]:,}, got {_short(value)}")


def _short(value: object) -> str:
    """Return a value for people, cut short."""
    text = f"{float(min(value, 10**300)):.3g}" if type(value) is int and value > 10**15 else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
