"""CSV recordings cut into windows: ``train/<class>/*.csv``, or files with a column of labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError
from hwnas.data._csv_tables import TableRecording, read_tables
from hwnas.data._names import require_class_names, shown
from hwnas.data._recordings import is_number, window_starts, windows
from hwnas.data._signal_data import Choose, Cut, Reading, SignalPart, SignalSource, Targets, joined, numbers_note
from hwnas.data._splits import Indices

_USUAL_WINDOW = 128
Track = Targets
"""Class or value of each row of a recording ``(n,)``, or of all its rows ``(1,)``."""


def open_tables(root: Path, reading: Reading) -> SignalSource:
    """Return the recordings of a folder of CSV files, or of one file.

    Raises:
        DataError: See `hwnas.data.load_signals`.
    """
    for option, given in (("--rate", reading.rate), ("--length", reading.length)):
        if given is not None:
            raise DataError(f"data {shown(root)}: {option} is for WAV files, these are CSV files; give --window")
    notes: list[str] = []
    columns, recordings = read_tables(root, reading, notes)
    classes, tracks = _tracks(root, recordings, reading, folders=columns.label is None)
    if columns.label is not None and reading.regression is None:
        notes += numbers_note(classes, f"column {shown(columns.label)}")
    window, hop = _window(recordings, reading, notes)
    starts = [_starts(each, window, hop) for each in recordings]

    def cut(chosen: Mapping[str, Indices], choose: Choose) -> Cut:
        """Cut the recordings of all parts into windows."""
        parts = {}
        for part, indices in chosen.items():
            targets = np.concatenate([_targets(tracks[i], starts[i], window, len(classes)) for i in indices])
            kept = choose(targets)
            signals = joined([windows(recordings[i].values, window, hop) for i in indices], kept)
            parts[part] = SignalPart(signals, targets[kept])
        loading = {"source": "csv", "channels": len(columns.channels), "rate": None, "length": window}
        return Cut(parts, {**loading, "window": window, "hop": hop, "columns": list(columns.channels)})

    one_class = bool(classes) and all(len(np.unique(track)) == 1 for track in tracks)
    return SignalSource(
        parts=np.array([each.part for each in recordings]),
        labels=np.array([track[0] for track in tracks], dtype=np.int64) if one_class else None,
        groups=None if reading.split_by is None else np.array([each.group for each in recordings]),
        classes=classes,
        cut=cut,
        single=all(len(each) == 1 for each in starts),
        names=() if root.is_file() else [Path(each.path).relative_to(root).as_posix() for each in recordings],
        groups_by="name" if columns.group is None else "column",
        notes=notes,
    )


def _tracks(
    root: Path, recordings: Sequence[TableRecording], reading: Reading, *, folders: bool
) -> tuple[tuple[str, ...], list[Track]]:
    """Return the class names, and the class or value of each row; no names for values.

    Args:
        root: The data set.
        recordings: Its recordings.
        reading: What the user says of them.
        folders: Whether labels are names of folders: they are classes as they stand, also where they are numbers.
    """
    texts = sorted({label for each in recordings for label in each.labels})
    if not folders:
        missing = {text for text in texts if not text or (is_number(text) and not math.isfinite(float(text)))}
        _require_labels(recordings, missing)
    numbers = [_number(text) for text in texts]
    known = [number for number in numbers if number is not None]
    regression = reading.regression
    if regression is None:
        regression = not folders and len(known) == len(texts) and any(number != round(number) for number in known)
    if regression:
        return (), [_values(each) for each in recordings]
    names, code = _class_codes(texts, folders=folders)
    if len(names) < 2:
        raise DataError(f"data {shown(root)}: only one class, '{shown(names[0])}'; classification needs at least two")
    require_class_names(str(root), names)
    return tuple(names), [np.array([code[label] for label in each.labels], dtype=np.int64) for each in recordings]


def _require_labels(recordings: Sequence[TableRecording], missing: Collection[str]) -> None:
    """Refuse rows whose label is missing, as ``nan`` and empty cells are.

    Raises:
        DataError: Naming the first such row.
    """
    for each in recordings:
        row = next((row for row, text in enumerate(each.labels, start=1) if text in missing), None)
        if row is not None:
            text = each.labels[row - 1]
            raise DataError(
                f"data {shown(each.path)}: the label of row {row} is {f'{shown(text)!r:.40}' if text else 'empty'}; "
                "correct or remove the row"
            )


def _class_codes(texts: Sequence[str], *, folders: bool) -> tuple[list[str], dict[str, int]]:
    """Return class names in their order, and the index of the class that each text names."""
    numbers = [_number(text) for text in texts]
    if any(number is None or number != round(number) for number in numbers):
        return list(texts), {text: index for index, text in enumerate(texts)}
    whole = {text: _whole(text) for text in texts}
    if folders:
        names = sorted(texts, key=lambda text: (whole[text], text))  # 2 before 10
        return names, {text: index for index, text in enumerate(names)}
    codes = {number: index for index, number in enumerate(sorted(set(whole.values())))}  # 2.0 is 2
    return [str(number) for number in codes], {text: codes[number] for text, number in whole.items()}


def _values(recording: TableRecording) -> npt.NDArray[np.float32]:
    values = []
    for row, text in enumerate(recording.labels, start=1):
        number = _number(text)
        if number is None:
            raise DataError(
                f"data {shown(recording.path)}: the label of row {row}, {shown(text)!r:.40}, is no finite number, but "
                "the metric needs values; correct it, or give --metric accuracy"
            )
        values.append(number)
    return np.array(values, dtype=np.float32)


def _number(text: str) -> float | None:
    """Return the finite number that a text is; None where it is none."""
    return float(text) if is_number(text) and abs(float(text)) < 1e30 else None


def _whole(text: str) -> int:
    """Return the whole number that a text is, exactly where it has no point or exponent."""
    try:
        return int(text)
    except ValueError:
        return round(float(text))


def _window(recordings: Sequence[TableRecording], reading: Reading, notes: list[str]) -> tuple[int, int]:
    """Return samples of a window, and between the beginnings of two."""
    lengths = {each.values.shape[1] for each in recordings}
    window = reading.window
    if window is None and len(lengths) == 1 and len(recordings) > 1:
        window = lengths.pop()
    elif window is None:
        window = min(_USUAL_WINDOW, *lengths)
        notes.append(f"recordings are cut into windows of {window} samples; --window and --hop change that")
    return window, reading.hop or max(1, window // 2)


def _starts(recording: TableRecording, window: int, hop: int) -> range:
    rows = recording.values.shape[1]
    starts = window_starts(rows, window, hop)
    if not starts:
        which = f" in a run of {shown(recording.group)}" if recording.group else ""
        raise DataError(
            f"data {shown(recording.path)}: {rows} row{'s' * (rows != 1)}{which}, too few for a window of {window}; "
            "give a smaller --window or remove them"
        )
    return starts


def _targets(track: Track, starts: range, window: int, classes: int) -> Track:
    """Return the class that most rows of each window have, or the mean of their values."""
    if len(track) == 1:
        return track[[0] * len(starts)]
    if not classes:
        return np.array([track[start : start + window].mean(dtype=np.float64) for start in starts], dtype=np.float32)
    counts = (np.bincount(track[start : start + window].astype(np.int64), minlength=classes) for start in starts)
    return np.array([count.argmax() for count in counts], dtype=np.int64)
