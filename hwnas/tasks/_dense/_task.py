"""`DenseTask`: a map for every sample, judged by mean IoU (segmentation) or relative L2 (regression)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas._errors import EvaluatorError
from hwnas.data import IGNORED, DenseData, load_dense
from hwnas.spaces import Space
from hwnas.tasks._base import Indices, Part, Run, Scorer, Settings, Shape, Targets
from hwnas.tasks._data_task import DataTask
from hwnas.tasks._dense._metrics import MEAN_IOU, RELATIVE_L2, MeanIoU, RelativeL2
from hwnas.tasks._divided import part_of
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._fitting import largest_network
from hwnas.tasks._labels import imitation_loss
from hwnas.tasks._options import TrainingOption, recipe_of_size
from hwnas.tasks._outputs import Output

if TYPE_CHECKING:
    from torch import Tensor

_SHIFT = TrainingOption(0.0, 0.0, 0.5, "samples and maps move by up to this share of their size, edges repeated")
_FLIP = TrainingOption(False, about="half of the samples are mirrored along the last axis, with their maps")
_DICE = TrainingOption(0.0, 0.0, 10.0, "weight of the Dice loss beside cross-entropy; 0 for none")
SAMPLES_SEEN = 8_000
"""Small data sets are repeated until a training has seen this many samples."""
SMALL = 1_000
"""Below this many train samples small batches (more steps) do better."""


class DenseTask(DataTask[DenseData]):
    """Images or signals of one size, with a class or values for every pixel or step.

    Args:
        data: The samples and their maps.
        image_size: What images were scaled to when they were loaded; None where they were not.
    """

    name = "dense"

    def __init__(self, data: DenseData, *, image_size: int | None = None) -> None:
        super().__init__(data)
        self._image_size = image_size
        self.metric = MEAN_IOU if data.classes else RELATIVE_L2

    @classmethod
    def load(
        cls, data: str | Path, *, image_size: int | None = None, seed: int = 0, limit: int | None = None
    ) -> DenseTask:
        """Return the task of a data set; the arguments are those of `load_dense`.

        Raises:
            DataError: The data cannot be read.
        """
        return cls(load_dense(data, image_size=image_size, seed=seed, limit=limit), image_size=image_size)

    @property
    def input_shape(self) -> Shape:
        """Channels and extents of the samples as loaded."""
        return self._data.shape

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The map: a channel for each class or value."""
        return (Output("map", self._data.channels_out, self._data.classes),)

    def require_fit(self, space: Space) -> None:
        """Refuse networks that read other samples, or whose maps have other channels or another resolution.

        Raises:
            EvaluatorError: Saying what to change.
        """
        graph = space.graph(largest_network(space))
        read, given = graph.input_shape, graph.output_shape
        wanted = (self._data.channels_out, *self.input_shape[1:])
        if read == self.input_shape and given == wanted:
            return
        hint = "use --space unet, or --space dash2d with --space-option outputs=map"
        if "size" in space.settings:
            hint = "give its size, classes and image_channels"
        raise EvaluatorError(
            f"data {self.data_name}: networks must read {_text(self.input_shape)} and give {_text(wanted)}, those of "
            f"space {space.name} read {_text(read)} and give {_text(given)}; {hint}"
        )

    def misfit(self, input_shape: Sequence[object]) -> str | None:
        """Return why a file's input ``(batch, C, ...)`` does not take these samples."""
        if tuple(input_shape[1:]) == self.input_shape and type(input_shape[0]) is int:
            return None
        return f"does not take samples of shape {_text(self.input_shape)}"

    def metadata(self, input_shape: Shape) -> dict[str, Any]:
        """Return how samples are prepared, what the map means, and the names of the classes."""
        mean, deviation = self._data.input_moments
        facts: dict[str, Any] = {
            "image_size": self._image_size,
            "pixels": self._data.scale > 1,
            "mean": list(mean),
            "std": list(deviation),
            "steps": ["divide pixels by 255", "subtract mean", "divide by std"][self._data.scale == 1 :],
        }
        if self._data.classes:
            return {"dense": {**facts, "kind": "segmentation", "ignored": IGNORED}, "classes": self._data.classes}
        mean, deviation = self._data.target_moments
        return {"dense": {**facts, "kind": "regression", "map_mean": list(mean), "map_std": list(deviation)}}

    def inputs(self, part: Part, indices: Indices, input_shape: Shape, device: str = "cpu") -> Tensor:
        """Return normalised samples ``(N, C, ...)``."""
        from hwnas.tasks._dense._tensors import prepare

        return prepare(self._data, part_of(self._data, part).inputs[indices], device)

    def targets(self, part: Part, indices: Indices) -> Targets:
        """Return class indices ``(N, ...)`` uint8, or values ``(N, C_out, ...)`` float32."""
        return np.ascontiguousarray(part_of(self._data, part).targets[indices])

    @property
    def options(self) -> Mapping[str, TrainingOption]:
        """Augmentations, and for segmentation the weight of the Dice loss."""
        return {"shift": _SHIFT, "flip": _FLIP, **({"dice": _DICE} if self._data.classes else {})}

    def default_recipe(self) -> dict[str, object]:
        """Return epochs and batch size by the number of samples; colour images with masks are moved and mirrored.

        Regression uses AdamW: gradients of relative errors depend on how large the targets are, its steps do not.
        """
        count = len(self._data.train)
        photographs = bool(self._data.classes) and len(self.input_shape) == 3 and self._data.scale > 1
        return {
            **recipe_of_size(count, SAMPLES_SEEN, 16 if count < SMALL else 32),
            "shift": 0.125 if photographs else 0.0,
            "flip": photographs and self.input_shape[0] == 3,
            **({} if self._data.classes else {"optimizer": "adamw", "learning_rate": 0.01}),
        }

    def augment(
        self, x: Tensor, targets: Targets, rng: np.random.Generator, settings: Settings
    ) -> tuple[Tensor, Targets]:
        """Return samples and maps, moved and mirrored together."""
        from hwnas.tasks._dense._tensors import augmented

        return augmented(x, targets, rng, settings)

    def loss(self, outputs: Sequence[Tensor], targets: Targets, settings: Settings) -> Tensor:
        """Return cross-entropy of the pixels that are not ignored, or relative L2."""
        from hwnas.tasks._dense._tensors import regression_loss, segmentation_loss

        (maps,) = outputs
        if self._data.classes:
            return segmentation_loss(maps, targets, float(settings.get("dice", 0.0)))
        return regression_loss(self._data, maps, targets)

    def distillation_loss(self, outputs: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Return cross-entropy with the teacher's probabilities, or the relative squared error to its values."""
        (maps,), (target,) = outputs, teacher
        if self._data.classes:
            return imitation_loss(maps, target)
        from hwnas.tasks._dense._tensors import value_imitation_loss

        return value_imitation_loss(self._data, maps, target)

    def scorer(self) -> Scorer:
        """Return a scorer of mean IoU or of relative L2."""
        return MeanIoU(len(self._data.classes)) if self._data.classes else RelativeL2(*self._data.target_moments)

    def exhibits(self, run: Run) -> Sequence[Exhibit]:
        """Return a strip of samples, targets and predictions; for segmentation also figures of each class."""
        from hwnas.tasks._dense._exhibits import dense_exhibits

        return dense_exhibits(self._data, self, run)


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
