"""Scores of model files from a CSV file with the columns ``file`` and ``score``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from hwnas._common._text import printable
from hwnas._errors import HwnasError
from hwnas.evaluators._csv import number_of, read_rows

_FILE, _SCORE = "file", "score"


def read_scores(path: str | Path, files: Sequence[Path]) -> list[float]:
    """Read the score of each file; rows of other files are ignored.

    Args:
        path: CSV file (or ``.csv.gz``) with the columns ``file`` and ``score``; higher scores are better.
        files: The files. A row names one by its path as given, or by its name alone.

    Raises:
        HwnasError: The CSV file cannot be read, or a file has no score, several, or one that is no number.
    """
    table = read_rows(Path(path), _FILE)
    shown = printable(str(path))
    for column in (_FILE, _SCORE):
        if table.header.count(column) != 1:
            raise HwnasError(f"{shown} must have one column {column!r}, got {printable(', '.join(table.header))[:200]}")
    at_file, at_score = table.header.index(_FILE), table.header.index(_SCORE)
    scores: dict[str, tuple[float, int]] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        if len(row) <= max(at_file, at_score):
            raise HwnasError(f"{shown}, line {line}: the row has {len(row)} cells, the header {len(table.header)}")
        name = str(Path(row[at_file].strip()))  # as `files` are spelled: "./a.onnx" is "a.onnx"
        if name in scores:
            raise HwnasError(f"{shown}, line {line}: {printable(name)} has a score in line {scores[name][1]} already")
        scores[name] = _score(row[at_score], table.separator, f"{shown}, line {line}"), line
    return [_score_of(file, files, scores, shown) for file in files]


def _score(cell: str, separator: str, where: str) -> float:
    try:
        value = number_of(cell, separator)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HwnasError(f"{where}: the score must be a finite number, got {printable(cell)[:60]!r}")
    return value


def _score_of(file: Path, files: Sequence[Path], scores: dict[str, tuple[float, int]], shown: str) -> float:
    if str(file) in scores:
        return scores[str(file)][0]
    if file.name not in scores:
        raise HwnasError(f"{shown} has no score of {printable(str(file))}; add a row with its path or its name")
    same_name = {other.resolve() for other in files if other.name == file.name}
    if len(same_name) > 1:
        raise HwnasError(f"{shown} names {printable(file.name)}, but {len(same_name)} files have that name; give paths")
    return scores[file.name][0]
