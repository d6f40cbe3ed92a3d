"""One evaluation after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwnas._workers._base import Workers
from hwnas._workers._kit import Kit
from hwnas._workers._messages import Job, Outcome


class InlineWorkers(Workers):
    """No workers at all: an evaluation begins when its outcome is asked for.

    Args:
        kit: gives the evaluators.
    """

    def __init__(self, kit: Kit) -> None:
        self._bench = kit.bench()

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """The outcomes of a batch."""
        return map(self._bench.evaluate, jobs)

    def close(self) -> None:
        """Nothing to end."""
