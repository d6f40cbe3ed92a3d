"""`SignalData`: signals in three parts, with what scales and identifies them; and what a reader gives before that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data._splits import Indices

FloatArray = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64] | npt.NDArray[np.float32]
Choose = Callable[[Targets], Indices]
"""Returns the indices, in ascending order, of the signals of a part that are kept, from the targets of all of them."""
LEAST_SHARE = 1e-6
"""A channel that hardly changes is not blown up: its deviation counts as so much of its mean."""


@dataclass(frozen=True, eq=False)
class SignalPart:
    """One part of a data set of signals.

    Attributes:
        signals: ``(n, channels, length)`` as recorded; WAV files on -1..1.
        targets: ``(n,)``: int64 indices into the class names, or float32 values.
    """

    signals: FloatArray
    targets: Targets

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class SignalData:
    """A data set of signals, for classification or for the regression of one value.

    Attributes:
        name: The argument ``spec`` of `load_signals`.
        classes: Class names, in the order of the labels; empty for regression.
        train: What weights and scaling are fitted on.
        validation: What a search compares networks on.
        test: For the final report alone.
        mean: Mean of each channel of `train`.
        std: Standard deviation of each channel of `train`, at least a millionth of its mean; 1 for one that is 0.
        loading: How files became signals, as JSON-able data: ``source``, ``channels``, ``rate`` (Hz), ``length``,
            ``window`` and ``hop`` (samples), ``columns``; None where something does not apply.
        notes: Notes about what the source holds that was left out, or how it was divided.
        test_part: Which recordings the test part is, as JSON-able data. ``chosen`` says how: ``given`` by the source,
            ``drawn`` from the train part, or ``held out``. Where recordings have groups, ``groups`` names those of the
            test part and ``groups_by`` says what states them: the ``name`` of the file, a ``column`` (``split_by``
            holds the option) or an ``array``.
    """

    name: str
    classes: tuple[str, ...]
    train: SignalPart
    validation: SignalPart
    test: SignalPart
    mean: tuple[float, ...]
    std: tuple[float, ...]
    loading: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    test_part: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Channels of every signal."""
        return int(self.train.signals.shape[1])

    @property
    def length(self) -> int:
        """Samples of every channel."""
        return int(self.train.signals.shape[2])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of class names, signals, targets and their division into parts."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.train, self.validation, self.test):
            digest.update(repr((part.signals.shape, part.targets.dtype.kind)).encode())
            digest.update(part.signals.astype("<f4", copy=False).data)
            digest.update(part.targets.astype(f"<{part.targets.dtype.kind}8").data)
        return digest.hexdigest()


def moments(signals: FloatArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of ``(n, channels, length)``, summed in float64."""
    mean = signals.mean((0, 2), dtype=np.float64)
    square = np.zeros(signals.shape[1])
    for first in range(0, len(signals), 256):  # the centred signals are never held as a whole
        square += np.square(signals[first : first + 256] - mean[:, None]).sum((0, 2))
    std = np.sqrt(square / (len(signals) * signals.shape[2]))
    std = np.maximum(std, LEAST_SHARE * np.abs(mean))
    return tuple(map(float, mean)), tuple(float(value) or 1.0 for value in std)


def joined(pieces: Sequence[FloatArray], chosen: Indices) -> FloatArray:
    """Return some of the signals of several arrays ``(n, channels, length)`` that are counted one after another.

    Only these are copied: the arrays may be views of windows that overlap.

    Args:
        pieces: One or more arrays.
        chosen: Indices, in ascending order.
    """
    ends = np.cumsum([len(piece) for piece in pieces])
    bounds = np.searchsorted(chosen, [0, *ends])
    result = np.empty((len(chosen), *pieces[0].shape[1:]), dtype=np.float32)
    for i, piece in enumerate(pieces):
        first, last = bounds[i], bounds[i + 1]
        result[first:last] = piece[chosen[first:last] - (ends[i] - len(piece))]
    return result


def numbers_note(classes: Sequence[str], where: str) -> list[str]:
    """Return a note that says for what labels that are numbers are taken where nobody said it; none for words.

    Args:
        classes: Class names; empty where labels are taken for values.
        where: What holds the labels.
    """
    if not classes:
        return [f"{where} holds values: networks predict them (rmse); if they are classes, write them as whole numbers"]
    if all(name.lstrip("-").isdecimal() for name in classes):
        return [
            f"{where} holds whole numbers: they are taken for {len(classes)} classes; give --metric rmse if they are "
            "values, such as heart rates"
        ]
    return []


@dataclass(frozen=True)
class Reading:
    """What the user says of how signals are read; None where it follows from the data.

    Attributes:
        rate: Samples per second that WAV files are resampled to.
        length: Seconds of every WAV recording: longer ones are cut, shorter ones padded.
        window: Samples of a window; recordings are cut into windows.
        hop: Samples between the beginnings of two windows.
        split_by: What a recording's group follows from: a column, the number of a part of the file's name, or a
            regular expression.
        hold_out: Groups that are the test part.
        label_column: Column of labels of CSV files.
        columns: Columns of CSV files that are channels.
        regression: Whether labels are values (True) or classes (False).
    """

    rate: int | None = None
    length: float | None = None
    window: int | None = None
    hop: int | None = None
    split_by: str | None = None
    hold_out: Sequence[str] = ()
    label_column: str | None = None
    columns: Sequence[str] = ()
    regression: bool | None = None


@dataclass(frozen=True)
class Cut:
    """Signals of each part, and how they were made.

    Attributes:
        parts: Signals and targets of each part.
        loading: As in `SignalData`.
    """

    parts: Mapping[str, SignalPart]
    loading: Mapping[str, Any]


@dataclass(frozen=True)
class SignalSource:
    """What a reader knows of a data set before it is divided. Windows of one recording stay in one part.

    Attributes:
        parts: Part of the source that each recording is in, ``(n,)``.
        labels: Class of each recording ``(n,)``; None where it has several, or none.
        groups: Group of each recording ``(n,)``; None where each is its own.
        classes: Class names; empty for regression.
        cut: Makes signals of the recordings of each part, and keeps those that are chosen.
        single: Whether each recording is one signal.
        names: Path of each recording's file within the data set; empty where they have none.
        groups_by: What states the groups: ``name``, ``column`` or ``array``; read only where there are groups.
        notes: Notes about what is left out; `cut` may add some.
    """

    parts: npt.NDArray[np.str_]
    labels: Indices | None
    groups: npt.NDArray[np.str_] | None
    classes: tuple[str, ...]
    cut: Callable[[Mapping[str, Indices], Choose], Cut]
    single: bool
    names: Sequence[str] = ()
    groups_by: str = ""
    notes: list[str] = field(default_factory=list)
