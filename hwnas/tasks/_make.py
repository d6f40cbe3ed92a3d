"""Tasks and metrics by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas._common._plugins import load_plugin, make_plugin, only_taken, plugin_names, refuse_shadow
from hwnas._errors import DataError
from hwnas.data import ImageData, holds_boxes
from hwnas.tasks._base import Task
from hwnas.tasks._detection import AP50, Detection
from hwnas.tasks._image import ACCURACY, ImageClassification
from hwnas.tasks._metric import Metric

_TASKS: dict[str, type[ImageClassification] | type[Detection]] = {
    Detection.name: Detection,
    ImageClassification.name: ImageClassification,
}
_METRICS = {ACCURACY.name: ACCURACY, AP50.name: AP50}
USUAL_SPACES: Mapping[str, str] = {Detection.name: "fpn"}
"""The space that a search takes for a task where none is named; image classification has the general default."""
_WANTS = ("metric", "size", "inputs", "loss", "scorer", "outputs")


def task_names() -> list[str]:
    """Return names of our own tasks, sorted."""
    return sorted(_TASKS)


def usual_task(data: str) -> str:
    """Return the task that data are made for: folders with boxes are for detection, all others are images."""
    if holds_boxes(data):
        return Detection.name
    return ImageClassification.name


def usual_space(task: str | None, data: str) -> str | None:
    """Return the space that a search takes where none is named; None for the general default.

    Args:
        task: The task's name; None for the one that the data are made for.
        data: What ``--data`` takes.
    """
    return USUAL_SPACES.get(usual_task(data) if task is None else task)


def make_task(
    name: str | None,
    data: str,
    *,
    image_size: int | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Task:
    """Load data for a task.

    Args:
        name: The task's, ours or a plug-in's; None for the one that the data are made for.
        data: What ``--data`` takes.
        image_size: As in `load_data`; for tasks that take it.
        seed: Decides the validation split.
        limit: Use at most this many samples of each part that the source has.

    Raises:
        DataError: An unknown task, or data that cannot be read.
        PluginError: It is a plug-in's that cannot be used.
    """
    options: dict[str, Any] = {"image_size": image_size, "seed": seed, "limit": limit}
    kind = usual_task(data) if name is None else name
    if kind in _TASKS:
        refuse_shadow("task", kind)
        return _TASKS[kind].load(data, **options)
    maker = load_plugin("task", kind)
    if maker is None:
        raise DataError(f"unknown task {kind!r}; known: {', '.join([*task_names(), *plugin_names('task', _TASKS)])}")
    made: Task = make_plugin("task", kind, data, wants=_WANTS, **only_taken(maker, options))
    return made


def as_task(data: Task | ImageData) -> Task:
    """Return the task that data stand for: images stand for their classification."""
    return ImageClassification(data) if isinstance(data, ImageData) else data


def metric_named(name: str) -> Metric:
    """Return the metric that a name alone stands for: one of ours, or a score of that name."""
    return _METRICS.get(name) or Metric.of_score(name)
