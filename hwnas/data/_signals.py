"""`load_signals`: a data set of signals from one word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._groups import divide
from hwnas.data._guards import one_line, recogniser, require_arguments
from hwnas.data._kinds import TABLES, WAVS
from hwnas.data._names import shown
from hwnas.data._recognise import are_most, has_files
from hwnas.data._signal_csv import open_tables
from hwnas.data._signal_data import Choose, Cut, Reading, SignalData, SignalPart, SignalSource, Targets, moments
from hwnas.data._signal_wav import open_wavs
from hwnas.data._splits import Indices, subset, subset_of_any


@recogniser
def are_signals(spec: str) -> bool:
    """Return whether data are made for signals: a folder of WAV or CSV files, a CSV file, or an ``.npz`` of signals.

    A folder that holds images is one of images, unless these are few (`are_most`).
    """
    path = Path(spec)
    if spec and path.is_dir():
        return are_most(path, WAVS, TABLES)
    if not path.is_file():
        return False
    if path.suffix.lower() == ".npz":
        from hwnas.data._signal_npz import holds_signals

        return holds_signals(path)
    return path.suffix.lower() in TABLES.suffixes


def load_signals(
    spec: str | Path, reading: Reading | None = None, *, seed: int = 0, limit: int | None = None
) -> SignalData:
    """Load signals and split them; all windows of a recording, and all recordings of a group, stay in one part.

    Args:
        spec: A folder of WAV files, ``train/<class>/*.wav`` and optionally ``test/``, ``val/`` beside ``train/``, or
            ``<class>/*.wav``; a folder of CSV recordings in the same layout, or with a column of labels; one CSV file;
            or an ``.npz`` file with ``x_train`` ``(n, channels, length)``, ``y_train``, optionally ``x_test``,
            ``y_test``, ``x_val``, ``y_val``, and ``group_train``, ... for the group (subject) of each.
        reading: How they are read; None for what follows from them.
        seed: Decides the validation part where the source has none.
        limit: Use at most this many signals of each part.

    Raises:
        DataError: One line that names the file at fault and says what to do.
    """
    reading = reading or Reading()
    _require_options(reading)
    spec = require_arguments(spec, None, limit, seed)
    with one_line(spec, "signals", "--data-limit N, or a greater --hop for recordings that are cut into windows"):
        source = _open(spec, reading)
        chosen, test_chosen = divide(spec, source, reading.hold_out, seed)
        test_part = _test_part(source, chosen["test"], test_chosen, reading.split_by)
        if limit is not None and source.single and source.labels is not None:  # before anything is decoded
            chosen = {part: _some(spec, source.labels, indices, limit) for part, indices in chosen.items()}
        made = source.cut(chosen, _chooser(spec, limit, bool(source.classes)))
    return replace(_assembled(spec, source, made), test_part=test_part)


def _test_part(source: SignalSource, test: Indices, chosen: str, split_by: str | None) -> dict[str, object]:
    """Return what `SignalData.test_part` says."""
    if source.groups is None:
        return {"chosen": chosen}
    groups = sorted(set(source.groups[test].tolist()))
    return {"chosen": chosen, "groups_by": source.groups_by, "split_by": split_by, "groups": groups}


def _require_options(reading: Reading) -> None:
    for option, value in (("--rate", reading.rate), ("--window", reading.window), ("--hop", reading.hop)):
        if value is not None and value < 1:
            raise DataError(f"{option} must be 1 or more, got {value}")


def _open(spec: str, reading: Reading) -> SignalSource:
    path = Path(spec)
    if spec and path.is_dir():
        kinds = [kind for kind in (WAVS, TABLES) if has_files(path, kind)]
        if len(kinds) == 2 and reading.label_column is None:
            raise DataError(f"data {shown(spec)}: holds WAV and CSV files; keep one kind in the folder")
        if kinds == [WAVS]:
            if reading.hop is not None and reading.window is None:
                raise DataError("--hop is the distance of two windows; give --window, too")
            return open_wavs(path, reading)
        if kinds:
            return open_tables(path, reading)
    elif path.is_file() and path.suffix.lower() == ".npz":
        from hwnas.data._signal_npz import open_arrays

        return open_arrays(path, reading)
    elif path.is_file() and path.suffix.lower() in TABLES.suffixes:
        return open_tables(path, reading)
    what = "holds no signals" if path.exists() and spec else "does not exist"
    raise DataError(f"data {shown(spec)}: {what}; give a folder of WAV or CSV files, a CSV file or an .npz file")


def _some(spec: str, labels: Indices, indices: Indices, limit: int) -> Indices:
    return indices[subset(shown(spec), labels[indices], limit, needed=1, noun="recording")]


def _assembled(spec: str, source: SignalSource, made: Cut) -> SignalData:
    parts = dict(made.parts)
    _require_classes(spec, source.classes, parts)
    mean, std = moments(parts["train"].signals)
    return SignalData(
        spec,
        source.classes,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        mean=mean,
        std=std,
        loading=made.loading,
        notes=tuple(source.notes),
    )


def _chooser(spec: str, limit: int | None, classes: bool) -> Choose:
    """Return what chooses at most `limit` signals of a part, before they are copied."""

    def choose(targets: Targets) -> Indices:
        if classes:
            return subset(shown(spec), targets.astype(np.int64), limit, needed=1, noun="signal")
        return subset_of_any(len(targets), limit)

    return choose


def _require_classes(spec: str, classes: tuple[str, ...], parts: Mapping[str, SignalPart]) -> None:
    """Refuse a class that no signal of the train part has.

    Raises:
        DataError: Naming it.
    """
    if not classes:
        return
    missing = np.setdiff1d(np.arange(len(classes)), parts["train"].targets)
    if len(missing):
        name = classes[missing[0]]
        where = next((part for part in ("validation", "test") if (parts[part].targets == missing[0]).any()), "no")
        raise DataError(
            f"data {shown(spec)}: the class '{shown(name)}' is in the {where} part alone; add train recordings of it"
            if where != "no"
            else f"data {shown(spec)}: no window has mostly the class '{shown(name)}'; give a smaller --window"
        )
