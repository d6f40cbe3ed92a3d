"""`BoxData`: uint8 images with boxes in three parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hwnas.data._images import ImageArray, LabelArray

BoxArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BoxSplit:
    """One part of a data set.

    Attributes:
        images: ``(N, C, size, size)``, 0-255.
        boxes: ``(M, 4)``: x1, y1, x2, y2 as fractions of the image's width and height, image by image.
        labels: ``(M,)``, indices into the class names.
        crowd: ``(M,)``, whether a box holds a crowd of objects (COCO's ``iscrowd``): not learned, and not counted.
        starts: ``(N + 1,)``: the boxes of image i are those from ``starts[i]`` to ``starts[i + 1]``.
    """

    images: ImageArray
    boxes: BoxArray
    labels: LabelArray
    crowd: BoolArray
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)

    def boxes_of(self, image: int) -> slice:
        """Return where the boxes of an image stand."""
        return slice(int(self.starts[image]), int(self.starts[image + 1]))


@dataclass(frozen=True, eq=False)
class BoxData:
    """A data set for object detection.

    Attributes:
        name: The argument ``spec`` of `load_boxes`.
        classes: Class names, in the order of the labels.
        train: What weights and normalisation are fitted on.
        validation: What a search compares networks on.
        test: For the final report alone.
        mean: Mean of each channel of `train`, pixels scaled to 0-1.
        std: Standard deviation of each channel of `train`, pixels scaled to 0-1; at least 1/255.
        notes: Notes about what was left out.
    """

    name: str
    classes: tuple[str, ...]
    train: BoxSplit
    validation: BoxSplit
    test: BoxSplit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of every image: 1 or 3."""
        return int(self.train.images.shape[1])

    @property
    def size(self) -> int:
        """Height and width of every image in pixels."""
        return int(self.train.images.shape[2])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of class names, pixels, boxes and their division into parts."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.train, self.validation, self.test):
            digest.update(repr((part.images.shape, len(part.boxes))).encode())
            for array in (part.images, part.boxes.astype("<f4"), part.labels.astype("<i8"), part.crowd):
                digest.update(np.ascontiguousarray(array).data)
            digest.update(part.starts.astype("<i8").data)
        return digest.hexdigest()
