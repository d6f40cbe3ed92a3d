"""Finished trials as arrays that only grow; a context looks at their beginning, so none is made anew each batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search._arrays import FloatArray, IntArray, row_keys
from search._problem import Problem
from search._trial import Trial

__all__ = ["History", "Keys"]

_ROOM = 64


class Keys(Set[bytes]):
    """The first `count` entries of an ordered collection of row keys: entries that come later are not in it."""

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
        """What ``|`` and ``&`` give."""
        return frozenset(keys)


class History:
    """Trials in the order of their numbers, with what a context says of them.

    Adding a batch costs what the batch costs, however many there were before.

    Args:
        problem: What is searched for.
        screen: Whether trials may break a known constraint, since they were proposed for another problem.

    Attributes:
        trials: Every finished trial.
        successful: The full ones with values that keep the constraints.
        outside: The full ones with values that break a known constraint.
        low_fidelity: The cheap ones with values.
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
        self._seen: dict[bytes, int] = {}
        self._seen_low_fidelity: dict[bytes, int] = {}

    def add(self, trials: Sequence[Trial], batches: Sequence[int]) -> None:
        """Takes in trials with greater numbers than those before, and the index of each one's batch."""
        self.trials += trials
        for places, cheap in ((self._seen, False), (self._seen_low_fidelity, True)):
            rows = [trial.codes for trial in trials if trial.low_fidelity == cheap]
            if rows:
                for key in row_keys(np.array(rows, dtype=np.int64)):
                    places.setdefault(key, len(places))
        self.low_fidelity += [trial for trial in trials if trial.low_fidelity and trial.ok]
        good = [i for i, t in enumerate(trials) if t.ok and not t.low_fidelity and self._problem.feasible(t.values)]
        if self._screen and good:
            inside = self._problem.admissible(np.array([trials[i].codes for i in good], dtype=np.int64))
            self.outside += [trials[i] for i, keep in zip(good, inside, strict=True) if not keep]
            good = [i for i, keep in zip(good, inside, strict=True) if keep]
        if not good:
            return
        names = [objective.name for objective in self._problem.objectives]
        self.successful += [trials[i] for i in good]
        self._codes.add(np.array([trials[i].codes for i in good], dtype=np.int64))
        self._values.add(np.array([[trials[i].values[name] for name in names] for i in good], dtype=np.float64))
        self._batches.add(np.array([batches[i] for i in good], dtype=np.int64))

    @property
    def codes(self) -> IntArray:
        """Canonical rows (n, d) of the successful trials."""
        return self._codes.view()

    @property
    def values(self) -> FloatArray:
        """Their natural objective values (n, m)."""
        return self._values.view()

    @property
    def batches(self) -> IntArray:
        """Index of the batch of each of them (n,)."""
        return self._batches.view()

    @property
    def seen(self) -> Keys:
        """Row keys of every full trial so far, failed ones too."""
        return Keys(self._seen, len(self._seen))

    @property
    def seen_low_fidelity(self) -> Keys:
        """Row keys of every cheap trial so far, failed ones too."""
        return Keys(self._seen_low_fidelity, len(self._seen_low_fidelity))


class _Rows:
    """An array with room at its end; a view of it is never written to again."""

    def __init__(self, room: NDArray[Any]) -> None:
        self._room, self._count = room, 0

    def add(self, rows: NDArray[Any]) -> None:
        count = self._count + len(rows)
        if count > len(self._room):
            room = np.empty((max(count, 2 * len(self._room)), *self._room.shape[1:]), dtype=self._room.dtype)
            room[: self._count] = self._room[: self._count]
            self._room = room
        self._room[self._count : count] = rows
        self._count = count

    def view(self) -> NDArray[Any]:
        found = self._room[: self._count]
        found.flags.writeable = False
        return found
