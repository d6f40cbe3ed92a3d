"""Evaluations that fail one after another: a search must neither end at the first failure nor continue for ever."""

from __future__ import annotations

from hwnas._errors import EvaluatorError
from hwnas._runs._journal import TrialRecord
from hwnas._workers import Outcome

AT_THE_START, IN_A_ROW = 5, 20
"""So many failures of one kind end a search: while no trial has a value yet, and later."""


class Troubles:
    """Holds failures back while no trial has a value: a search that never worked leaves no failed trials behind.

    Args:
        worked: Whether a trial has a value.
    """

    def __init__(self, worked: bool) -> None:
        self._worked = worked
        self._held: list[TrialRecord] = []
        self._row: list[Outcome] = []

    def passed(self, record: TrialRecord, outcome: Outcome) -> list[TrialRecord]:
        """Return the records that may be journalled now.

        Raises:
            EvaluatorError: Too many evaluations in a row failed for the same reason.
        """
        if outcome.trouble is None:
            self._row = []
            self._worked = self._worked or outcome.evaluation is not None
            return [*self.rest(), record]
        self._row = [earlier for earlier in self._row if earlier.trouble == outcome.trouble] + [outcome]
        if self._worked:
            if len(self._row) >= IN_A_ROW:
                row = f"{len(self._row)} evaluations in a row failed for the same reason"
                raise EvaluatorError(
                    f"{row}, the last one: {outcome.failed}; the trials before are safe: fix the cause and run the "
                    "same command again"
                )
            return [record]
        self._held.append(record)
        if len(self._row) >= AT_THE_START:
            raise self._never_worked(outcome)
        return []

    def rest(self) -> list[TrialRecord]:
        """Return what is still held back."""
        held, self._held = self._held, []
        return held

    def end(self) -> list[TrialRecord]:
        """Return what is still held back at the end of a search.

        Raises:
            EvaluatorError: No evaluation has worked, and all failed for the same reason.
        """
        if self._row and not self._worked and len(self._row) == len(self._held):
            raise self._never_worked(self._row[-1])
        return self.rest()

    def _never_worked(self, outcome: Outcome) -> EvaluatorError:
        return EvaluatorError(
            f"the first {len(self._row)} evaluations failed for the same reason, the last one: {outcome.failed}; "
            "fix the cause and run the same command again"
        )
