"""One evaluation after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwnas._workers._base import Workers
from hwnas._workers._kit import PortableEvaluators
from hwnas._workers._messages import EvaluationJob, Outcome


class InlineWorkers(Workers):
    """No workers at all: an evaluation begins when its outcome is requested.

    Args:
        portable: Gives the evaluators.
    """

    def __init__(self, portable: PortableEvaluators) -> None:
        self._evaluators = portable.ready()

    def evaluate(self, jobs: Sequence[EvaluationJob]) -> Iterator[Outcome]:
        """Return the outcomes of a batch."""
        return map(self._evaluators.evaluate, jobs)

    def close(self) -> None:
        """Do nothing."""
