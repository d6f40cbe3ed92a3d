"""What goes to a worker and what comes back."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from hwnas.evaluators import Evaluation
from hwnas.spaces import Architecture


@dataclass(frozen=True)
class EvaluationJob:
    """One evaluation.

    Attributes:
        number: Number of the trial; no other job of the batch has it.
        arch: The architecture.
        cheap: Whether the low-fidelity evaluator evaluates it.
        text: The architecture in words.
    """

    number: int
    arch: Architecture
    cheap: bool = False
    text: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of an evaluation.

    Attributes:
        evaluation: None where it failed.
        failed: Why; None where it did not.
        seconds: Duration of the evaluation where it was made.
        trouble: What kind of error it was; None where it succeeded, or where the architecture has no value.
        files: What it left for the delivery where the run's folder is out of reach, by names relative to it.
    """

    evaluation: Evaluation | None
    failed: str | None
    seconds: float
    trouble: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What a worker sends back: an outcome, or an error that ends the search."""

    outcome: Outcome | None
    error: Exception | None = None

    def take(self) -> Outcome:
        """Return the outcome.

        Raises:
            Exception: The error.
        """
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


def sendable(error: Exception) -> Exception:
    """Return an error that can be pickled, with its traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error may fail to be pickled, or to be made again, in any way
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
