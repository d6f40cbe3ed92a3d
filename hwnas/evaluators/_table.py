"""Evaluator `table:FILE`: accuracies (and other numbers) that somebody has published."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError, NoAccuracyError
from hwnas.evaluators._base import Evaluation, Evaluator
from hwnas.evaluators._benchmark import ArchitectureIndex, BenchmarkTable
from hwnas.spaces import Architecture, Space
from hwnas.training import StepProgress


class TableEvaluator(Evaluator):
    """Looks accuracies up in a `BenchmarkTable`.

    Args:
        space: its networks are looked up in the column ``arch``, whatever spelling of them stands there.
        path: the table.
        accuracy_column: the column of accuracies; None where only one column has ``acc`` in its name. Numbers
            above 1 anywhere in it make it percent.
        known: columns that come with each evaluation (latencies, say).

    Raises:
        EvaluatorError: the table or a column cannot be used.
    """

    name = "table"

    def __init__(
        self, space: Space, path: str | Path, *, accuracy_column: str | None = None, known: tuple[str, ...] = ()
    ) -> None:
        self.space, self.table = space, BenchmarkTable.load(path)
        self.accuracy_column = accuracy_column or self._only_accuracy()
        self._accuracies = self._fractions()
        self._known = {name: self.table.column(name) for name in known}
        self.index = ArchitectureIndex(self.table, space)
        self._digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()

    @property
    def settings(self) -> dict[str, object]:
        """Columns and the SHA-256 of the file."""
        return {
            "evaluator": self.name,
            "accuracy_column": self.accuracy_column,
            "known": sorted(self._known),
            "data": self._digest,
        }

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:
        """Say what of the table is averaged or left out."""
        notes = self.index.notes()
        if notes and progress is not None:
            progress(1, 1, f"table {self.table.path}: {'; '.join(notes)}")

    def evaluate(self, arch: Architecture) -> Evaluation:
        """The published accuracy: of several rows of the network their mean."""
        began = time.perf_counter()
        accuracy = self.index.mean(self._accuracies, arch)
        if accuracy is None:
            raise NoAccuracyError(f"table {self.table.path}: no row for the architecture {self.space.format(arch)}")
        known = {name: self.index.mean(values, arch) for name, values in self._known.items()}
        return Evaluation(
            accuracy, time.perf_counter() - began, {name: value for name, value in known.items() if value is not None}
        )

    def _only_accuracy(self) -> str:
        found = [name for name in self.table.columns if "acc" in name.lower()]
        if len(found) != 1:
            columns = ", ".join(found or self.table.columns)
            raise EvaluatorError(f"table {self.table.path}: choose the column of accuracies: {columns}")
        return found[0]

    def _fractions(self) -> npt.NDArray[np.float64]:
        values = self.table.column(self.accuracy_column)
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 100:
            raise EvaluatorError(
                f"table {self.table.path}: column {self.accuracy_column!r} runs from {low:g} to {high:g}; "
                "accuracies are fractions or percent"
            )
        return values / 100.0 if high > 1 else values
