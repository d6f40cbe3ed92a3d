"""`SignalTask`: signals to one of several classes, or to one value."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError
from hwnas.data import Reading, SignalData, load_signals
from hwnas.spaces import Space
from hwnas.tasks._base import FloatArray, Indices, Part, Run, Scorer, Settings, Shape, Targets
from hwnas.tasks._data_task import DataTask
from hwnas.tasks._divided import part_of
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._labels import ACCURACY, LABEL_SMOOTHING, Accuracy, imitation_loss, label_loss
from hwnas.tasks._metric import Metric
from hwnas.tasks._options import TrainingOption, recipe_of_size
from hwnas.tasks._outputs import Output
from hwnas.tasks._scaling import in_other_scaling
from hwnas.tasks._signal._fit import require_fit
from hwnas.tasks._signal._metrics import METRICS, RMSE, Regression
from hwnas.tasks._signal._scaling import SCALINGS, rescaled

if TYPE_CHECKING:
    from torch import Tensor

OPTIONS: Mapping[str, TrainingOption] = {
    "shift": TrainingOption(0.0, 0.0, 0.5, "signals move by up to this share of their length, edges repeated"),
    "gain": TrainingOption(0.0, 0.0, 60.0, "signals become louder or softer by up to so many decibels; 0 for none"),
    "noise": TrainingOption(0.0, 0.0, 10.0, "most noise that is added, in deviations of a channel; 0 for none"),
    "time_mask": TrainingOption(0.0, 0.0, 1.0, "longest span that is blanked, as a share of the signal; 0 for none"),
    "channel_mask": TrainingOption(0.0, 0.0, 0.9, "probability that a channel is blanked; 0 for none"),
}
_OF_SOUND = {"shift": 0.1, "gain": 6.0, "noise": 0.05, "time_mask": 0.1}
_OF_WINDOWS = {"noise": 0.05}
"""Augmentation by default: of whole recordings, whose place and volume say little; and of windows and arrays."""
SIGNALS_SEEN = 30_000
"""Small data sets are repeated until a training has seen this many signals."""
SMALL = 4_000
"""Below this many train signals small batches (more steps) do better."""


class SignalTask(DataTask[SignalData]):
    """Signals of one length with one label each: a class, or a value.

    Args:
        data: The signals.
        metric: What networks are compared by; None for accuracy where there are classes, else for RMSE.

    Raises:
        DataError: The metric does not go with the labels.
    """

    name = "signal"

    def __init__(self, data: SignalData, metric: Metric | None = None) -> None:
        super().__init__(data)
        self._own = data
        self.metric = metric or (ACCURACY if data.classes else RMSE)
        if bool(data.classes) != (self.metric == ACCURACY):
            raise DataError(
                f"data {data.name}: labels are {'classes' if data.classes else 'values'}, so the metric cannot be "
                f"{self.metric.name}; give another --metric"
            )
        values = data.train.targets.astype(np.float64)
        self._center = 0.0 if data.classes else float(values.mean())
        self._spread = 1.0 if data.classes else float(values.std()) or 1.0

    @property
    def sample_rate(self) -> float | None:
        """Samples a second, where the files say it."""
        rate = self._data.loading["rate"]
        return None if rate is None else float(rate)

    @classmethod
    def load(
        cls,
        data: str | Path,
        *,
        seed: int = 0,
        limit: int | None = None,
        metric: str | None = None,
        rate: int | None = None,
        length: float | None = None,
        window: int | None = None,
        hop: int | None = None,
        split_by: str | int | None = None,
        hold_out: str | Sequence[str] = (),
        label_column: str | None = None,
        columns: str | Sequence[str] = (),
    ) -> SignalTask:
        """Return the task of a data set; the arguments are those of `load_signals` and `Reading`.

        Args:
            data: What ``--data`` takes.
            seed: Decides the validation part.
            limit: Most signals of each part.
            metric: ``"accuracy"`` for classes; ``"rmse"`` or ``"relative_error"`` for values; None by the labels.
            rate: Samples per second of WAV files.
            length: Seconds of every WAV recording.
            window: Samples of a window.
            hop: Samples between the beginnings of two windows.
            split_by: What a recording's group follows from.
            hold_out: Groups that are the test part.
            label_column: Column of labels of CSV files.
            columns: Columns of CSV files that are channels.

        Raises:
            DataError: The data cannot be read.
        """
        if metric is not None and metric not in METRICS:
            raise DataError(f"--metric of signals must be {', '.join(METRICS)}, got {metric!r:.60}")
        chosen = None if metric is None else METRICS[metric]
        reading = Reading(
            rate=rate,
            length=length,
            window=window,
            hop=hop,
            split_by=None if split_by is None else str(split_by),
            hold_out=_names(hold_out),
            label_column=label_column,
            columns=_names(columns),
            regression=None if chosen is None else chosen != ACCURACY,
        )
        return cls(load_signals(data, reading, seed=seed, limit=limit), chosen)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the data, and of metric and scaling where these are not the usual ones."""
        usual = ACCURACY if self._data.classes else RMSE
        if self._data is self._own and self.metric == usual:
            return self._data.fingerprint
        more = repr((self.metric.name, self._data.mean, self._data.std))
        return hashlib.sha256(f"{self._own.fingerprint} {more}".encode()).hexdigest()

    @property
    def scalings(self) -> tuple[str, ...]:
        """The names that `with_scaling` knows."""
        return SCALINGS

    def with_scaling(self, scaling: str) -> Self:
        """Return the task with signals that are scaled by another mean and deviation.

        Raises:
            DataError: The text names none.
        """
        other = copy.copy(self)
        other._data = rescaled(self._own, scaling)
        return other

    @property
    def input_shape(self) -> Shape:
        """Channels and samples of every signal."""
        return (self._data.channels, self._data.length)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The logits of the classes, or the value in deviations from the mean of the train values."""
        if self._data.classes:
            return (Output("logits", len(self._data.classes), tuple(self._data.classes)),)
        return (Output("value", 1),)

    def require_fit(self, space: Space) -> None:
        """Refuse networks that read other channels or more samples, or give other outputs."""
        require_fit(space, self._data, self.outputs[0].size)

    def misfit(self, input_shape: Sequence[object]) -> str | None:
        """Return why a file's input ``(batch, C, length)`` does not take these signals."""
        shape = list(input_shape)
        right = len(shape) == 3 and type(shape[0]) is int and shape[1] == self._data.channels
        if right and isinstance(shape[2], int) and 0 < shape[2] <= self._data.length:
            return None
        return f"does not take signals of {self._data.channels} x {self._data.length} (channels x samples)"

    def metadata(self, input_shape: Shape) -> dict[str, Any]:
        """Return how files become inputs, and what the outputs are."""
        data = self._data
        steps = ["subtract mean", "divide by std"]
        if input_shape[1] < data.length:
            steps.append(f"take the middle {input_shape[1]} samples")
        preparing = {
            "kind": self.name,
            "layout": "NCL",
            "steps": steps,
            "mean": data.mean,
            "std": data.std,
            "loading": dict(data.loading),
        }
        facts: dict[str, Any] = {"preprocessing": preparing}
        if data.test_part:
            facts["test_part"] = dict(data.test_part)
        if data.classes:
            return {**facts, "classes": data.classes}
        return {**facts, "target": {"mean": self._center, "std": self._spread}}

    def inputs(self, part: Part, indices: Indices, input_shape: Shape, device: str = "cpu") -> Tensor:
        """Return scaled signals ``(N, C, length)``."""
        import torch

        from hwnas.tasks._signal._tensors import prepare_signals

        signals = torch.from_numpy(np.ascontiguousarray(part_of(self._data, part).signals[indices]))
        return prepare_signals(self._data, signals, input_shape[1], device)

    def targets(self, part: Part, indices: Indices) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
        """Return class indices or values ``(N,)``."""
        return part_of(self._data, part).targets[indices]

    def take_train(self, input_shape: Shape, device: str) -> Callable[[npt.NDArray[np.int64]], tuple[Tensor, Targets]]:
        """Return the train signals, kept on the device."""
        from hwnas.tasks._on_device import TrainPart
        from hwnas.tasks._signal._tensors import prepare_signals

        data, part, length = self._data, self._data.train, input_shape[1]
        return TrainPart(part.signals, part.targets, lambda x: prepare_signals(data, x, length, device), device)

    def at_shape(self, x: Tensor, input_shape: Shape) -> Tensor:
        """Return the middle of signals, for networks that read fewer samples."""
        from hwnas.tasks._signal._tensors import middle

        return middle(x, input_shape[1])

    @property
    def options(self) -> Mapping[str, TrainingOption]:
        """Augmentations of signals and, for classes, label smoothing."""
        return {**OPTIONS, **LABEL_SMOOTHING} if self._data.classes else OPTIONS

    def default_recipe(self) -> dict[str, object]:
        """Return epochs and batch size by the number of signals, and augmentation by what they are."""
        count = len(self._data.train)
        loading = self._data.loading
        whole = loading["source"] == "wav" and loading["window"] is None
        return {
            **recipe_of_size(count, SIGNALS_SEEN, 32 if count < SMALL else 64),
            **(_OF_SOUND if whole else _OF_WINDOWS),
        }

    def augment(
        self, x: Tensor, targets: Targets, rng: np.random.Generator, settings: Settings
    ) -> tuple[Tensor, Targets]:
        """Return moved, louder or softer, noisy and partly blanked signals, and the same targets."""
        from hwnas.tasks._signal._augment import augmented

        x = augmented(in_other_scaling(x, self._data, self._own), rng, settings)
        return in_other_scaling(x, self._own, self._data), targets

    def loss(self, outputs: Sequence[Tensor], targets: Targets, settings: Settings) -> Tensor:
        """Return cross-entropy with the labels, or the squared error in deviations of the train values."""
        (output,) = outputs
        if self._data.classes:
            return label_loss(output, targets, float(settings.get("label_smoothing", 0.0)))
        from hwnas.tasks._signal._tensors import value_loss

        return value_loss(output, targets, self._center, self._spread)

    def distillation_loss(self, outputs: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Return cross-entropy with the teacher's class probabilities, or the squared difference of the values."""
        (output,), (target,) = outputs, teacher
        if self._data.classes:
            return imitation_loss(output, target)
        from hwnas.tasks._signal._tensors import value_imitation_loss

        return value_imitation_loss(output, target)

    def scorer(self) -> Scorer:
        """Return a scorer that has seen nothing yet."""
        return Accuracy() if self._data.classes else Regression(self.metric, self._center, self._spread)

    def exhibits(self, run: Run) -> Sequence[Exhibit]:
        """Return which classes were taken for which, or predicted against true values; and some test signals."""
        from hwnas.tasks._signal._exhibits import class_exhibits, value_exhibits

        (outputs,) = run(np.arange(len(self._data.test)))
        if self._data.classes:
            return class_exhibits(self._data, outputs)
        return value_exhibits(self._data, self.values_of(outputs))

    def values_of(self, outputs: FloatArray) -> npt.NDArray[np.float32]:
        """Return the values ``(N,)`` that outputs ``(N, 1)`` of regression stand for."""
        return np.asarray(outputs[:, 0] * self._spread + self._center, dtype=np.float32)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(map(str, given))
