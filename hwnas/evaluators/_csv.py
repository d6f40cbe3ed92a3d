"""Text files of rows and columns, as spreadsheets and scripts write them: separators, decimal commas, units, gzip."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnas._common._bounded import UnpackedSizeError, read_unpacked
from hwnas._errors import EvaluatorError

MS_OF = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds of one unit."""
_UNIT = re.compile(r"(?:^|[\s_.\-(\[/])(s|ms|us|\u00b5s|\u03bcs|ns)[)\]]?\Z", re.IGNORECASE)
_SEPARATORS = (",", ";", "\t")
_FIRST_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)


@dataclass(frozen=True)
class Rows:
    """A file's rows.

    Attributes:
        header: Names of the columns.
        rows: Cells of each row.
        lines: Line in the file that each row ends on.
        separator: Between cells.
    """

    header: list[str]
    rows: list[tuple[str, ...]]
    lines: list[int]
    separator: str


def read_rows(path: Path, wanted: str) -> Rows:
    """Read a ``.csv`` or ``.csv.gz`` file whose cells are separated by commas, semicolons or tabs.

    Args:
        path: The file.
        wanted: A column that it has; the separator is the one that shows it in the first line.

    Raises:
        EvaluatorError: The file is missing, unreadable, no csv file or unpacks to far more than text does.
    """
    text, skipped = _read_text(path), 0
    stated = _FIRST_LINE.match(text)
    if stated is not None:  # a spreadsheet's own line
        text, skipped = text[stated.end() :], 1
    separator = _separator(text, wanted)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(tuple(row))
                lines.append(reader.line_num + skipped)
    except csv.Error as error:
        line = reader.line_num + skipped
        raise EvaluatorError(f"table {path}, line {line}: {error}; it is not a readable CSV file") from None
    return Rows(header, rows, lines, separator)


def number_of(cell: str, separator: str) -> float:
    """Return the number in a cell; ``1,5`` is one and a half where commas do not separate cells.

    Raises:
        ValueError: It is none.
    """
    text = cell.strip()
    if separator != "," and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if "_" in text:  # Python reads 1_000 as a number
        raise ValueError(cell)
    return float(text)


def unit_of(column: str) -> str | None:
    """Return the unit that a column's name ends with (``latency_us``, ``time (ms)``); None where it names none."""
    match = _UNIT.search(column.strip())
    return match.group(1).lower().replace("\u00b5", "u").replace("\u03bc", "u") if match else None


def latency_unit(column: str, unit: str | None = None) -> str:
    """Return the unit of a column of latencies: the one requested, else the one in its name, else milliseconds.

    Raises:
        EvaluatorError: The unit is unknown, or the column's name says another one.
    """
    named = unit_of(column)
    if unit is not None and unit not in MS_OF:
        raise EvaluatorError(f"cannot use unit {unit!r}; units are {', '.join(MS_OF)}")
    if unit is not None and named is not None and named != unit:
        raise EvaluatorError(
            f"column {column!r} is in {named} by its name, --unit says {unit}; leave --unit out or rename the column"
        )
    return unit or named or "ms"


def _separator(text: str, wanted: str) -> str:
    """Return the separator whose first line holds the column; a comma where none does."""
    first = text.partition("\n")[0].strip("\r")

    def cells(separator: str) -> Sequence[str]:
        """Return the cells of the first line."""
        try:
            return [cell.strip() for cell in next(csv.reader([first], delimiter=separator), [])]
        except csv.Error:
            return []

    fitting = [separator for separator in _SEPARATORS if wanted in cells(separator)]
    return max(fitting, key=lambda separator: len(cells(separator)), default=",")


def _read_text(path: Path) -> str:
    try:
        data = read_unpacked(path)
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # a spreadsheet's "Unicode text"
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise EvaluatorError(f"table {path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise EvaluatorError(f"table {path}: it is not a valid gzip file; copy it again") from None
    except UnicodeDecodeError:
        raise EvaluatorError(f"table {path}: not a text file; a table is a .csv or .csv.gz file") from None
    except UnpackedSizeError as error:
        raise EvaluatorError(f"table {path}: {error}; unpack it yourself if you trust it") from None
    except OSError as error:
        raise EvaluatorError(f"table {path}: cannot be read ({error.strerror})") from None
