"""Tasks and metrics by name."""

from __future__ import annotations

from typing import Any

from hwnas._common._plugins import load_plugin, make_plugin, only_taken, plugin_names, refuse_shadow, takes
from hwnas._errors import DataError
from hwnas.data import ClipData, ImageData, is_clips, is_dense
from hwnas.tasks._base import Task
from hwnas.tasks._dense import MEAN_IOU, RELATIVE_L2, DenseTask
from hwnas.tasks._image import ACCURACY, ImageClassification
from hwnas.tasks._metric import Metric
from hwnas.tasks._video import VideoClassification

_TASKS: dict[str, type[DenseTask | ImageClassification]] = {
    kind.name: kind for kind in (DenseTask, ImageClassification, VideoClassification)
}
_METRICS = {metric.name: metric for metric in (ACCURACY, MEAN_IOU, RELATIVE_L2)}
_WANTS = ("metric", "size", "inputs", "loss", "scorer", "outputs")


def task_names() -> list[str]:
    """Return names of our own tasks, sorted."""
    return sorted(_TASKS)


def usual_task(data: str) -> str:
    """Return the task that data are made for: images with a label each, unless they look like something else."""
    recognisers = {DenseTask.name: is_dense, VideoClassification.name: is_clips}
    return next((name for name, fits in recognisers.items() if fits(data)), ImageClassification.name)


def make_task(
    name: str | None,
    data: str,
    *,
    image_size: int | None = None,
    frames: int | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Task:
    """Load data for a task.

    Args:
        name: The task's, ours or a plug-in's; None for the one that the data are made for.
        data: What ``--data`` takes.
        image_size: As in `load_data`; for tasks that take it.
        frames: As in `load_clips`; for tasks that take it.
        seed: Decides the validation split.
        limit: Use at most this many samples of each part that the source has.

    Raises:
        DataError: An unknown task, or data that cannot be read.
        PluginError: It is a plug-in's that cannot be used.
    """
    options: dict[str, Any] = {"image_size": image_size, "frames": frames, "seed": seed, "limit": limit}
    kind = usual_task(data) if name is None else name
    if kind in _TASKS:
        refuse_shadow("task", kind)
        if frames is not None and "frames" not in takes(_TASKS[kind].load):
            raise DataError(f"--frames is for clips, task {kind} takes none; leave it out")
        return _TASKS[kind].load(data, **only_taken(_TASKS[kind].load, options))  # type: ignore[arg-type]
    maker = load_plugin("task", kind)
    if maker is None:
        raise DataError(f"unknown task {kind!r}; known: {', '.join([*task_names(), *plugin_names('task', _TASKS)])}")
    made: Task = make_plugin("task", kind, data, wants=_WANTS, **only_taken(maker, options))
    return made


def as_task(data: Task | ImageData) -> Task:
    """Return the task that data stand for: images and clips stand for their classification."""
    if isinstance(data, ClipData):
        return VideoClassification(data)
    return ImageClassification(data) if isinstance(data, ImageData) else data


def metric_named(name: str) -> Metric:
    """Return the metric that a name alone stands for: one of ours, or a score of that name."""
    return _METRICS.get(name) or Metric.of_score(name)
