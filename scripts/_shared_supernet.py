"""A supernet that several searches share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwnas import SearchResult
from hwnas.evaluators import SupernetEvaluator


class SharedSupernet(SupernetEvaluator):
    """A supernet that searches share: it is trained in a folder of its own, by whoever comes first.

    Args:
        folder: Holds its checkpoint.
        more: See `SupernetEvaluator`.
        options: See `SupernetEvaluator`.
    """

    def __init__(self, folder: Path, *more: Any, **options: Any) -> None:
        super().__init__(*more, **options)
        self._folder = folder

    def prepare(self, workdir: Path, progress: Any = None) -> None:
        """Train it, or load it where it is trained already."""
        super().prepare(self._folder, progress)


def best_or_nearest(result: SearchResult) -> dict[str, Any]:
    """Return the best network that a search within budgets delivered; where none keeps them, the fastest."""
    return result.pick("fastest", allow_over_budget=True) if result.over_budget else result.pick("best")
