"""Evaluations that fail one after another: a search must neither end at the first one nor go on for ever."""

from __future__ import annotations

from typing import Any

from hwnas._errors import EvaluatorError
from hwnas._workers import Outcome

AT_THE_START, IN_A_ROW = 5, 20
"""So many failures alike end a search: while no trial has a value yet, and later."""
Record = dict[str, Any]


class Troubles:
    """Holds failures back while no trial has a value: a search that never worked leaves no failed trials behind.

    Args:
        worked: whether a trial has a value.
    """

    def __init__(self, worked: bool) -> None:
        self._worked = worked
        self._held: list[Record] = []
        self._row: list[Outcome] = []

    def passed(self, record: Record, outcome: Outcome) -> list[Record]:
        """The records that may be journalled now.

        Raises:
            EvaluatorError: too many evaluations in a row failed alike.
        """
        if outcome.trouble is None:
            self._row = []
            self._worked = self._worked or outcome.evaluation is not None
            return [*self.rest(), record]
        self._row = [one for one in self._row if one.trouble == outcome.trouble] + [outcome]
        if self._worked:
            if len(self._row) >= IN_A_ROW:
                raise EvaluatorError(
                    f"{len(self._row)} evaluations in a row failed alike, the last one: {outcome.failed}; the trials "
                    "before are safe: mend the cause and run the same command again"
                )
            return [record]
        self._held.append(record)
        if len(self._row) >= AT_THE_START:
            raise self._never_worked(outcome)
        return []

    def rest(self) -> list[Record]:
        """What is still held back."""
        held, self._held = self._held, []
        return held

    def end(self) -> list[Record]:
        """What is still held back at the end of a search.

        Raises:
            EvaluatorError: no evaluation has worked, and all failed alike.
        """
        if self._row and not self._worked and len(self._row) == len(self._held):
            raise self._never_worked(self._row[-1])
        return self.rest()

    def _never_worked(self, outcome: Outcome) -> EvaluatorError:
        return EvaluatorError(
            f"the first {len(self._row)} evaluations failed alike, the last one: {outcome.failed}; mend the cause and "
            "run the same command again"
        )
