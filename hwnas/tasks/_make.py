"""Tasks and metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from hwnas._common._option import dashed
from hwnas._common._plugins import load_plugin, make_plugin, only_taken, plugin_names, refuse_shadow, takes
from hwnas._errors import DataError
from hwnas.data import (
    BoxData,
    ClipData,
    DenseData,
    ImageData,
    SignalData,
    are_signals,
    holds_boxes,
    is_clips,
    is_dense,
)
from hwnas.tasks._base import Task
from hwnas.tasks._dense import MEAN_IOU, RELATIVE_L2, DenseTask
from hwnas.tasks._detection import AP50, Detection
from hwnas.tasks._image import ImageClassification
from hwnas.tasks._labels import ACCURACY
from hwnas.tasks._metric import Metric
from hwnas.tasks._signal import METRICS, SignalTask
from hwnas.tasks._video import VideoClassification

_TASKS: Mapping[str, Callable[..., Task]] = {
    DenseTask.name: DenseTask.load,
    Detection.name: Detection.load,
    ImageClassification.name: ImageClassification.load,
    SignalTask.name: SignalTask.load,
    VideoClassification.name: VideoClassification.load,
}
_RECOGNISERS: Mapping[str, Callable[[str], bool]] = {
    DenseTask.name: is_dense,
    Detection.name: holds_boxes,
    VideoClassification.name: is_clips,
    SignalTask.name: are_signals,
}
"""Which data are made for a task, in the order of asking; all others are images."""
_TASK_OF_DATA: Mapping[type, Callable[..., Task]] = {
    BoxData: Detection,
    ClipData: VideoClassification,  # before images: clips are a kind of these
    DenseData: DenseTask,
    ImageData: ImageClassification,
    SignalData: SignalTask,
}
DataSet = BoxData | DenseData | ImageData | SignalData
"""What readers of data give; `as_task` makes a task of it."""
_METRICS = {metric.name: metric for metric in (ACCURACY, AP50, MEAN_IOU, RELATIVE_L2, *METRICS.values())}
_WANTS = ("metric", "size", "inputs", "loss", "scorer", "outputs")


def task_names() -> list[str]:
    """Return names of our own tasks, sorted."""
    return sorted(_TASKS)


def usual_task(data: str, options: Collection[str] = ()) -> str:
    """Return the task that data are made for: images with a label each, unless they look like something else.

    Args:
        data: What ``--data`` takes.
        options: Names of options of how a task reads its data. If the task of the data does not have them all, the only
            one that does is meant.
    """
    usual = next((name for name, fits in _RECOGNISERS.items() if fits(data)), ImageClassification.name)
    if set(options) <= set(takes(_TASKS[usual])):
        return usual
    meant = [name for name, maker in _TASKS.items() if set(options) <= set(takes(maker))]
    return meant[0] if len(meant) == 1 else usual


def make_task(
    name: str | None,
    data: str | Path,
    *,
    image_size: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    **more: object,
) -> Task:
    """Load data for a task.

    Args:
        name: The task's, ours or a plug-in's; None for the one that the data are made for.
        data: What ``--data`` takes.
        image_size: As in `load_data`; for tasks that take it.
        seed: Decides the validation split.
        limit: Use at most this many samples of each part that the source has.
        more: Options of the task: how it reads its data (see its `load`).

    Raises:
        DataError: An unknown task, an option that it does not have, or data that cannot be read.
        PluginError: It is a plug-in's that cannot be used.
    """
    data = str(data)
    options: dict[str, Any] = {"image_size": image_size, "seed": seed, "limit": limit}
    stated = {key for key, value in {**more, "image_size": image_size}.items() if value is not None}
    kind = usual_task(data, stated) if name is None else name
    if kind in _TASKS:
        refuse_shadow("task", kind)
        _require_taken(kind, _TASKS[kind], {**more, "image_size": image_size})
        return _TASKS[kind](data, **only_taken(_TASKS[kind], {**options, **more}))
    maker = load_plugin("task", kind)
    if maker is None:
        raise DataError(f"unknown task {kind!r}; known: {', '.join([*task_names(), *plugin_names('task', _TASKS)])}")
    _require_taken(kind, maker, more)
    made: Task = make_plugin("task", kind, data, wants=_WANTS, **only_taken(maker, options), **more)
    return made


def _require_taken(kind: str, maker: Callable[..., object], options: Mapping[str, object]) -> None:
    """Refuse options that a task does not have.

    Raises:
        DataError: Naming one.
    """
    for name, value in options.items():
        if value is not None and name not in takes(maker):
            owners = [task for task, make in _TASKS.items() if name in takes(make)]
            advice = "leave it out" if len(owners) != 1 else f"leave it out, or give --task {owners[0]}"
            known = any(name in takes(make) for make in _TASKS.values())
            option = dashed(name) if known else f"--data-option {name}"
            raise DataError(f"{option} is not an option of task {kind}; {advice}")


def as_task(data: Task | DataSet) -> Task:
    """Return the task that loaded data stand for.

    Raises:
        DataError: They are no data of `hwnas.data`.
    """
    if isinstance(data, Task):
        return data
    made = next((make for kind, make in _TASK_OF_DATA.items() if isinstance(data, kind)), None)
    if made is None:
        raise DataError(f"data must be a name, a task or a data set of hwnas.data, got {type(data).__name__}")
    return made(data)


def metric_named(name: str) -> Metric:
    """Return the metric that a name alone stands for: one of ours, or a score of that name."""
    return _METRICS.get(name) or Metric.of_score(name)
