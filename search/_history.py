"""Finished trials as arrays that only grow. A context reads their beginning, so no array is copied for a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search._arrays import BoolArray, FloatArray, IntArray, row_keys
from search._problem import Problem
from search._trial import Trial

__all__ = ["Evidence", "History", "Keys"]

_ROOM = 64


class Keys(Set[bytes]):
    """The first `count` entries of an ordered collection of row keys.

    Args:
        places: Place of each key in the collection, in their order; it may grow later.
        count: Number of entries.
    """

    def __init__(self, places: dict[bytes, int], count: int) -> None:
        self._places, self._count = places, count

    def __contains__(self, key: object) -> bool:
        return self._places.get(key, self._count) < self._count  # type: ignore[call-overload, no-any-return]

    def __iter__(self) -> Iterator[bytes]:
        return islice(self._places, self._count)

    def __len__(self) -> int:
        return self._count

    @classmethod
    def _from_iterable(cls, keys: Iterator[bytes]) -> frozenset[bytes]:  # type: ignore[override]
        """Make the result of ``|`` and ``&``."""
        return frozenset(keys)


@dataclass(frozen=True)
class Evidence:
    """What full trials with values have told about q estimated quantities, whatever constraints they break.

    Attributes:
        estimates: Raw estimates ``(n, q)``.
        told: Told values ``(n, q)``; NaN where a trial's problem did not have the quantity.
        deviations: Standard deviations ``(n, q)`` of their errors; NaN where unknown.
        encodings: Model encodings ``(n, f)`` of the trials.
        successful: Row of each successful trial among the n.
    """

    estimates: FloatArray
    told: FloatArray
    deviations: FloatArray
    encodings: FloatArray
    successful: IntArray


class History:
    """Trials in the order of their numbers, with the arrays that contexts show.

    The time to add a batch does not depend on the number of earlier trials.

    Args:
        problem: The problem.
        screen: Whether trials may break a computed constraint, because they were proposed for another problem.

    Attributes:
        trials: Every finished trial.
        successful: The full trials with values that keep the constraints.
        outside: The full trials with values that break a computed constraint, or an estimated one by their told value.
        low_fidelity: The low-fidelity trials with values.
    """

    def __init__(self, problem: Problem, screen: bool) -> None:
        self._problem, self._screen = problem, screen
        self.trials: list[Trial] = []
        self.successful: list[Trial] = []
        self.outside: list[Trial] = []
        self.low_fidelity: list[Trial] = []
        self._codes = _Rows(np.empty((_ROOM, problem.domain.dimension), dtype=np.int64))
        self._values = _Rows(np.empty((_ROOM, len(problem.objectives)), dtype=np.float64))
        self._batches = _Rows(np.empty(_ROOM, dtype=np.int64))
        self._estimates: _Estimates | None = _Estimates(problem) if problem.estimated else None
        self._seen: dict[bytes, int] = {}
        self._seen_low_fidelity: dict[bytes, int] = {}

    def add(self, trials: Sequence[Trial], batches: Sequence[int]) -> None:
        """Add trials.

        Args:
            trials: Trials with greater numbers than those before.
            batches: Index of the batch of each trial.
        """
        self.trials += trials
        for places, low_fidelity in ((self._seen, False), (self._seen_low_fidelity, True)):
            rows = [trial.codes for trial in trials if trial.low_fidelity == low_fidelity]
            if rows:
                for key in row_keys(np.array(rows, dtype=np.int64)):
                    places.setdefault(key, len(places))
        self.low_fidelity += [trial for trial in trials if trial.low_fidelity and trial.ok]
        good = [i for i, t in enumerate(trials) if t.ok and not t.low_fidelity and self._problem.feasible(t.values)]
        if good and (self._screen or self._estimates is not None):
            inside = self._problem.within([trials[i] for i in good], exact=self._screen)
            self.outside += [trials[i] for i, keep in zip(good, inside, strict=True) if not keep]
            good = [i for i, keep in zip(good, inside, strict=True) if keep]
        if self._estimates is not None:
            full = [i for i, trial in enumerate(trials) if trial.ok and not trial.low_fidelity]
            self._estimates.add([trials[i] for i in full], np.isin(full, good))
        if not good:
            return
        names = [objective.name for objective in self._problem.objectives]
        self.successful += [trials[i] for i in good]
        self._codes.add(np.array([trials[i].codes for i in good], dtype=np.int64))
        self._values.add(np.array([[trials[i].values[name] for name in names] for i in good], dtype=np.float64))
        self._batches.add(np.array([batches[i] for i in good], dtype=np.int64))

    @property
    def codes(self) -> IntArray:
        """Canonical rows ``(n, d)`` of the successful trials."""
        return self._codes.view()

    @property
    def values(self) -> FloatArray:
        """Natural objective values ``(n, m)`` of the successful trials."""
        return self._values.view()

    @property
    def batches(self) -> IntArray:
        """Index of the batch of each successful trial ``(n,)``."""
        return self._batches.view()

    @property
    def evidence(self) -> Evidence | None:
        """What full trials have told about estimates so far; `None` where nothing is estimated."""
        return None if self._estimates is None else self._estimates.view()

    @property
    def seen(self) -> Keys:
        """Row keys of every full trial so far, including failed ones."""
        return Keys(self._seen, len(self._seen))

    @property
    def seen_low_fidelity(self) -> Keys:
        """Row keys of every low-fidelity trial so far, including failed ones."""
        return Keys(self._seen_low_fidelity, len(self._seen_low_fidelity))


class _Estimates:
    """The evidence, trial by trial.

    Args:
        problem: The problem, with raw estimates.
    """

    def __init__(self, problem: Problem) -> None:
        self._domain, self._functions = problem.domain, problem.estimated
        width = problem.domain.encode(np.empty((0, problem.domain.dimension), dtype=np.int64)).shape[1]
        self._raw = _Rows(np.empty((_ROOM, len(self._functions)), dtype=np.float64))
        self._told = _Rows(np.empty((_ROOM, len(self._functions)), dtype=np.float64))
        self._deviations = _Rows(np.empty((_ROOM, len(self._functions)), dtype=np.float64))
        self._encodings = _Rows(np.empty((_ROOM, width), dtype=np.float64))
        self._successful = _Rows(np.empty(_ROOM, dtype=np.int64))

    def add(self, trials: Sequence[Trial], successful: BoolArray) -> None:
        """Add full trials with values, and say which of them ``(n,)`` are successful."""
        if not trials:
            return
        self._successful.add(len(self._raw) + np.flatnonzero(successful))
        codes = np.array([trial.codes for trial in trials], dtype=np.int64)
        self._raw.add(np.stack([function(codes) for function in self._functions.values()], axis=1))
        self._told.add(self._table([trial.values for trial in trials]))
        self._deviations.add(self._table([trial.deviations for trial in trials]))
        self._encodings.add(self._domain.encode(codes))

    def _table(self, facts: Sequence[Mapping[str, float]]) -> FloatArray:
        """Arrange facts of trials by the name of the quantity ``(n, q)``, NaN where there is none."""
        return np.array([[by_name.get(name, np.nan) for name in self._functions] for by_name in facts])

    def view(self) -> Evidence:
        """Show the evidence so far."""
        columns = (self._raw, self._told, self._deviations, self._encodings, self._successful)
        return Evidence(*(rows.view() for rows in columns))


class _Rows:
    """An array with spare rows at its end. Rows that a view shows are never written again."""

    def __init__(self, room: NDArray[Any]) -> None:
        self._room, self._count = room, 0

    def __len__(self) -> int:
        return self._count

    def add(self, rows: NDArray[Any]) -> None:
        """Append rows; the array doubles where they do not fit."""
        count = self._count + len(rows)
        if count > len(self._room):
            room = np.empty((max(count, 2 * len(self._room)), *self._room.shape[1:]), dtype=self._room.dtype)
            room[: self._count] = self._room[: self._count]
            self._room = room
        self._room[self._count : count] = rows
        self._count = count

    def view(self) -> NDArray[Any]:
        """Show the rows so far, read-only."""
        rows = self._room[: self._count]
        rows.flags.writeable = False
        return rows
