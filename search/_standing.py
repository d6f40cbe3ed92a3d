"""The best value and the front of a study, updated trial by trial."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray
from search._pareto import nondominated
from search._study import Study

__all__ = ["Standing"]


class Standing:
    """The best value and the front of a study at any time.

    Each trial is read once; of earlier ones only the front is kept.

    Args:
        study: The study; its problem must not change while this is in use.

    Attributes:
        full: Number of full evaluations so far, including failed ones.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._settled = self.full = 0
        self._in_flight: frozenset[int] = frozenset()
        self._front = np.empty((0, len(study.problem.objectives)))
        self.update()

    def update(self) -> None:
        """Add the trials that finished since the last call."""
        problem = self._study.problem
        later = self._study.trials_from(self._settled)
        fresh = [trial for trial in later if trial.number not in self._in_flight]
        new = self._study.settled - self._settled
        self._settled, self._in_flight = self._study.settled, frozenset(trial.number for trial in later[new:])
        self.full += sum(not trial.low_fidelity for trial in fresh)
        good = [trial for trial in fresh if trial.ok and not trial.low_fidelity and problem.feasible(trial.values)]
        if not good:
            return
        names = [objective.name for objective in problem.objectives]
        values = np.array([[trial.values[name] for name in names] for trial in good])
        inside = problem.within(good)
        points = np.concatenate([self._front, values[inside]])
        self._front = points[nondominated(points * problem.signs)]

    @property
    def best(self) -> float | None:
        """The best value of the first objective; `None` before there is one."""
        sign = self._study.problem.objectives[0].sign
        return float(sign * (sign * self._front[:, 0]).max()) if len(self._front) else None

    @property
    def front(self) -> FloatArray:
        """Natural objective values ``(n, m)`` of the Pareto front within the constraints."""
        return self._front
