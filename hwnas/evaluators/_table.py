"""Evaluator `table:FILE`: values of a metric (and other numbers) that somebody has published."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError, NoValueError
from hwnas.evaluators._base import Evaluation, Evaluator
from hwnas.evaluators._benchmark import ArchitectureIndex, BenchmarkTable
from hwnas.spaces import Architecture, Space
from hwnas.tasks import DEFAULT_METRIC, PERCENT, Metric
from hwnas.training import StepProgress

_LETTERS = 3
"""So many first letters of the metric's name tell its column."""


class TableEvaluator(Evaluator):
    """Looks values up in a `BenchmarkTable`.

    Args:
        space: Its networks are looked up in the column ``arch``, whatever spelling of them stands there.
        path: The table.
        column: The column of values; None where only one column's name holds the first letters of the metric's. Of a
            metric in percent, numbers above 1 anywhere in it make it percent.
        extra_columns: Columns that come with each evaluation (latencies, say).
        metric: What the values are.

    Raises:
        EvaluatorError: The table or a column cannot be used.
    """

    name = "table"

    def __init__(
        self,
        space: Space,
        path: str | Path,
        *,
        column: str | None = None,
        extra_columns: tuple[str, ...] = (),
        metric: Metric = DEFAULT_METRIC,
    ) -> None:
        self.space, self.table, self.metric = space, BenchmarkTable.load(path), metric
        self.column = column or self._only_column()
        self._values = self._read()
        self._extra = {name: self.table.column(name) for name in extra_columns}
        self.index = ArchitectureIndex(self.table, space)
        self._digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()

    @property
    def settings(self) -> dict[str, object]:
        """Columns and the SHA-256 of the file."""
        return {
            "evaluator": self.name,
            "accuracy_column": self.column,  # names of the run format
            "known": sorted(self._extra),
            "data": self._digest,
        }

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:
        """Say what of the table is averaged or left out."""
        notes = self.index.notes()
        if notes and progress is not None:
            progress(1, 1, f"table {self.table.path}: {'; '.join(notes)}")

    def evaluate(self, arch: Architecture) -> Evaluation:
        """Return the published value: of several rows of the network their mean."""
        began = time.perf_counter()
        value = self.index.mean(self._values, arch)
        if value is None:
            raise NoValueError(f"table {self.table.path}: no row for the architecture {self.space.format(arch)}")
        columns = {name: self.index.mean(values, arch) for name, values in self._extra.items()}
        return Evaluation(
            value, time.perf_counter() - began, {name: mean for name, mean in columns.items() if mean is not None}
        )

    def _only_column(self) -> str:
        sign = self.metric.name[:_LETTERS].lower()
        named = [name for name in self.table.columns if sign in name.lower()]
        if len(named) != 1:
            columns = ", ".join(named or self.table.columns)
            raise EvaluatorError(f"table {self.table.path}: choose the column of {self.metric.name}: {columns}")
        return named[0]

    def _read(self) -> npt.NDArray[np.float64]:
        values = self.table.column(self.column)
        low, high = float(values.min()), float(values.max())
        scale = self.metric.scale if high > 1 else 1.0
        if not (self.metric.holds(low / scale) and self.metric.holds(high / scale)):
            hint = "fractions or percent" if self.metric.unit == PERCENT else self.metric.label
            raise EvaluatorError(
                f"table {self.table.path}: column {self.column!r} runs from {low:g} to {high:g}; values must be {hint}"
            )
        return values / scale
