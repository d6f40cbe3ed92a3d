"""Recordings in files, and how they become samples.

This file needs nothing of hwnas. A copy of it lies beside every deployed network that reads signals, so that recordings
are read, resampled and cut by the same lines in training and on the device. Needs Python 3.9 and numpy, and SciPy for
WAV files.
"""

from __future__ import annotations

import csv
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float32]]
WAV_SUFFIXES = frozenset({".wav", ".wave"})
CSV_SUFFIXES = frozenset({".csv"})
_DELIMITERS = ",;\t"


class RecordingError(ValueError):
    """What is wrong with a file and what to do, in one line that follows the file's name."""


def read_wav(path: Path) -> tuple[int, FloatArray]:
    """Return the sample rate in Hz and the samples ``(channels, n)`` of a WAV file.

    SciPy reads PCM of 8 to 64 bits and floats of 32 and 64 bits. Integers are scaled to -1..1; floats are kept.

    Raises:
        RecordingError: The file is damaged, empty or compressed, or holds values that are not finite.
    """
    try:
        from scipy.io import wavfile
    except ImportError:
        raise RecordingError("needs SciPy, which is missing; run: pip install scipy") from None
    try:
        with warnings.catch_warnings(record=True) as caught, open(path, "rb") as file:  # noqa: PTH123
            warnings.simplefilter("always")
            rate, stored = wavfile.read(file)
    except MemoryError:
        raise RecordingError("does not fit into memory; cut it into shorter files") from None
    except Exception as error:  # damaged bytes raise anything: ValueError, struct.error, ZeroDivisionError, ...
        raise RecordingError(f"cannot be read as a WAV file {_why_no_wav(path, error)}") from None
    if any("EOF" in str(warning.message) for warning in caught):
        raise RecordingError("cannot be read as a WAV file (it is cut off); repair or remove the file")
    if rate < 1:
        raise RecordingError(f"its header states a sample rate of {rate} Hz; repair or remove the file")
    if not stored.size:
        raise RecordingError("holds no samples; remove the file")
    values = stored.astype(np.float32)
    if stored.dtype == np.uint8:
        values = (values - 128) / 128
    elif stored.dtype.kind == "i":
        values /= 2.0 ** (8 * stored.dtype.itemsize - 1)
    if not np.isfinite(values).all():
        raise RecordingError("holds values that are not finite (NaN); repair or remove the file")
    return int(rate), np.ascontiguousarray(values.reshape(len(values), -1).T)


def _why_no_wav(path: Path, error: Exception) -> str:
    """Return why SciPy refused a file, and what to do."""
    if isinstance(error, OSError) and error.strerror:
        return f"({error.strerror}); repair or remove the file"
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            start = file.read(12)
    except OSError:
        start = b""
    if start[:4] not in (b"RIFF", b"RIFX", b"RF64") or start[8:] != b"WAVE":
        return "(it does not begin like one); convert it, or remove the file"
    return "(it is damaged, or compressed); convert it to PCM, or remove the file"


def group_in_name(name: str, split_by: str) -> str | None:
    """Return the group (speaker, subject) of a recording by the name of its file; None where the name states none.

    Args:
        name: The file's path within the data set, with ``/`` between its parts.
        split_by: A number N for the N-th part of the file's name between ``_``, or a regular expression, which is
            searched in the path; its first group, if it has one, is the recording's.

    Raises:
        re.error: It is not a regular expression.
    """
    if split_by.isdecimal():
        parts = parts_of_name(name)
        return parts[int(split_by) - 1] if 1 <= int(split_by) <= len(parts) else None
    match = re.search(split_by, name)
    return (match[1 if match.re.groups else 0] or None) if match else None


def parts_of_name(name: str) -> list[str]:
    """Return the parts between ``_`` of a file's name, without the folders before it and the suffix behind it."""
    return name.rpartition("/")[2].rpartition(".")[0].split("_")


