"""The domain of a search: a finite product of categorical choices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search._arrays import FloatArray, IntArray, unique_rows
from search._errors import ProblemError

__all__ = ["ENUMERATION_LIMIT", "Domain"]

MOST_FEATURE = 1e100
"""Largest absolute value of a feature: squares of larger ones are no numbers."""

ENUMERATION_LIMIT = 50_000
"""Domains of at most this many code rows are enumerated; larger ones are sampled."""


@dataclass(frozen=True)
class Domain:
    """A finite product of categorical choices; an architecture is one row of integer codes.

    Attributes:
        cardinalities: Number of values of each choice; a code lies in ``range(cardinality)``.
        canonical: Maps rows ``(n, d)`` to the representatives ``(n, d)`` of their isomorphism classes,
            vectorised and idempotent. `None`: every row represents itself.
        features: Maps canonical rows ``(n, d)`` to real features ``(n, f)`` that describe the architecture
            better than its codes do (counts of operator paths, say). `None`: one-hot codes are used.

    Raises:
        ProblemError: There is no choice or a cardinality is not a positive integer.
    """

    cardinalities: tuple[int, ...]
    canonical: Callable[[IntArray], IntArray] | None = None
    features: Callable[[IntArray], FloatArray] | None = None

    def __post_init__(self) -> None:
        if not self.cardinalities:
            raise ProblemError("a domain needs at least one choice")
        if any(int(c) != c or c < 1 for c in self.cardinalities):
            raise ProblemError(f"cardinalities must be positive integers, got {self.cardinalities}")
        object.__setattr__(self, "cardinalities", tuple(int(c) for c in self.cardinalities))

    @property
    def dimension(self) -> int:
        """Number of choices, d."""
        return len(self.cardinalities)

    @property
    def size(self) -> int:
        """Number of code rows (isomorphic ones counted separately), an exact integer of any size."""
        return math.prod(self.cardinalities)

    def check(self, codes: IntArray) -> IntArray:
        """Check codes; return them as an integer array ``(n, d)``.

        Args:
            codes: Rows ``(n, d)``.

        Raises:
            ProblemError: The shape is wrong or a code is out of range.
        """
        rows = np.asarray(codes, dtype=np.int64)
        if rows.size == 0 and rows.ndim < 2:
            return rows.reshape(0, self.dimension)
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise ProblemError(f"codes must have shape (n, {self.dimension}), got {rows.shape}")
        if rows.size and (rows.min() < 0 or bool((rows >= np.asarray(self.cardinalities)).any())):
            row, choice = np.argwhere((rows < 0) | (rows >= np.asarray(self.cardinalities)))[0]
            last = self.cardinalities[choice] - 1
            raise ProblemError(f"codes of choice {choice} must be 0-{last}, got {rows[row, choice]} in row {row}")
        return rows

    def canonicalise(self, codes: IntArray) -> IntArray:
        """Map rows `codes` ``(n, d)`` to their canonical representatives ``(n, d)``."""
        if self.canonical is None or len(codes) == 0:
            return codes
        return np.asarray(self.canonical(codes), dtype=np.int64)

    def one_hot(self, codes: IntArray) -> FloatArray:
        """Encode `codes` ``(n, d)`` as one-hot rows ``(n, h)``, h the sum of the cardinalities."""
        offsets = np.concatenate([[0], np.cumsum(self.cardinalities)[:-1]])
        hot = np.zeros((len(codes), sum(self.cardinalities)))
        np.put_along_axis(hot, codes + offsets, 1.0, axis=1)
        return hot

    def encode(self, codes: IntArray) -> FloatArray:
        """Encode canonical rows ``(n, d)`` for models, ``(n, f)``: by `features`, or else one-hot."""
        if self.features is None:
            return self.one_hot(codes)
        if len(codes) == 0:
            some = self.canonicalise(np.zeros((1, self.dimension), dtype=np.int64))
            return np.asarray(self.features(some), dtype=np.float64)[:0]
        encodings = np.asarray(self.features(codes), dtype=np.float64)
        bad = ~(np.abs(encodings) <= MOST_FEATURE)
        if bad.any():
            row, column = (int(place[0]) for place in np.nonzero(bad))
            value = encodings[row, column]
            raise ProblemError(
                f"features must be numbers of at most {MOST_FEATURE:g}, got {value} in column {column} of codes "
                f"{codes[row].tolist()}"
            )
        return encodings

    def random(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw `n` uniformly random rows ``(n, d)``, with replacement and not canonicalised."""
        return rng.integers(0, np.asarray(self.cardinalities), size=(n, self.dimension), dtype=np.int64)

    def neighbours(self, code: IntArray) -> IntArray:
        """List all rows ``(k, d)`` that differ from the row `code` ``(d,)`` in exactly one choice."""
        rows = np.repeat(code[None, :], sum(self.cardinalities), axis=0)
        choice = np.repeat(np.arange(self.dimension), self.cardinalities)
        value = np.concatenate([np.arange(c) for c in self.cardinalities])
        rows[np.arange(len(rows)), choice] = value
        different: IntArray = rows[value != code[choice]]
        return different

    def mutate(self, codes: IntArray, rng: np.random.Generator, changes: int = 1) -> IntArray:
        """Copy rows and set up to `changes` choices of each to a different random value.

        Choices with a single value stay as they are.

        Args:
            codes: Rows ``(n, d)``.
            rng: Random generator.
            changes: Number of times that a choice is drawn and changed.

        Returns:
            The mutated rows ``(n, d)``.
        """
        mutated = codes.copy()
        free = np.flatnonzero(np.asarray(self.cardinalities) > 1)
        if len(free) == 0:
            return mutated
        cards = np.asarray(self.cardinalities)
        rows = np.arange(len(codes))
        for _ in range(changes):
            choice = rng.choice(free, size=len(codes))
            shift = rng.integers(1, cards[choice])
            mutated[rows, choice] = (mutated[rows, choice] + shift) % cards[choice]
        return mutated

    def enumerate(self, limit: int = ENUMERATION_LIMIT) -> IntArray:
        """List every distinct canonical row ``(n, d)``, in lexicographic order of first occurrence.

        Args:
            limit: Largest size of a domain that is enumerated.

        Raises:
            ProblemError: The domain has more than `limit` rows.
        """
        if self.size > limit:
            raise ProblemError(f"a domain of {self.size} rows is too large to enumerate; the limit is {limit}")
        free = [place for place, size in enumerate(self.cardinalities) if size > 1]  # numpy has 64 axes at most
        grid = np.zeros((self.size, self.dimension), dtype=np.int64)
        if free:
            sizes = tuple(self.cardinalities[place] for place in free)
            grid[:, free] = np.indices(sizes, dtype=np.int64).reshape(len(free), -1).T
        return unique_rows(self.canonicalise(grid))
