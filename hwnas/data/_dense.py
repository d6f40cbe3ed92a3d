"""`DenseData`: samples whose targets are maps, a class or values for every pixel or step, in three parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError
from hwnas.data._names import shown
from hwnas.data._splits import missing_parts, split_any

Array = npt.NDArray[Any]
Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""
IGNORED = 255
"""The class index of pixels that count neither in the loss nor in the metric."""
MOST_CLASSES = 255
_LEAST_SHARE = 1e-9
"""A channel whose deviation is a smaller share of its mean is constant but for rounding."""


@dataclass(frozen=True, eq=False)
class DenseSplit:
    """One part of a data set.

    Attributes:
        inputs: ``(N, C, ...)``, uint8 pixels or float32.
        targets: Class indices ``(N, ...)`` uint8, `IGNORED` where there is none; or values ``(N, C_out, ...)`` float32.
    """

    inputs: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def scale(self) -> float:
        """What inputs are divided by before they are normalised: 255 for pixels, 1 for other numbers."""
        return 255.0 if self.inputs.dtype == np.uint8 else 1.0


@dataclass(frozen=True, eq=False)
class DenseData:
    """A data set for segmentation (targets are class indices) or regression (targets are values).

    Attributes:
        name: What ``--data`` was given.
        classes: Class names by their index; empty for regression.
        train: What weights and normalisation are fitted on.
        validation: What a search compares networks on.
        test: For the final report alone.
        input_moments: Of `train`, pixels scaled to 0-1.
        target_moments: Of the values of `train`; empty for segmentation.
        notes: Notes about what was left out.
    """

    name: str
    classes: tuple[str, ...]
    train: DenseSplit
    validation: DenseSplit
    test: DenseSplit
    input_moments: Moments
    target_moments: Moments
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels and extents of one sample."""
        return tuple(self.train.inputs.shape[1:])

    @property
    def scale(self) -> float:
        """What inputs are divided by before they are normalised: 255 for pixels, 1 for other numbers."""
        return self.train.scale

    @property
    def channels_out(self) -> int:
        """Number of classes, or of values of each pixel."""
        return len(self.classes) or int(self.train.targets.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of class names, inputs, targets and their division into parts."""
        digest = hashlib.sha256("\0".join(("dense", *self.classes)).encode())
        for part in (self.train, self.validation, self.test):
            for values in (part.inputs, part.targets):
                digest.update(f"{values.shape} {values.dtype.str}".encode())
                digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()


def assemble_dense(
    name: str, parts: Mapping[str, DenseSplit], classes: tuple[str, ...], notes: list[str], seed: int
) -> DenseData:
    """Return the data of a source; parts that it lacks are held out of its train part.

    Args:
        name: What ``--data`` was given.
        parts: ``train``, perhaps ``validation`` and ``test``.
        classes: Class names; empty for regression.
        notes: Notes about what was left out.
        seed: Decides the validation part; a test part that is held out is the same for every seed.

    Raises:
        DataError: There are too few samples, or the train part of a segmentation holds one class alone.
    """
    made = dict(parts)
    for each in missing_parts(made, seed):
        train = made["train"]
        if len(train) < each.needed:
            count = f"{len(train)} train sample is" if len(train) == 1 else f"{len(train)} train samples are"
            raise DataError(
                f"data {shown(name)}: {count} too few to hold out parts for validation and test that are not given; "
                f"give {each.needed} or more"
            )
        kept, held = split_any(len(train), each.share(len(train)), each.seed)
        made["train"], made[each.part] = (DenseSplit(train.inputs[i], train.targets[i]) for i in (kept, held))
    train = made["train"]
    if classes:
        notes = [*notes, *_require_two_classes(name, classes, train)]
    targets = ((), ()) if classes else moments_of(train.targets, 1.0)
    inputs = moments_of(train.inputs, train.scale)
    return DenseData(name, classes, **made, input_moments=inputs, target_moments=targets, notes=tuple(notes))


def moments_of(values: Array, scale: float) -> Moments:
    """Return mean and standard deviation of each channel of ``(N, C, ...)``, divided by `scale`; sums in float64."""
    means, deviations = [], []
    for channel in range(values.shape[1]):
        count, total = values[:, channel].size, 0.0
        for sample in values[:, channel]:
            total += float(sample.sum(dtype=np.float64))
        mean, squares = total / count, 0.0
        for sample in values[:, channel]:
            squares += float(np.square(sample.astype(np.float64) - mean).sum())
        deviation = (squares / count) ** 0.5 / scale
        means.append(mean / scale)
        constant = deviation <= _LEAST_SHARE * abs(mean / scale)
        deviations.append(max(deviation, 1 / 255) if scale > 1 else 1.0 if constant else deviation)
    return tuple(means), tuple(deviations)


def _require_two_classes(name: str, classes: Sequence[str], train: DenseSplit) -> list[str]:
    """Refuse train masks in which one class alone has pixels; return notes about other classes without any.

    Raises:
        DataError: With the reason.
    """
    counts = np.bincount(train.targets.reshape(-1), minlength=IGNORED + 1)
    held = np.flatnonzero(counts[:IGNORED])
    if len(held) < 2:
        ignored = f" and {IGNORED}, which means to ignore a pixel" if counts[IGNORED] else ""
        remedy = f"write 1 instead of {IGNORED} for the object" if ignored else "segmentation needs at least two"
        raise DataError(f"data {shown(name)}: its train masks hold the class index {held[0]} alone{ignored}; {remedy}")
    absent = [shown(classes[index]) for index in range(len(classes)) if not counts[index]]
    if not absent:
        return []
    named = f"the class {absent[0]}" if len(absent) == 1 else f"the classes {', '.join(absent)}"
    return [f"no pixel of the train part has {named}: networks do not learn {'it' if len(absent) == 1 else 'them'}"]


def numbered_classes(parts: Mapping[str, DenseSplit]) -> tuple[str, ...]:
    """Return names for the class indices that some mask holds, and for those below them."""
    highest = max(int(split.targets[split.targets != IGNORED].max(initial=0)) for split in parts.values())
    return tuple(str(index) for index in range(highest + 1))


def require_classes(name: str, parts: Mapping[str, DenseSplit], where: Callable[[str, int], str], count: int) -> None:
    """Refuse class indices that no class has, and parts in which no pixel has a class.

    Args:
        name: The data set's, for errors.
        parts: Parts with class indices.
        where: Returns what a sample is called, from its part and its index.
        count: Number of classes.

    Raises:
        DataError: Naming the sample and the pixel.
    """
    for part, split in parts.items():
        labelled = False
        for index, mask in enumerate(split.targets):
            known = mask[mask != IGNORED]
            labelled = labelled or known.size > 0
            if known.size and int(known.max()) >= count:
                place = tuple(int(n) for n in np.argwhere((mask >= count) & (mask != IGNORED))[0])
                raise DataError(
                    f"data {where(part, index)}: class index {int(mask[place])} at {pixel_text(place)}, but there are "
                    f"{count} classes; use 0 to {count - 1}, or {IGNORED} for pixels to ignore"
                )
        if not labelled:
            raise DataError(
                f"data {shown(name)}: every pixel of the {part} masks is {IGNORED}, which means to ignore it; give "
                "class indices"
            )


def pixel_text(place: tuple[int, ...]) -> str:
    """Return where in a map a value is, for errors: ``column 3, row 7``, or ``step 12``."""
    if len(place) == 1:
        return f"step {place[0]}"
    return f"column {place[1]}, row {place[0]}" if len(place) == 2 else f"place {place}"
