"""The architectures that may be proposed: distinct canonical rows that keep every computed constraint."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from functools import cached_property

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray, row_keys, unique_rows
from search._domain import ENUMERATION_LIMIT
from search._estimate import EstimateModel
from search._problem import Problem

__all__ = ["Candidates"]

_DRAW_ROUNDS = 64
_DRAW_SIZE = 512
_WALKERS = 128
_WALK_STEPS = 200


class Candidates:
    """The admissible candidates of a problem.

    Small domains are enumerated once (with encodings and computed objectives cached); large ones are
    sampled. Nothing here depends on the trials, so one instance serves a whole study; `corrected` makes the one of a
    batch where the trials have corrected estimates.

    Args:
        problem: The problem.
        limit: Largest size of a domain that is enumerated.

    Attributes:
        problem: The problem.
        codes: Every admissible canonical row ``(n, d)`` of an enumerable domain; `None` for a large one.
    """

    def __init__(self, problem: Problem, limit: int = ENUMERATION_LIMIT) -> None:
        self.problem = problem
        self.codes: IntArray | None = None
        self._all: _Estimated | None = None
        if problem.domain.size <= limit:
            rows = problem.domain.enumerate(limit)
            self.codes = rows[problem.admissible(rows)]
            if problem.estimated:
                self._all = _Estimated(problem, rows)

    def corrected(self, models: Mapping[str, EstimateModel]) -> Candidates:
        """Make the candidates by corrected estimates; raw estimates and encodings are not computed again.

        Args:
            models: The correction of each estimated quantity, by name; none where nothing is estimated.
        """
        if not models:
            return self
        result = Candidates(self.problem.corrected(models), limit=0)
        if self._all is not None:
            self._all.select(result, models)
        return result

    def of_first_objective(self) -> Candidates:
        """Make the same candidates for the problem with the first objective alone."""
        result = Candidates(replace(self.problem, objectives=self.problem.objectives[:1]), limit=0)
        if self.codes is not None:
            result.codes = self.codes
            # Fill the caches of the cached properties.
            result.encodings, result.keys = self.encodings, self.keys
        return result

    @cached_property
    def encodings(self) -> FloatArray:
        """Encodings ``(n, f)`` of the enumerated rows."""
        return self.problem.domain.encode(self._enumerated())

    @cached_property
    def known_values(self) -> FloatArray:
        """Natural computed objective values ``(n, m)`` of the enumerated rows; NaN where expensive."""
        return self.problem.known_values(self._enumerated())

    @cached_property
    def keys(self) -> list[bytes]:
        """Row keys of the enumerated rows."""
        return row_keys(self._enumerated())

    def _enumerated(self) -> IntArray:
        if self.codes is None:
            raise RuntimeError("a large domain is not enumerated")
        return self.codes

    def unseen(self, seen: Set[bytes]) -> BoolArray:
        """Mark the enumerated rows ``(n,)`` that are not in `seen`."""
        return np.fromiter((key not in seen for key in self.keys), dtype=bool, count=len(self.keys))

    def admit(self, codes: IntArray, *seen: Set[bytes]) -> IntArray:
        """Select the rows that may be proposed.

        Args:
            codes: Rows ``(n, d)``, canonical or not.
            seen: Sets of keys of rows that may not be proposed.

        Returns:
            The canonical, distinct, admissible rows ``(k, d)`` that are in no set, in their order.
        """
        if len(codes) == 0:
            return codes
        rows = unique_rows(self.problem.domain.canonicalise(codes))
        new = (not any(key in keys for keys in seen) for key in row_keys(rows))
        fresh = np.fromiter(new, dtype=bool, count=len(rows))
        rows = rows[fresh]
        admitted: IntArray = rows[self.problem.admissible(rows)]
        return admitted

    def random(self, n: int, seen: Set[bytes], rng: np.random.Generator) -> IntArray:
        """Draw random unseen candidates.

        Enumerable domains are drawn from without replacement; large ones by rejection and, where
        hardly anything is admissible, by descending the constraint violation.

        Args:
            n: Number of candidates wanted.
            seen: Keys of rows that may not be proposed.
            rng: Random generator.

        Returns:
            Codes ``(k, d)``, k <= n; fewer than `n` where no more are left or could be reached.
        """
        if self.codes is not None:
            rows: IntArray = rng.permutation(np.flatnonzero(self.unseen(seen)))[:n]
            return self.codes[rows]
        candidates = self._reject(n, seen, rng)
        if len(candidates) < n:
            candidates = self._descend(n, candidates, seen, rng)
        return candidates[:n]

    def _reject(self, n: int, seen: Set[bytes], rng: np.random.Generator) -> IntArray:
        """Draw uniform rows and keep those that may be proposed."""
        domain = self.problem.domain
        candidates = np.empty((0, domain.dimension), dtype=np.int64)
        for _ in range(_DRAW_ROUNDS):
            drawn = domain.random(max(_DRAW_SIZE, n), rng)
            start, size = 0, 2 * n
            while start < len(drawn) and len(candidates) < n:  # usually the first rows are enough
                candidates = unique_rows(np.concatenate([candidates, self.admit(drawn[start : start + size], seen)]))
                start, size = start + size, 2 * size
            if len(candidates) >= n:
                break
        return candidates

    def _descend(self, n: int, candidates: IntArray, seen: Set[bytes], rng: np.random.Generator) -> IntArray:
        """Add candidates that are reached by mutations that never increase the constraint violation."""
        domain, problem = self.problem.domain, self.problem
        walkers = domain.canonicalise(domain.random(_WALKERS, rng))
        excess = problem.violation(walkers)
        for step in range(_WALK_STEPS):
            moved = domain.canonicalise(domain.mutate(walkers, rng, changes=1 + step % 2))
            new = problem.violation(moved)
            accept = new <= excess
            walkers = np.where(accept[:, None], moved, walkers)
            excess = np.where(accept, new, excess)
            reached = walkers[excess == 0.0]
            if len(reached):
                candidates = unique_rows(np.concatenate([candidates, self.admit(reached, seen)]))
            if len(candidates) >= n:
                break
        return candidates


class _Estimated:
    """The enumerated rows that a correction of estimates may make admissible, with what does not depend on it.

    Args:
        problem: The problem, with raw estimates.
        rows: Every canonical row ``(n, d)`` of the domain.
    """

    def __init__(self, problem: Problem, rows: IntArray) -> None:
        raw = {name: np.asarray(function(rows), dtype=np.float64) for name, function in problem.estimated.items()}
        possible = problem.admissible(rows, estimates=False)
        for values in raw.values():
            possible &= np.isfinite(values)
        self._problem, self._rows = problem, rows[possible]
        self._raw = {name: values[possible] for name, values in raw.items()}

    @cached_property
    def _encodings(self) -> FloatArray:
        return self._problem.domain.encode(self._rows)

    @cached_property
    def _known_values(self) -> FloatArray:
        return self._problem.known_values(self._rows)

    @cached_property
    def _keys(self) -> list[bytes]:
        return row_keys(self._rows)

    def select(self, candidates: Candidates, models: Mapping[str, EstimateModel]) -> None:
        """Fill in the rows that corrected estimates admit, and what is cached for enumerated ones.

        Args:
            candidates: Candidates of the corrected problem, without rows.
            models: The correction of each estimated quantity, by name.
        """
        values = {
            name: model(self._raw[name], self._encodings if model.learned else None) for name, model in models.items()
        }
        inside = np.ones(len(self._rows), dtype=bool)
        for corrected in values.values():
            inside &= np.isfinite(corrected)
        for objective in candidates.problem.objectives:
            if objective.estimated:
                inside &= objective.is_cost(values[objective.name])
        for constraint in candidates.problem.constraints:
            if constraint.estimated:
                inside &= values[constraint.name] <= constraint.upper
        known_values = self._known_values[inside]
        for i, objective in enumerate(candidates.problem.objectives):
            if objective.estimated:
                known_values[:, i] = values[objective.name][inside]
        candidates.codes = self._rows[inside]
        # Fill the caches of the cached properties.
        candidates.encodings, candidates.known_values = self._encodings[inside], known_values
        candidates.keys = [self._keys[place] for place in np.flatnonzero(inside)]
