"""The state of a study as plain JSON types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from search._arrays import IntArray
from search._errors import RestoreError
from search._trial import Trial

__all__ = ["SavedStudy", "read_state"]

_VERSION = 1


@dataclass(frozen=True)
class SavedStudy:
    """The state of a study, without its problems and its strategy.

    Attributes:
        seed: Seed of the study.
        initial: Size of the initial design.
        batch: Size of the later batches.
        trials: Finished trials.
        changes: Number of the first trial after each change of the problem, ascending.
        first: Codes ``(n, d)`` that the first batch began with; `None` for none.
    """

    seed: int
    initial: int
    batch: int
    trials: tuple[Trial, ...]
    changes: tuple[int, ...]
    first: IntArray | None

    def to_json(self, strategy: str) -> dict[str, Any]:
        """Write the state as plain JSON types.

        Args:
            strategy: Name of the study's strategy.
        """
        return {
            "version": _VERSION,
            "seed": self.seed,
            "initial": self.initial,
            "batch": self.batch,
            "strategy": strategy,
            **({"changes": list(self.changes)} if self.changes else {}),
            **({"first": self.first.tolist()} if self.first is not None else {}),
            "trials": [trial.to_json() for trial in self.trials],
        }


def read_state(state: Mapping[str, Any], strategy: str) -> SavedStudy:
    """Read what `SavedStudy.to_json` wrote.

    Args:
        state: The state as plain JSON types.
        strategy: Name of the strategy that the study is restored with.

    Raises:
        RestoreError: The state has another version or strategy, or cannot be read.
    """
    if state.get("version") != _VERSION:
        raise RestoreError(f"the state must have version {_VERSION}, got {state.get('version')}")
    if state.get("strategy") != strategy:
        raise RestoreError(f"the state must be from strategy {strategy!r}, got {state.get('strategy')!r}")
    try:
        seed, initial, batch = (int(state[key]) for key in ("seed", "initial", "batch"))
        trials = tuple(Trial.from_json(entry) for entry in state["trials"])
        changes = tuple(int(number) for number in state.get("changes", ()))
        first = np.array(state["first"], dtype=np.int64) if len(state.get("first", ())) else None
    except RestoreError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise RestoreError(f"cannot read the state: {error!r}") from error
    return SavedStudy(seed, initial, batch, trials, changes, first)
