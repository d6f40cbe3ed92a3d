"""`ImageData`: uint8 images in three parts, with what normalises and identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hwnas.data._splits import TEST_FRACTION, VALIDATION_FRACTION, VALIDATION_MOST, split_off

ImageArray = npt.NDArray[np.uint8]
LabelArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: ``(N, C, H, W)``, 0-255.
        labels: ``(N,)``, indices into the class names.
    """

    images: ImageArray
    labels: LabelArray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> Split:
        """The samples with these indices, in their order."""
        return Split(np.ascontiguousarray(self.images[indices]), self.labels[indices])


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set for classification.

    Attributes:
        name: what `load_data` was asked for.
        classes: class names, in the order of the labels.
        train: what weights and normalisation are fitted on.
        validation: what a search compares networks on.
        test: for the final report alone.
        mean: mean of each channel of `train`, pixels scaled to 0-1.
        std: standard deviation of each channel of `train`, pixels scaled to 0-1; at least 1/255.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """Channels of every image: 1 or 3."""
        return int(self.train.images.shape[1])

    @property
    def native_size(self) -> tuple[int, int]:
        """Height and width in pixels of the images as loaded."""
        height, width = self.train.images.shape[2:]
        return int(height), int(width)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of class names, pixels, labels and their division into parts."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.train, self.validation, self.test):
            digest.update(repr(part.images.shape).encode())
            digest.update(np.ascontiguousarray(part.images).data)
            digest.update(part.labels.astype("<i8").data)
        return digest.hexdigest()


def assemble(name: str, classes: Sequence[str], parts: Mapping[str, Split], seed: int) -> ImageData:
    """Put the parts that a source has (``train``, perhaps ``validation`` and ``test``) into an `ImageData`.

    A missing test part is split off the train part the same way for every seed, so that runs with different
    seeds report on the same images; a missing validation part is split off from `seed`.

    Raises:
        DataError: a class has too few images to split.
    """
    train, test, validation = parts["train"], parts.get("test"), parts.get("validation")
    needed = 1 + (test is None) + (validation is None)
    if test is None:
        rest, held = split_off(name, train.labels, classes, TEST_FRACTION, seed=0, needed=needed)
        train, test = train.take(rest), train.take(held)
    if validation is None:
        fraction = min(VALIDATION_FRACTION, VALIDATION_MOST / max(1, len(train)))
        rest, held = split_off(name, train.labels, classes, fraction, seed=seed, needed=2)
        train, validation = train.take(rest), train.take(held)
    scaled = [_moments(train.images[:, channel]) for channel in range(train.images.shape[1])]
    return ImageData(
        name,
        tuple(classes),
        train,
        validation,
        test,
        mean=tuple(mean for mean, _ in scaled),
        std=tuple(std for _, std in scaled),
    )


def _moments(pixels: ImageArray) -> tuple[float, float]:
    """Mean and standard deviation on 0-1, exact through the histogram."""
    counts = np.bincount(pixels.ravel(), minlength=256)
    values = np.arange(256) / 255.0
    mean = float(counts @ values / counts.sum())
    variance = float(counts @ (values - mean) ** 2 / counts.sum())
    return mean, max(variance**0.5, 1.0 / 255.0)
