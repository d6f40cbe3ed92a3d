"""CSV recordings as they are read: which columns are what, and where a recording begins and ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._groups import group_of
from hwnas.data._kinds import TABLES
from hwnas.data._layout import find_layout, named_parts, walk
from hwnas.data._names import shown
from hwnas.data._recognise import folders_in
from hwnas.data._recordings import FloatArray, RecordingError, Table, group_in_name, read_csv
from hwnas.data._signal_classes import labelled_files
from hwnas.data._signal_data import Reading

LABEL = "label"
"""The column of labels where none is named."""
_TIMES = re.compile(r"time|timestamp|t|index|unnamed: \d+|")
"""Names of columns that are no channels unless they are named: they count samples. Pandas writes one without a name."""
_SAME_STEPS, _FEW_ROWS = 1e-3, 8
"""How much the steps of a column that counts rows differ, relative to their mean; rows that tell nothing yet."""


@dataclass(frozen=True)
class TableRecording:
    """Rows that follow each other.

    Attributes:
        path: The file.
        part: The source's part.
        group: What it belongs to; empty without groups.
        values: ``(channels, n)``.
        labels: Label of each row as text, ``n`` of them; one for all rows where the folder states it.
    """

    path: str
    part: str
    group: str
    values: FloatArray
    labels: Sequence[str]


@dataclass(frozen=True)
class Columns:
    """What the columns of all files are.

    Attributes:
        channels: Names of the channels.
        label: The column of labels; None where folders state them.
        group: The column of groups; None where there is none.
    """

    channels: tuple[str, ...]
    label: str | None
    group: str | None


def read_tables(root: Path, reading: Reading, notes: list[str]) -> tuple[Columns, list[TableRecording]]:
    """Read all CSV files of a folder, or one file.

    Args:
        root: The folder or file.
        reading: What the user says of them.
        notes: Receives notes about what is left out.

    Raises:
        DataError: A file cannot be read, or lacks a column.
    """
    named = _named_files(root, reading, notes)
    columns: Columns | None = None
    recordings = []
    for path, part, label in named:
        try:
            table = read_csv(Path(path))
            if columns is None:
                name = None if root.is_file() else _name_in(root, path)
                columns = _columns_of(name, table, reading, label, notes)
            recordings += _recordings(root, (path, part, label), table, columns, reading)
        except RecordingError as error:
            raise DataError(f"data {shown(path)}: {error}") from None
    if columns is None:
        raise DataError(f"data {shown(root)}: its parts hold no CSV files; put recordings into the train part")
    return columns, recordings


def _named_files(root: Path, reading: Reading, notes: list[str]) -> list[tuple[str, str, str | None]]:
    """Return path, part and class of each file; the class is None where a column holds the labels."""
    if root.is_file():
        return [(str(root), "train", None)]
    top = folders_in(root)
    folders = named_parts(top)
    folders = folders if "train" in folders else {"train": root}
    above = {root, *folders.values()}
    found = {part: walk(folder, TABLES).files for part, folder in folders.items()}
    in_classes = any(Path(path).parent not in above for files in found.values() for path in files)
    if reading.label_column is not None or not in_classes:
        return [(path, part, None) for part, files in found.items() for path in files]
    if reading.regression:
        raise DataError(
            f"data {shown(root)}: folders name classes, but the metric needs values; name their column: --label-column"
        )
    layout = find_layout(root, TABLES)
    files = labelled_files(root, layout)
    notes += layout.notes
    labels = [files.classes[label] for label in files.labels]
    return list(zip(files.paths, files.parts.tolist(), labels, strict=True))


def _name_in(root: Path, path: str) -> str:
    return path if root.is_file() else Path(path).relative_to(root).as_posix()


def _columns_of(
    name: str | None, table: Table, reading: Reading, folder_label: str | None, notes: list[str]
) -> Columns:
    """Return what the columns of the first file are; the other files must have the same channels.

    Args:
        name: Path of the file in the folder; None where there is no folder.
        table: The file.
        reading: What the user says of the columns.
        folder_label: Its class, if folders state it.
        notes: Receives notes about what is left out.
    """
    label = None
    if folder_label is None:
        try:
            label = table.names[table.index(reading.label_column or LABEL)]
        except RecordingError as error:
            raise RecordingError(f"{error}; name the column of labels: --label-column NAME") from None
    group = reading.split_by if reading.split_by in table.names else None
    if group is not None and name is not None and not table.named and group_in_name(name, group) is not None:
        group = None  # a part of files' names has precedence over the number of a column
    if reading.columns:
        return Columns(tuple(table.names[table.index(name)] for name in reading.columns), label, group)
    others = {label, group, LABEL if folder_label is not None else None}
    rest = [name for name in table.names if name not in others]
    channels = [name for name in rest if not _TIMES.fullmatch(name.lower())]
    left = [name or "the one without a name" for name in table.names if name not in (*channels, label, group)]
    if left:
        notes.append(f"columns that are no channels: {', '.join(left)}; --columns NAMES changes that")
    notes += [
        f"column {name} counts rows in equal steps; if it is no signal, name the others: --columns NAMES"
        for name in _that_count_rows(table, channels)
    ]
    if not channels:
        raise RecordingError("has no column left for a channel; name channels: --columns NAMES")
    return Columns(tuple(channels), label, group)


def _that_count_rows(table: Table, names: Sequence[str]) -> list[str]:
    """Return the columns that rise or fall in equal steps, as times and row numbers do."""
    if not names or len(table.lines) <= _FEW_ROWS:
        return []
    try:
        steps = np.diff(table.floats(names), axis=0)
    except RecordingError:  # it is refused where it is read
        return []
    mean = np.abs(steps.mean(axis=0))
    counting = (mean > 0) & (np.ptp(steps, axis=0) <= _SAME_STEPS * mean)
    return [name for name, found in zip(names, counting, strict=True) if found]


def _recordings(
    root: Path, named: tuple[str, str, str | None], table: Table, columns: Columns, reading: Reading
) -> list[TableRecording]:
    """Return the recordings of a file: one, or one for each run of rows of one group."""
    path, part, folder_label = named
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        values = np.ascontiguousarray(table.floats(columns.channels).T, dtype=np.float32)
    if not np.isfinite(values).all():
        raise RecordingError("holds numbers beyond 3e38; scale the columns")
    labels = [folder_label or ""] if columns.label is None else table.texts(columns.label)
    if columns.group is None:
        group = "" if reading.split_by is None else group_of(path, _name_in(root, path), reading.split_by)
        return [TableRecording(path, part, group, values, labels)]
    recordings, first = [], 0
    for group, rows in groupby(table.texts(columns.group)):
        last = first + sum(1 for _ in rows)
        own = labels if columns.label is None else labels[first:last]
        recordings.append(TableRecording(path, part, group, values[:, first:last], own))
        first = last
    return recordings