def resampled(values: FloatArray, rate: int, wanted: int) -> FloatArray:
    """Return samples ``(channels, n)`` at another rate in Hz, by SciPy's polyphase filter."""
    if rate == wanted:
        return values
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    return np.asarray(resample_poly(values, wanted // common, rate // common, axis=1), dtype=np.float32)


def fitted(values: FloatArray, length: int) -> FloatArray:
    """Return the middle `length` samples of ``(..., n)``; shorter ones get zeros on both sides."""
    extra = values.shape[-1] - length
    if extra >= 0:
        return values[..., extra // 2 : extra // 2 + length]
    before = -extra // 2
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(before, -extra - before)])


def window_starts(count: int, window: int, hop: int) -> range:
    """Return the first sample of each whole window of `count` samples."""
    return range(0, count - window + 1, hop)


def windows(values: FloatArray, window: int, hop: int) -> FloatArray:
    """Return the whole windows ``(n, channels, window)`` of samples ``(channels, count)``; n may be 0.

    They are a view, not to be written to: windows that overlap share their samples.
    """
    if not window_starts(values.shape[1], window, hop):
        return np.empty((0, len(values), window), dtype=np.float32)
    every = np.lib.stride_tricks.sliding_window_view(values, window, axis=1)
    return every[:, ::hop].transpose(1, 0, 2)


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file.

    Attributes:
        names: Names of the columns: the header's, or ``"1"``, ``"2"``, ... where no header names them.
        lines: The rows as text, without the header and blank lines.
        numbers: Their line numbers in the file, from 1.
        delimiter: What separates cells.
        named: Whether the names are those of a header.
    """

    names: tuple[str, ...]
    lines: Sequence[str]
    numbers: Sequence[int]
    delimiter: str
    named: bool = True

    def index(self, column: str) -> int:
        """Return the place of a column that is given by its name, or by its number from 1.

        Raises:
            RecordingError: There is no such column.
        """
        if column in self.names:
            return self.names.index(column)
        if column.isdecimal() and 1 <= int(column) <= len(self.names):
            return int(column) - 1
        raise RecordingError(f"has no column {column!r:.60}; it has {', '.join(self.names)[:200]}")

    def floats(self, columns: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return numbers ``(rows, columns)``.

        Raises:
            RecordingError: Naming the line and the column of a cell that is not a finite number.
        """
        places = [self.index(column) for column in columns]
        try:
            values = np.loadtxt(
                self.lines, delimiter=self.delimiter, usecols=places, ndmin=2, comments=None, quotechar='"'
            )
        except (ValueError, IndexError):
            raise self._bad_cell(places) from None
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            where = f"line {self.numbers[row]}: column {self.names[places[column]]}"
            raise RecordingError(f"{where} is {values[row, column]}; fill in a finite number or remove the row")
        return values

    def texts(self, column: str) -> list[str]:
        """Return the cells of a column."""
        place = self.index(column)
        return [row[place].strip() for row in csv.reader(self.lines, delimiter=self.delimiter)]

    def _bad_cell(self, places: Sequence[int]) -> RecordingError:
        for number, row in zip(self.numbers, csv.reader(self.lines, delimiter=self.delimiter)):  # noqa: B905
            for place in places:
                cell = row[place].strip()
                if not is_number(cell):
                    what = f"is {cell!r:.40}, not a number" if cell else "is empty"
                    return RecordingError(
                        f"line {number}: column {self.names[place]} {what}; correct or remove the row"
                    )
        return RecordingError("holds cells that are not numbers; correct them")


def read_csv(path: Path) -> Table:
    """Read a CSV file: cells between commas, semicolons or tabs, with or without a header of names.

    The first line is a header if none of its cells is a number, or if three or more count from 0 or 1.

    Raises:
        RecordingError: It is empty, not UTF-8, or its lines have different numbers of cells.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # noqa: PTH123
            numbered = [(n, line) for n, line in enumerate(file.read().splitlines(), start=1) if line.strip()]
    except UnicodeDecodeError:
        raise RecordingError("is not UTF-8 text; save it as CSV in UTF-8") from None
    except OSError as error:
        raise RecordingError(f"cannot be read ({error.strerror}); repair or remove the file") from None
    if not numbered:
        raise RecordingError("holds no rows; remove the file")
    first = numbered[0][1]
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        widths = [len(row) for row in csv.reader((line for _, line in numbered), delimiter=delimiter)]
    except csv.Error as error:
        raise RecordingError(f"cannot be read as CSV ({error}); repair or remove the file") from None
    if len(widths) != len(numbered):
        raise RecordingError("has a quoted cell with a line break; write each row on one line")
    for (number, _), width in zip(numbered, widths):  # noqa: B905
        if width != widths[0]:
            raise RecordingError(f"line {number} has {width} cells, the first line {widths[0]}; correct or remove it")
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]
    named = not any(map(is_number, cells))
    names = tuple(cells) if named else tuple(str(i + 1) for i in range(len(cells)))
    if len(set(names)) < len(names):
        raise RecordingError("has two columns of one name in its header; rename one")
    header = named or _counts(cells)
    rows = numbered[header:]
    if not rows:
        raise RecordingError("holds a header but no rows; remove the file")
    return Table(names, [line for _, line in rows], [number for number, _ in rows], delimiter, named)


def is_number(text: str) -> bool:
    """Return whether a cell is a number; ``1_000`` is a name, although Python reads it as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _counts(cells: Sequence[str]) -> bool:
    """Return whether three or more cells count from 0 or 1: the header that pandas gives to columns without names."""
    return len(cells) > 2 and any(list(cells) == [str(i + start) for i in range(len(cells))] for start in (0, 1))


def load_samples(path: Path, loading: Mapping[str, Any]) -> FloatArray:
    """Return the samples ``(n, channels, length)`` of a file, not yet scaled, cut as those in training were.

    Args:
        path: A WAV or CSV file.
        loading: The item ``loading`` of a network's preprocessing: ``source``, ``channels``, ``rate``, ``length``,
            ``window``, ``hop`` and ``columns``.

    Raises:
        RecordingError: The file does not give such samples.
    """
    if loading["source"] == "wav":
        rate, values = read_wav(path)
        if len(values) != loading["channels"]:
            raise RecordingError(f"has {len(values)} channels, the network reads {loading['channels']}; convert it")
        values = resampled(values, rate, loading["rate"])
    elif path.suffix.lower() in WAV_SUFFIXES:
        names = ", ".join(loading["columns"])
        raise RecordingError(f"is a WAV file, but the network reads CSV files with the columns {names}; convert it")
    else:
        values = np.ascontiguousarray(read_csv(path).floats(loading["columns"]).T, dtype=np.float32)
    if loading["window"] is None:
        return fitted(values, loading["length"])[None]
    cut = windows(values, loading["window"], loading["hop"])
    if not len(cut):
        raise RecordingError(
            f"has {values.shape[1]} samples, too few for a window of {loading['window']}; give a longer one"
        )
    return cut


def scaled(samples: FloatArray, mean: Sequence[float], std: Sequence[float]) -> FloatArray:
    """Return samples ``(n, channels, length)`` as networks read them: less the mean, divided by the deviation."""
    middle, spread = (np.asarray(values, dtype=np.float32)[:, None] for values in (mean, std))
    return np.asarray((samples - middle) / spread, dtype=np.float32)
