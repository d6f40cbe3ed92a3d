"""`ImageData`: uint8 images in three parts, with what normalises and identifies them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

ImageArray = npt.NDArray[np.uint8]
LabelArray = npt.NDArray[np.int64]
_COUNTED = 2**18


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: ``(N, C, H, W)``, 0-255; clips ``(N, C, T, H, W)``.
        labels: ``(N,)``, indices into the class names.
    """

    images: ImageArray
    labels: LabelArray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> Split:
        """Return the samples with these indices, in their order."""
        return Split(np.ascontiguousarray(self.images[indices]), self.labels[indices])


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set for classification.

    Attributes:
        name: The argument ``spec`` of `load_data`.
        classes: Class names, in the order of the labels.
        train: What weights and normalisation are fitted on.
        validation: What a search compares networks on.
        test: For the final report alone.
        mean: Mean of each channel of `train`, pixels scaled to 0-1.
        std: Standard deviation of each channel of `train`, pixels scaled to 0-1; at least 1/255.
        notes: Notes about what the source holds that was left out or read in part.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of every image: 1 or 3."""
        return int(self.train.images.shape[1])

    @property
    def native_size(self) -> tuple[int, int]:
        """Height and width in pixels of the images as loaded."""
        height, width = self.train.images.shape[-2:]
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


@dataclass(frozen=True, eq=False)
class ClipData(ImageData):
    """A data set of clips for classification: its images are ``(N, C, T, H, W)``."""

    @property
    def frames(self) -> int:
        """Frames of every clip."""
        return int(self.train.images.shape[2])


def moments(images: ImageArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return means and standard deviations on 0-1 of the channels of ``(N, C, ...)``, exact through the histogram."""
    channels = images.shape[1]
    counts = np.zeros((channels, 256), dtype=np.int64)
    step = max(1, _COUNTED // max(1, images[0, 0].size))
    for start in range(0, len(images), step):  # bincount takes eight bytes for each that it counts
        for channel in range(channels):
            pixels = images[start : start + step, channel]
            counts[channel] += np.bincount(pixels.ravel(), minlength=256)
    mean, std = zip(*map(_moments, counts), strict=True)
    return mean, std


def _moments(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    values = np.arange(256) / 255.0
    mean = float(counts @ values / counts.sum())
    variance = float(counts @ (values - mean) ** 2 / counts.sum())
    return mean, max(variance**0.5, 1.0 / 255.0)
