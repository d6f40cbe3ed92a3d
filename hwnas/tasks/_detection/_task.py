"""`Detection`: boxes of objects in images, judged by average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas.data import BoxData, load_boxes
from hwnas.spaces import Space
from hwnas.tasks._base import Indices, Part, Run, Settings, Shape, Targets
from hwnas.tasks._data_task import PixelTask
from hwnas.tasks._detection._fit import require_fit
from hwnas.tasks._detection._scorer import BoxScorer
from hwnas.tasks._divided import part_of
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._metric import PERCENT, Metric
from hwnas.tasks._options import TrainingOption, recipe_of_size
from hwnas.tasks._outputs import Output

if TYPE_CHECKING:
    from torch import Tensor

AP50 = Metric("ap50", unit=PERCENT, low=0.0, high=1.0)
"""Average precision at an intersection over union of .50, the mean over the classes."""
OPTIONS: Mapping[str, TrainingOption] = {
    "flip": TrainingOption(True, about="half of the images are mirrored left to right, with their boxes"),
    "zoom": TrainingOption(0.25, 0.0, 2.0, "images are scaled by up to e^zoom, up and down; 0 for none"),
    "shift": TrainingOption(0.1, 0.0, 0.5, "images move by up to this share of their size"),
    "light": TrainingOption(0.15, 0.0, 1.0, "contrast and brightness change by up to this share and deviation"),
}
IMAGES_SEEN = 12_000
MOST_EPOCHS = 60
BATCH = 16
"""Images have many places each, so batches are small."""
_SHOWN = 6
"""Test images that the report shows."""
COLUMNS = ("x1", "y1", "x2", "y2", "score", "class")


class Detection(PixelTask[BoxData]):
    """Square images of one size with boxes.

    Args:
        data: The images.
    """

    name = "detection"
    metric = AP50

    @classmethod
    def load(
        cls, data: str | Path, *, image_size: int | None = None, seed: int = 0, limit: int | None = None
    ) -> Detection:
        """Return the task of a data set; the arguments are those of `hwnas.data.load_boxes`.

        Raises:
            DataError: The data cannot be read.
        """
        return cls(load_boxes(data, image_size=image_size, seed=seed, limit=limit))

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of the images as loaded."""
        return (self._data.channels, self._data.size, self._data.size)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The detections; the size and the labels are those of their classes."""
        return (Output("detections", len(self._data.classes), tuple(self._data.classes)),)

    def require_fit(self, space: Space) -> None:
        """Refuse networks that do not end in boxes, or have other channels or classes."""
        require_fit(space, self._data)

    def misfit_outputs(self, shapes: Sequence[Sequence[object]]) -> str | None:
        """Return why outputs are no list of detections: there must be one; its extents are numbers of boxes."""
        return None if len(shapes) == 1 else "are not one list of detections"

    def metadata(self, input_shape: Shape) -> dict[str, Any]:
        """Return how images are prepared, the names of the classes, and what a detection's numbers mean."""
        loaded = self._data.size
        steps = [
            f"stretch the whole image to {loaded}x{loaded} pixels",
            "divide pixels by 255",
            "subtract mean",
            "divide by std",
            "resize bilinearly (antialiased) to size",
        ]
        preparing = {
            "layout": "NCHW",
            "steps": steps,
            "size": input_shape[1],
            "mean": self._data.mean,
            "std": self._data.std,
            "channels": self._data.channels,
            "image_size": None,
            "loaded_size": (loaded, loaded),
            "stretch": True,
        }
        boxes = {"columns": COLUMNS, "unit": "fractions of the image's width and height; rows of score 0 are empty"}
        return {"preprocessing": preparing, "classes": self._data.classes, "detections": boxes}

    def targets(self, part: Part, indices: Indices) -> npt.NDArray[np.float32]:
        """Return boxes ``(N, g, 6)``: x1, y1, x2, y2 as fractions, 1 for a crowd, and the class.

        g is the largest number of boxes of an image of the part; rows without a box have the class -1.
        """
        split = part_of(self._data, part)
        chosen = np.arange(len(split))[indices]
        most = max(1, int(np.diff(split.starts).max()))
        result = np.zeros((len(chosen), most, 6), dtype=np.float32)
        result[:, :, 5] = -1.0
        for row, image in zip(result, chosen.tolist(), strict=True):
            own = split.boxes_of(image)
            count = own.stop - own.start
            row[:count, :4], row[:count, 4], row[:count, 5] = split.boxes[own], split.crowd[own], split.labels[own]
        return result

    @property
    def options(self) -> Mapping[str, TrainingOption]:
        """Augmentations of images with their boxes."""
        return OPTIONS

    def default_recipe(self) -> dict[str, object]:
        """Return epochs and batch size by the number of images."""
        return recipe_of_size(len(self._data.train), IMAGES_SEEN, BATCH, most_epochs=MOST_EPOCHS)

    def augment(
        self, x: Tensor, targets: Targets, rng: np.random.Generator, settings: Settings
    ) -> tuple[Tensor, Targets]:
        """Return mirrored, scaled and moved images with their boxes."""
        from hwnas.tasks._detection._augment import augmented

        return augmented(x, targets, rng, settings)

    def loss(self, outputs: Sequence[Tensor], targets: Targets, settings: Settings) -> Tensor:
        """Return the loss of FCOS for what networks say of each place, ``(N, classes + 5, places)``."""
        from hwnas.tasks._detection._losses import detection_loss

        (raw,) = outputs
        return detection_loss(raw, targets)

    def distillation_loss(self, outputs: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Return how far what a network says of each place is from what its teacher says.

        A teacher of another resolution has other places: its maps are resampled.
        """
        from hwnas.tasks._detection._losses import imitation_loss

        (raw,), (taught,) = outputs, teacher
        return imitation_loss(raw, taught)

    def scorer(self) -> BoxScorer:
        """Return a scorer of boxes."""
        return BoxScorer(len(self._data.classes))

    def exhibits(self, run: Run) -> Sequence[Exhibit]:
        """Return a few images with the boxes that were found, and those to be found."""
        from hwnas.tasks._detection._picture import LEAST_SCORE, drawn_boxes

        shown = np.arange(min(_SHOWN, self.size("test")))
        (found,) = run(shown)
        picture = drawn_boxes(self._data.test.images[shown], found, self.targets("test", shown), self._data.classes)
        note = f"Boxes with a score of {LEAST_SCORE} or more, in the colour of their class; thin white: the true boxes."
        return (Exhibit("Images of the test part", note, pictures=(("", picture),)),)
