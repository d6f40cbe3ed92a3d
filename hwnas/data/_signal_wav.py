"""Folders of WAV files: ``train/<class>/*.wav``, at one sample rate and cut to one length or into windows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._groups import group_of
from hwnas.data._kinds import WAVS
from hwnas.data._layout import find_layout
from hwnas.data._names import shown
from hwnas.data._recordings import RecordingError, fitted, read_wav, resampled, windows
from hwnas.data._signal_classes import labelled_files
from hwnas.data._signal_data import Choose, Cut, FloatArray, Reading, SignalPart, SignalSource, joined
from hwnas.data._splits import Indices

_QUANTILE = 0.95
"""The length by default: only one recording in twenty loses samples."""
_STEP_S = 0.01
"""It is rounded up to hundredths of a second."""


def open_wavs(root: Path, reading: Reading) -> SignalSource:
    """Return the recordings of a folder; they are read when they are cut.

    Raises:
        DataError: See `hwnas.data.load_signals`.
    """
    _require_options(root, reading)
    layout = find_layout(root, WAVS)
    files = labelled_files(root, layout)
    groups, split_by = None, reading.split_by
    names = [Path(path).relative_to(root).as_posix() for path in files.paths]
    if split_by is not None:
        groups = np.array([group_of(path, name, split_by) for path, name in zip(files.paths, names, strict=True)])
    notes = layout.notes

    def cut(chosen: Mapping[str, Indices], choose: Choose) -> Cut:
        """Read the files of all parts."""
        recordings = {part: [_read(files.paths[i]) for i in indices] for part, indices in chosen.items()}
        return _cut(recordings, {p: files.labels[i] for p, i in chosen.items()}, reading, choose, notes)

    return SignalSource(
        parts=files.parts,
        labels=files.labels,
        groups=groups,
        classes=files.classes,
        cut=cut,
        single=reading.window is None,
        names=names,
        groups_by="name",
        notes=notes,
    )


@dataclass(frozen=True)
class _Recording:
    """A WAV file: its path, samples per second and samples ``(channels, n)``."""

    path: str
    rate: int
    values: FloatArray


def _require_options(root: Path, reading: Reading) -> None:
    for option, given in (("--label-column", reading.label_column), ("--columns", reading.columns)):
        if given:
            raise DataError(f"data {shown(root)}: {option} is for CSV files, this folder holds WAV files; leave it out")
    if reading.regression:
        raise DataError(
            f"data {shown(root)}: folders name classes, but the metric needs values; give an .npz or CSV files, or "
            "--metric accuracy"
        )
    if reading.length is not None and reading.window is not None:
        raise DataError("--length keeps each recording whole, --window cuts it into pieces; leave one out")
    if reading.length is not None and not 0 < reading.length <= 3600:
        raise DataError(f"--length must be more than 0 and at most 3600 seconds, got {reading.length:g}")


def _read(path: str) -> _Recording:
    try:
        return _Recording(path, *read_wav(Path(path)))
    except RecordingError as error:
        raise DataError(f"data {shown(path)}: {error}") from None


def _cut(
    recordings: dict[str, list[_Recording]],
    labels: Mapping[str, Indices],
    reading: Reading,
    choose: Choose,
    notes: list[str],
) -> Cut:
    """Bring recordings to one rate and one length; `recordings` is emptied on the way."""
    _require_one_width([each for part in recordings.values() for each in part])
    train = recordings["train"]
    channels = len(train[0].values)
    rate = reading.rate or Counter(each.rate for each in train).most_common(1)[0][0]
    changed = sum(each.rate != rate for part in recordings.values() for each in part)
    if changed:
        notes.append(f"{WAVS.count(changed)} of another sample rate resampled to {rate} Hz")
    length = reading.window or _length(train, rate, reading)
    if reading.window is None:
        notes += _changed_lengths([each for part in recordings.values() for each in part], rate, length)
    hop = None if reading.window is None else reading.hop or max(1, reading.window // 2)
    parts = {}
    for part in list(recordings):
        pieces = [_pieces(each, rate, length, hop) for each in recordings.pop(part)]
        targets = np.repeat(labels[part], [len(piece) for piece in pieces])
        kept = choose(targets)
        parts[part] = SignalPart(joined(pieces, kept), targets[kept])
    loading = {"source": "wav", "channels": channels, "rate": rate, "length": length}
    return Cut(parts, {**loading, "window": reading.window, "hop": hop, "columns": None})


def _require_one_width(recordings: list[_Recording]) -> None:
    first = recordings[0]
    for each in recordings:
        if len(each.values) != len(first.values):
            here, there = (f"{len(r.values)} channel{'s' * (len(r.values) != 1)}" for r in (each, first))
            raise DataError(
                f"data {shown(each.path)}: has {here}, but {shown(first.path)} has {there}; convert all to one number "
                "of channels"
            )


def _length(train: list[_Recording], rate: int, reading: Reading) -> int:
    """Return the length in samples that all recordings are brought to."""
    if reading.length is not None:
        length = round(reading.length * rate)
        if length < 1:
            raise DataError(f"--length {reading.length:g} is less than a sample at {rate} Hz; give a longer one")
        return length
    seconds = np.array([each.values.shape[1] / each.rate for each in train])
    if np.ptp(seconds) == 0:
        return math.ceil(float(seconds[0]) * rate - 1e-6)
    return round(math.ceil(float(np.quantile(seconds, _QUANTILE)) / _STEP_S) * _STEP_S * rate)


def _changed_lengths(recordings: list[_Recording], rate: int, length: int) -> list[str]:
    """Return a note if recordings of any part are cut or filled up to one length in samples."""
    seconds = [each.values.shape[1] / each.rate for each in recordings]
    samples = [math.ceil(duration * rate - 1e-6) for duration in seconds]
    longer, shorter = sum(n > length for n in samples), sum(n < length for n in samples)
    if not longer and not shorter:
        return []
    return [
        f"recordings of {min(seconds):.3g} to {max(seconds):.3g} s are brought to {length / rate:.3g} s: the middle of "
        f"{longer} longer {'one' if longer == 1 else 'ones'}, zeros around {shorter} shorter "
        f"{'one' if shorter == 1 else 'ones'}; --length SECONDS changes that"
    ]


def _pieces(recording: _Recording, rate: int, length: int, hop: int | None) -> FloatArray:
    """Return the signals of a recording, ``(n, channels, length)``."""
    values = resampled(recording.values, recording.rate, rate)
    if hop is None:
        return fitted(values, length)[None]
    pieces = windows(values, length, hop)
    if not len(pieces):
        raise DataError(
            f"data {shown(recording.path)}: has {values.shape[1]} samples at {rate} Hz, too few for a window of "
            f"{length}; give a smaller --window or remove the file"
        )
    return pieces
