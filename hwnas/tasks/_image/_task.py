"""`ImageClassification`: images to one of several classes, judged by accuracy."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hwnas.data import ImageData, LabelArray, load_data
from hwnas.spaces import Space
from hwnas.tasks._base import Indices, Part, Settings, Shape, Targets
from hwnas.tasks._data_task import PixelTask
from hwnas.tasks._divided import part_of
from hwnas.tasks._image._fit import require_fit
from hwnas.tasks._image._scaling import rescaled, usual_scalings
from hwnas.tasks._labels import ACCURACY, LABEL_SMOOTHING, Accuracy, imitation_loss, label_loss
from hwnas.tasks._options import TrainingOption, recipe_of_size
from hwnas.tasks._outputs import Output
from hwnas.tasks._scaling import in_other_scaling

if TYPE_CHECKING:
    from torch import Tensor

OPTIONS: Mapping[str, TrainingOption] = {
    **LABEL_SMOOTHING,
    "shift": TrainingOption(0.125, 0.0, 0.5, "images move by up to this share of their size, edges repeated"),
    "flip": TrainingOption(False, about="half of the images are mirrored left to right; not for digits, text, maps"),
    "cutout": TrainingOption(0.0, 0.0, 1.0, "side of a square that is blanked, as a share of the image's; 0 for none"),
    "mixup": TrainingOption(0.0, 0.0, 10.0, "alpha of the beta distribution that images are blended with; 0 for none"),
    "randaugment": TrainingOption(
        0.0, 0.0, 30.0, "strength of two random changes of each image; 0 for none", later=True
    ),
}
IMAGES_SEEN = 15_000
"""Small data sets are repeated until a training has seen this many images: about 450 steps, after which the subnets
of a `tiny` supernet differ by what they can do rather than by how often they were drawn."""
SMALL = 4_000
"""Below this many train images small batches (more steps) do better."""


class ImageClassification(PixelTask[ImageData]):
    """Square images of one size, one label each.

    Args:
        data: The images.
        image_size: What their shorter side was scaled to when they were loaded; None where they were not.
    """

    name = "image"
    metric = ACCURACY

    def __init__(self, data: ImageData, *, image_size: int | None = None) -> None:
        super().__init__(data)
        self._own, self._image_size = data, image_size

    @classmethod
    def load(
        cls, data: str | Path, *, image_size: int | None = None, seed: int = 0, limit: int | None = None
    ) -> ImageClassification:
        """Return the task of a data set; the arguments are those of `load_data`.

        Raises:
            DataError: The data cannot be read.
        """
        return cls(load_data(data, image_size=image_size, seed=seed, limit=limit), image_size=image_size)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of class names, pixels, labels and their division into parts, and of `with_scaling`."""
        if self._data is self._own:
            return self._data.fingerprint
        scaling = repr((self._data.mean, self._data.std))
        return hashlib.sha256(f"{self._own.fingerprint} {scaling}".encode()).hexdigest()

    @property
    def scalings(self) -> tuple[str, ...]:
        """The names that `with_scaling` knows for images of so many channels."""
        return usual_scalings(self._data.channels)

    def with_scaling(self, scaling: str) -> Self:
        """Return the task with pixels that are normalised by another mean and deviation.

        Raises:
            DataError: The text names none.
        """
        other = copy.copy(self)
        other._data = rescaled(self._own, scaling)
        return other

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of the images as loaded."""
        return (self._data.channels, *self._data.native_size)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The logits of the classes."""
        return (Output("logits", len(self._data.classes), tuple(self._data.classes)),)

    def require_fit(self, space: Space) -> None:
        """Refuse networks that are not square, or have other channels or classes."""
        require_fit(space, self._data)

    def metadata(self, input_shape: Shape) -> dict[str, Any]:
        """Return how images are prepared, and the names of the classes."""
        steps = ["divide pixels by 255", "subtract mean", "divide by std", "resize bilinearly (antialiased) to size"]
        if self._image_size is not None:
            steps.insert(0, f"scale the shorter side to {self._image_size} pixels and cut out the centre")
        mean, std = self._data.mean, self._data.std
        loading = {
            "channels": self._data.channels,
            "image_size": self._image_size,
            "loaded_size": self._data.native_size,
        }
        preparing = {"layout": "NCHW", "steps": steps, "size": input_shape[-1], "mean": mean, "std": std, **loading}
        return {"preprocessing": preparing, "classes": self._data.classes}

    def targets(self, part: Part, indices: Indices) -> LabelArray:
        """Return class indices ``(N,)``."""
        return part_of(self._data, part).labels[indices]

    def take_train(self, input_shape: Shape, device: str) -> Callable[[npt.NDArray[np.int64]], tuple[Tensor, Targets]]:
        """Return the train images, kept on the device."""
        from hwnas.tasks._on_device import TrainPart
        from hwnas.tasks._pixel_tensors import prepare_images

        data, size = self._data, input_shape[-1]
        return TrainPart(data.train.images, data.train.labels, lambda x: prepare_images(data, x, size, device), device)

    @property
    def options(self) -> Mapping[str, TrainingOption]:
        """Augmentations of images, and label smoothing."""
        return OPTIONS

    def default_recipe(self) -> dict[str, object]:
        """Return epochs and batch size by the number of images; images are mirrored where they have colours."""
        count = len(self._data.train)
        return {
            **recipe_of_size(count, IMAGES_SEEN, 32 if count < SMALL else 64),
            "flip": self._data.channels == 3,
        }

    def augment(
        self, x: Tensor, targets: Targets, rng: np.random.Generator, settings: Settings
    ) -> tuple[Tensor, Targets]:
        """Return moved, mirrored, changed, partly blanked and blended images, and class indices or probabilities."""
        from hwnas.tasks._image._tensors import augmented

        x, targets = augmented(in_other_scaling(x, self._data, self._own), targets, rng, settings, self._own)
        return in_other_scaling(x, self._own, self._data), targets

    def loss(self, outputs: Sequence[Tensor], targets: Targets, settings: Settings) -> Tensor:
        """Return cross-entropy with the labels."""
        (logits,) = outputs
        return label_loss(logits, targets, float(settings.get("label_smoothing", 0.0)))

    def distillation_loss(self, outputs: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Return cross-entropy with the teacher's class probabilities."""
        (logits,), (target,) = outputs, teacher
        return imitation_loss(logits, target)

    def scorer(self) -> Accuracy:
        """Return a scorer that counts right answers."""
        return Accuracy()
