"""`BenchmarkTable`: a published benchmark as a file of numbers, one architecture a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError, SpaceError
from hwnas.evaluators._csv import MS_OF, latency_unit, number_of, read_rows
from hwnas.spaces import Architecture, Space

ARCH_COLUMN = "arch"
_SHORTEST_MS, _LONGEST_MS = 1e-9, 1e9
"""No inference takes less than a clock tick, or twelve days."""
FloatArray = npt.NDArray[np.float64]


class BenchmarkTable:
    """Rows of a ``.csv`` or ``.csv.gz`` file with a header and a column ``arch``.

    Cells are separated by commas, semicolons or tabs; where it is not commas, numbers may have a decimal comma.

    Args:
        path: Where the table was read from, for error messages.
        header: The column names, in the file's order.
        rows: One tuple of cells a row.
        lines: The line in the file of each row.
        separator: Between cells.

    Attributes:
        path: Where the table was read from.
        archs: The cells of the column ``arch``, in the file's order.
    """

    def __init__(
        self,
        path: Path,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        lines: Sequence[int],
        separator: str = ",",
    ) -> None:
        self.path = path
        self._header, self._rows, self._lines, self._separator = list(header), rows, lines, separator
        place = self._header.index(ARCH_COLUMN)
        self.archs = [row[place].strip() for row in rows]

    @classmethod
    def load(cls, path: str | Path) -> BenchmarkTable:
        """Read a table.

        Raises:
            EvaluatorError: The file is missing or unreadable, is not a table, or has no column ``arch``.
        """
        path = Path(path)
        content = read_rows(path, ARCH_COLUMN)
        _check_shape(path, content.header, content.rows, content.lines)
        return cls(path, content.header, content.rows, content.lines, content.separator)

    @property
    def columns(self) -> list[str]:
        """Names of all columns but ``arch``, in the file's order."""
        return [name for name in self._header if name != ARCH_COLUMN]

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> FloatArray:
        """Return the numbers of one column, ``(rows,)`` in the order of `archs`.

        Raises:
            EvaluatorError: There is no such column, or a cell is not a finite number.
        """
        if name == ARCH_COLUMN or name not in self._header:
            raise EvaluatorError(
                f"table {self.path}: no column {name!r} of numbers; it has {', '.join(self.columns) or 'none'}"
            )
        place = self._header.index(name)
        values = np.empty(len(self._rows))
        for i, row in enumerate(self._rows):
            values[i] = self._number(row[place], name, self._lines[i])
        return values

    def latencies_ms(self, name: str, unit: str | None = None) -> FloatArray:
        """Return a column of latencies in milliseconds, ``(rows,)``.

        Args:
            name: The column's; ``latency_us`` is read in microseconds.
            unit: The column's; None for the one in its name, else milliseconds.

        Raises:
            EvaluatorError: As `column`; the unit is unknown or contradicts the name; a latency is not positive.
        """
        values, factor = self.column(name), MS_OF[latency_unit(name, unit)]
        if (values <= 0).any():
            worst = int(values.argmin())
            raise EvaluatorError(
                f"table {self.path}, row {worst + 1}: {name} of {self.archs[worst]} is {values[worst]:g}; "
                "latencies must be positive: correct or remove that row"
            )
        latencies = values * factor
        wrong = ~((latencies >= _SHORTEST_MS) & (latencies <= _LONGEST_MS))
        if wrong.any():
            row = int(wrong.argmax())
            raise EvaluatorError(
                f"table {self.path}, row {row + 1}: {name} of {self.archs[row]} would be {latencies[row]:g} ms; "
                "check its unit"
            )
        return latencies

    def _number(self, cell: str, column: str, line: int) -> float:
        try:
            value = number_of(cell, self._separator)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise EvaluatorError(f"table {self.path}, line {line}: column {column!r} holds {cell!r}, not a number")
        return value


class ArchitectureIndex:
    """Which rows of a table are of which network, whatever spelling of it they have.

    The rows that spell a network in its canonical form speak for it; where there are none, those of all its other
    spellings do. Several rows of one network are averaged.

    Args:
        table: The table.
        space: Reads its architectures; rows that are not networks of it (disconnected cells) are left out.

    Raises:
        EvaluatorError: No row is a network of the space.
    """

    def __init__(self, table: BenchmarkTable, space: Space) -> None:
        self._space = space
        self._groups, self._unread = _rows_by_network(table, space)
        if not self._groups:
            raise EvaluatorError(
                f"table {table.path}: none of its {len(table)} rows is a network of space {space.name}, such as row 1: "
                f"{table.archs[0]!r}"
            )

    def rows(self, arch: Architecture) -> Sequence[int]:
        """Return the rows of a network; none where the table does not hold it."""
        return self._groups.get(self._space.format(arch), ())

    def mean(self, values: FloatArray, arch: Architecture) -> float | None:
        """Return mean over a network's rows of one number a row ``(rows,)``; None where the table does not hold it."""
        rows = self.rows(arch)
        return float(values[rows[0]] if len(rows) == 1 else values[list(rows)].mean()) if rows else None

    def notes(self) -> list[str]:
        """Return notes: what was averaged and what was left out."""
        several = [len(rows) for rows in self._groups.values() if len(rows) > 1]
        notes = []
        if several:
            count = f"{min(several)}" if min(several) == max(several) else f"{min(several)} to {max(several)}"
            notes.append(f"{len(several)} networks have {count} rows each; their mean is used")
        if self._unread:
            notes.append(f"{self._unread} rows are not networks of space {self._space.name} and are left out")
        return notes


def _rows_by_network(table: BenchmarkTable, space: Space) -> tuple[Mapping[str, list[int]], int]:
    """Return rows by canonical text, and how many rows are not networks."""
    canonical: dict[str, list[int]] = {}
    others: dict[str, list[int]] = {}
    texts = _canonical_texts(space, list(dict.fromkeys(table.archs)))
    unread = 0
    for row, text in enumerate(table.archs):
        canonical_text = texts.get(text)
        if canonical_text is None:
            unread += 1
        else:
            (canonical if canonical_text == text else others).setdefault(canonical_text, []).append(row)
    return {**others, **canonical}, unread


def _canonical_texts(space: Space, texts: Sequence[str]) -> dict[str, str]:
    """Return how the space spells networks, by their texts; texts that are no networks are left out."""
    read: dict[str, Architecture] = {}
    codes = []
    for text in texts:
        with suppress(SpaceError):
            arch = space.parse(text)
            codes.append(space.encode(arch))
            read[text] = arch
    if not read:
        return {}
    valid = space.valid_codes(np.stack(codes))
    return {text: space.format(arch) for (text, arch), kept in zip(read.items(), valid, strict=True) if kept}


def _check_shape(path: Path, header: list[str], rows: list[tuple[str, ...]], lines: list[int]) -> None:
    if ARCH_COLUMN not in header:
        raise EvaluatorError(f"table {path}: no column {ARCH_COLUMN!r} in its first line")
    twice = [name for i, name in enumerate(header) if name in header[:i]]
    if twice:
        raise EvaluatorError(f"table {path}: two columns are called {twice[0]!r}; rename one")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise EvaluatorError(
                f"table {path}, line {line}: {len(row)} cells, the header has {len(header)}; is the file cut off?"
            )
    if not rows:
        raise EvaluatorError(f"table {path}: no rows")
