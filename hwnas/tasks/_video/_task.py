"""`VideoClassification`: clips to one of several classes, judged by accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.data import ClipData, load_clips
from hwnas.spaces import Space
from hwnas.tasks._base import Run, Settings, Shape, Targets
from hwnas.tasks._confusion import confusion_counts, confusion_matrix
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._image import ImageClassification
from hwnas.tasks._labels import LABEL_SMOOTHING
from hwnas.tasks._options import TrainingOption, amounts
from hwnas.tasks._video._fit import require_frames

if TYPE_CHECKING:
    from torch import Tensor

OPTIONS: Mapping[str, TrainingOption] = {
    **LABEL_SMOOTHING,
    "shift": TrainingOption(0.125, 0.0, 0.5, "all frames of a clip move by up to this share of their size"),
    "time_shift": TrainingOption(0.0, 0.0, 0.5, "clips begin up to this share of their frames earlier or later"),
    "flip": TrainingOption(False, about="half of the clips are mirrored left to right; not where directions matter"),
}


class VideoClassification(ImageClassification):
    """Clips of one number of square frames, one label each; what images have too is theirs.

    Args:
        data: The clips.
        image_size: What the shorter side of the frames was scaled to when they were loaded; None where it was not.
    """

    name = "video"
    _data: ClipData

    def __init__(self, data: ClipData, *, image_size: int | None = None) -> None:
        super().__init__(data, image_size=image_size)

    @classmethod
    def load(
        cls,
        data: str | Path,
        *,
        image_size: int | None = None,
        frames: int | None = None,
        seed: int = 0,
        limit: int | None = None,
    ) -> VideoClassification:
        """Return the task of a data set; the arguments are those of `load_clips`.

        Raises:
            DataError: The data cannot be read.
        """
        clips = load_clips(data, image_size=image_size, frames=frames, seed=seed, limit=limit)
        return cls(clips, image_size=image_size)

    @property
    def input_shape(self) -> Shape:
        """Channels, frames, height and width of the clips as loaded."""
        return (self._data.channels, self._data.frames, *self._data.native_size)

    def require_fit(self, space: Space) -> None:
        """Refuse networks that are not square, or have other frames, channels or classes."""
        super().require_fit(space)
        require_frames(space, self._data)

    def misfit(self, input_shape: Sequence[object]) -> str | None:
        """Return why a file's input ``(batch, C, T, size, size)`` does not take these clips."""
        shape = list(input_shape)
        square = len(shape) == 5 and all(type(n) is int for n in shape) and shape[3] == shape[4]
        if square and shape[1:3] == [self._data.channels, self._data.frames]:
            return None
        return f"does not take clips of {self._data.frames} frames with {self._data.channels} channels"

    def metadata(self, input_shape: Shape) -> dict[str, Any]:
        """Return how clips are prepared, and the names of the classes."""
        metadata = super().metadata(input_shape)
        preparing = metadata["preprocessing"]
        take = f"take {self._data.frames} frames, evenly over time: frame (2 i + 1) n // (2 x {self._data.frames})"
        preparing |= {"layout": "NCTHW", "frames": self._data.frames, "steps": [take, *preparing["steps"]]}
        return metadata

    @property
    def options(self) -> Mapping[str, TrainingOption]:
        """Augmentations that are the same for all frames of a clip, and label smoothing."""
        return OPTIONS

    def default_recipe(self) -> dict[str, object]:
        """Return epochs and batch size by the number of clips; none is mirrored."""
        return {**super().default_recipe(), "flip": False}

    def augment(
        self, x: Tensor, targets: Targets, rng: np.random.Generator, settings: Settings
    ) -> tuple[Tensor, Targets]:
        """Return clips moved in space and time and mirrored, each as a whole."""
        from hwnas.tasks._video._tensors import augment

        shift, time_shift, flip = amounts(settings, "shift", "time_shift", "flip")
        moved = augment(x, rng, shift=shift, time_shift=time_shift, flip=bool(flip))
        return moved, targets

    def exhibits(self, run: Run) -> Sequence[Exhibit]:
        """Return which classes were taken for which, and the frames of a few clips."""
        from hwnas.tasks._video._exhibits import strips

        clips, classes = self._data.test, self._data.classes
        (logits,) = run(np.arange(len(clips)))
        counts = confusion_counts(clips.labels, logits.argmax(1), len(classes))
        return confusion_matrix(classes, counts, "clips"), strips(classes, clips.images, clips.labels, logits)
