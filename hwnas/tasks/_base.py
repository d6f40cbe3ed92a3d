"""`Task`: what networks are for. It owns data, batches, augmentation, losses, outputs, preprocessing and the metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError
from hwnas.spaces import Space
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._metric import Metric
from hwnas.tasks._options import TrainingOption
from hwnas.tasks._outputs import Output

if TYPE_CHECKING:
    from torch import Tensor

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
Indices = slice | npt.NDArray[np.int64]
Shape = tuple[int, ...]
Targets = Any
"""What the samples of a batch should give: an array of labels or values, or whatever the task's own methods take."""
Settings = Mapping[str, Any]
"""Values of a task's training options, by name."""
FloatArray = npt.NDArray[np.float32]
Run = Callable[[npt.NDArray[np.int64]], Sequence[FloatArray]]
"""Returns a network's outputs, an array ``(N, ...)`` for each, for samples of the test part with these indices."""


class Scorer(ABC):
    """Adds up how well outputs fit their targets, batch by batch."""

    @abstractmethod
    def add(self, outputs: Sequence[FloatArray], targets: Targets) -> None:
        """Take in a batch.

        Args:
            outputs: One array ``(N, ...)`` for each of `Task.outputs`, from torch or from an ONNX file.
            targets: As `Task.targets` gives them for these N samples.
        """

    @abstractmethod
    def value(self) -> float:
        """Return the metric over all samples so far."""

    def others(self) -> Mapping[str, float]:
        """Return other figures of the same samples that are reported beside the metric, by name; none by default."""
        return {}


