"""`BenchmarkTable`: a published benchmark as a file of numbers, one architecture a row."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._bounded import UnpackedSizeError, read_unpacked
from hwnas._errors import EvaluatorError

ARCH_COLUMN = "arch"


class BenchmarkTable:
    """Rows of a ``.csv`` or ``.csv.gz`` file with a header and a column ``arch``.

    Args:
        path: where the table was read from, for messages.
        header: the column names, in the file's order.
        rows: one tuple of cells a row.
        lines: the line in the file of each row.

    Attributes:
        path: where the table was read from.
        archs: the cells of the column ``arch``, in the file's order.
    """

    def __init__(self, path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[int]) -> None:
        self.path = path
        self._header, self._rows, self._lines = list(header), rows, lines
        place = self._header.index(ARCH_COLUMN)
        self.archs = [row[place].strip() for row in rows]

    @classmethod
    def load(cls, path: str | Path) -> BenchmarkTable:
        """Read a table.

        Raises:
            EvaluatorError: the file is missing or unreadable, is no table, or has no column ``arch``.
        """
        path = Path(path)
        reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
        rows, lines = [], []
        try:
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                if row:
                    rows.append(tuple(row))
                    lines.append(reader.line_num)
        except csv.Error as error:
            raise EvaluatorError(f"table {path}, line {reader.line_num}: {error}; it is no readable csv file") from None
        _check_shape(path, header, rows, lines)
        return cls(path, header, rows, lines)

    @property
    def columns(self) -> list[str]:
        """Names of all columns but ``arch``, in the file's order."""
        return [name for name in self._header if name != ARCH_COLUMN]

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """The numbers of one column, ``(rows,)`` in the order of `archs`.

        Raises:
            EvaluatorError: there is no such column, or a cell is no finite number.
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

    def _number(self, cell: str, column: str, line: int) -> float:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise EvaluatorError(f"table {self.path}, line {line}: column {column!r} holds {cell!r}, not a number")
        return value


def _read_text(path: Path) -> str:
    try:
        return read_unpacked(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise EvaluatorError(f"table {path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise EvaluatorError(f"table {path}: the gzip file is damaged or none; copy it again") from None
    except UnicodeDecodeError:
        raise EvaluatorError(f"table {path}: not a text file; a table is a .csv or .csv.gz file") from None
    except UnpackedSizeError as error:
        raise EvaluatorError(f"table {path}: {error}; unpack it yourself if you trust it") from None
    except OSError as error:
        raise EvaluatorError(f"table {path}: cannot be read ({error.strerror})") from None


def _check_shape(path: Path, header: list[str], rows: list[tuple[str, ...]], lines: list[int]) -> None:
    if ARCH_COLUMN not in header:
        raise EvaluatorError(f"table {path}: no column {ARCH_COLUMN!r} in its first line")
    twice = [name for i, name in enumerate(header) if name in header[:i]]
    if twice:
        raise EvaluatorError(f"table {path}: the column {twice[0]!r} occurs twice")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise EvaluatorError(
                f"table {path}, line {line}: {len(row)} cells, not {len(header)}; is the file cut off?"
            )
    if not rows:
        raise EvaluatorError(f"table {path}: no rows")