class Task(ABC):
    """What networks are trained and judged for, with the data of it.

    Torch is loaded where tensors are requested, not before: the command line reads metrics without it.

    Worker processes get a pickled copy.

    Attributes:
        name: What ``--task`` calls this kind of task.
        metric: What networks are compared by.
    """

    name: str
    metric: Metric

    # the data

    @property
    @abstractmethod
    def data_name(self) -> str:
        """What the data are called: what ``--data`` was given."""

    @property
    def data(self) -> object:
        """The data as their reader gave them; the task itself where there is no such object."""
        return self

    @property
    def notes(self) -> Sequence[str]:
        """Notes about what of the data was left out or read in part."""
        return ()

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A SHA-256 (hexadecimal) of the data and their division into parts: other data are another search."""

    @abstractmethod
    def size(self, part: Part) -> int:
        """Return how many samples a part has.

        ``train`` is what weights are fitted on, ``validation`` what a search compares networks on, and ``test`` is for
        the final report alone.
        """

    # the networks

    @property
    @abstractmethod
    def input_shape(self) -> Shape:
        """The shape of one sample as it was loaded, channels first; networks may read it at other sizes."""

    @property
    def sample_rate(self) -> float | None:
        """Samples a second of recorded signals; None where that is not known or there are no signals."""
        return None

    @property
    @abstractmethod
    def outputs(self) -> tuple[Output, ...]:
        """What networks must give, output by output."""

    @abstractmethod
    def require_fit(self, space: Space) -> None:
        """Refuse a space whose networks do not read these samples or do not give these outputs.

        Raises:
            DataError, SpaceError, EvaluatorError: One line that says which setting to change.
        """

    @abstractmethod
    def misfit(self, input_shape: Sequence[object]) -> str | None:
        """Return why an ONNX file whose input has a shape ``(batch, ...)`` cannot be fed; None where it can.

        The text completes the sentence "its input [...] ...".
        """

    def misfit_outputs(self, shapes: Sequence[Sequence[object]]) -> str | None:
        """Return why a file's outputs ``(batch, ...)`` are not those of this task; None where they may be.

        The text completes the sentence "its outputs [...] ...".
        """
        wanted = self.outputs
        if len(shapes) == len(wanted) and all(
            len(shape) > 1 and (type(shape[1]) is not int or shape[1] == output.size)
            for shape, output in zip(shapes, wanted, strict=True)
        ):
            return None
        return f"are not {', '.join(f'{output.name} (batch, {output.size}, ...)' for output in wanted)}"

    def metadata(self, input_shape: Shape) -> dict[str, Any]:
        """Return what an ONNX file says of itself: JSON-able values by name, like ``preprocessing`` and ``classes``.

        Args:
            input_shape: Shape of one sample, as the network reads it.
        """
        return {}

    # tensors

    @abstractmethod
    def inputs(self, part: Part, indices: Indices, input_shape: Shape, device: str = "cpu") -> Tensor:
        """Return network inputs ``(N, *input_shape)`` float32 of some samples for testing: without augmentation."""

    @abstractmethod
    def targets(self, part: Part, indices: Indices) -> Targets:
        """Return what these samples should give."""

    def to_device(self, targets: Targets, device: str) -> Targets:
        """Return targets as the losses take them: arrays become tensors."""
        import torch

        return torch.from_numpy(targets).to(device)

    def take_train(self, input_shape: Shape, device: str) -> Callable[[npt.NDArray[np.int64]], tuple[Tensor, Targets]]:
        """Return a function from indices of train samples to inputs and targets on a device.

        A task that can keep its train part on the device overrides this.
        """

        def take(chosen: npt.NDArray[np.int64]) -> tuple[Tensor, Targets]:
            """Return inputs and targets of these train samples."""
            x = self.inputs("train", chosen, input_shape, device)
            return x, self.to_device(self.targets("train", chosen), device)

        return take

    def at_shape(self, x: Tensor, input_shape: Shape) -> Tensor:
        """Return inputs ``(N, ...)`` as a network of the same space reads them that takes another shape.

        Raises:
            ValueError: This task has no other shapes.
        """
        if tuple(x.shape[1:]) != tuple(input_shape):
            raise ValueError(f"task {self.name} cannot bring inputs of shape {tuple(x.shape[1:])} to {input_shape}")
        return x

    @property
    def scalings(self) -> tuple[str, ...]:
        """Names of usual ways to scale inputs, as `with_scaling` takes them; empty where there is only one."""
        return ()

    def with_scaling(self, scaling: str) -> Task:
        """Return the task with inputs that are scaled in another way: as a trained model expects them.

        Args:
            scaling: What ``--input-scaling`` takes.

        Raises:
            DataError: This task does not know it.
        """
        raise DataError(f"task {self.name} scales its inputs in one way; leave out --input-scaling")

    # training

    @property
    def options(self) -> Mapping[str, TrainingOption]:
        """Settings of a training that belong to this task: augmentations, parts of the loss."""
        return {}

    @abstractmethod
    def default_recipe(self) -> dict[str, object]:
        """Return settings of a training that follow from the data: at least ``epochs`` and ``batch_size``."""

    def augment(
        self, x: Tensor, targets: Targets, rng: np.random.Generator, settings: Settings
    ) -> tuple[Tensor, Targets]:
        """Return another view of a batch; everything random comes from `rng`, so that a batch can be made again.

        Args:
            x: Inputs ``(N, ...)`` on their device.
            targets: From `to_device`.
            rng: Source of everything random.
            settings: Values of `options`.
        """
        return x, targets

    @abstractmethod
    def loss(self, outputs: Sequence[Tensor], targets: Targets, settings: Settings) -> Tensor:
        """Return what training minimises, a scalar with gradients.

        Args:
            outputs: One float32 tensor ``(N, ...)`` for each of `outputs`.
            targets: From `augment`.
            settings: Values of `options`; what is absent is off.
        """

    @abstractmethod
    def distillation_loss(self, outputs: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Return how far outputs are from those of a teacher on the same samples, a scalar with gradients.

        Args:
            outputs: What the network that learns gives.
            teacher: What the teacher gives, without gradients.
        """

    # judging

    @abstractmethod
    def scorer(self) -> Scorer:
        """Return a scorer that has seen nothing yet; its value is in the unit of `metric`."""

    def exhibits(self, run: Run) -> Sequence[Exhibit]:
        """Return what a report shows of a delivered network on the test part; nothing by default.

        Args:
            run: The network.
        """
        return ()
